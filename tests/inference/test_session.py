"""Sessions: one video, frame by frame."""

import json

import numpy as np
import pytest
import torch

from tests.inference.colour_segmentor import ColourSegmentor, RecordingSegmentor, moving_squares
from vosplug.inference import VOSSession, new_session
from vosplug.utils.errors import DataWarning, InputError

CLIP = list(moving_squares())


def run(session, clip=CLIP):
    return [session.step(image, labels if t == 0 else None) for t, (image, labels) in enumerate(clip)]


def test_follows_objects_at_native_size():
    session = VOSSession(ColourSegmentor())
    for result, (_, labels) in zip(run(session), CLIP, strict=True):
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, labels)
    assert session.ids == (1, 2)


def test_ids_are_those_of_the_user():
    relabelled = [(image, np.array([0, 254, 7], np.uint8)[labels]) for image, labels in CLIP]
    session = VOSSession(ColourSegmentor())
    for result, (_, labels) in zip(run(session, relabelled), relabelled, strict=True):
        np.testing.assert_array_equal(result, labels)
    assert session.ids == (7, 254)


def test_an_object_may_come_later_and_void_is_no_object():
    session = VOSSession(ColourSegmentor())
    (image, first), (later, second) = CLIP[0], CLIP[2]
    prompt = np.where(first == 1, 1, 255).astype(np.uint8)
    assert set(np.unique(session.step(image, prompt))) == {0, 1}
    result = session.step(later, second, ids=[2])
    np.testing.assert_array_equal(result, second)
    assert session.ids == (1, 2)


def test_before_the_first_object_frames_are_background_and_the_model_rests():
    model = ColourSegmentor()
    session = VOSSession(model)
    assert not session.step(CLIP[0][0]).any()
    assert session.predict(CLIP[1][0]).prob.shape == (1, 40, 60)
    assert model.calls == []
    np.testing.assert_array_equal(session.step(*CLIP[2]), CLIP[2][1])


def test_removed_objects_are_gone_and_their_ids_stay_unused():
    session = VOSSession(ColourSegmentor())
    session.step(*CLIP[0])
    session.remove([1])
    result = session.step(CLIP[1][0])
    np.testing.assert_array_equal(result, np.where(CLIP[1][1] == 2, 2, 0))
    with pytest.raises(InputError, match="removed earlier"):
        session.step(*CLIP[2], ids=[1])
    with pytest.raises(InputError, match="no object with id 1"):
        session.remove([1])
    session.remove([2])
    assert not session.step(CLIP[3][0]).any()


def test_an_object_that_changes_is_lost_until_it_is_corrected():
    """It takes another colour at frame 2, and its mask is given again at frame 3."""
    changed = [(image if t < 2 else np.where((labels == 1)[..., None], (30, 30, 200), image).astype(np.uint8), labels)
               for t, (image, labels) in enumerate(CLIP)]
    lost = run(VOSSession(ColourSegmentor()), changed)
    assert not (lost[5] == 1).any()
    session = VOSSession(ColourSegmentor())
    results = [session.step(image, labels if t in (0, 3) else None, [1] if t == 3 else None, correct=True)
               for t, (image, labels) in enumerate(changed)]
    assert not (results[2] == 1).any()
    for t in (3, 4, 5):
        np.testing.assert_array_equal(results[t], changed[t][1])
    assert session.ids == (1, 2)


@pytest.mark.parametrize("options", [{}, {"flip": True, "max_short_side": 24}])
def test_a_correction_is_exact_at_native_size(options):
    session = VOSSession(ColourSegmentor(), **options)
    session.step(*CLIP[0])
    session.step(CLIP[1][0])
    moved = np.where(np.roll(CLIP[2][1], 9, axis=0) == 2, 2, 0).astype(np.uint8)
    result = session.step(CLIP[2][0], moved, correct=True)
    np.testing.assert_array_equal(result == 2, moved == 2)
    with pytest.raises(InputError, match="already tracked"):
        session.step(CLIP[3][0], moved)


@pytest.mark.parametrize("options", [{}, {"flip": True, "scales": (1.0, 1.5)}, {"max_short_side": 24}])
def test_interleaved_sessions_do_not_influence_each_other(options):
    model = ColourSegmentor(smear=3.0)
    other = [(np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(labels[:, ::-1]))
             for image, labels in moving_squares(size=(44, 52), noise=40)]
    alone = [[VOSSession(model, **options)] for _ in range(2)]
    expected = [[s.predict(image, labels if t == 0 else None).logits for t, (image, labels) in enumerate(clip)]
                for (s,), clip in zip(alone, (CLIP, other), strict=True)]
    first, second = VOSSession(model, **options), VOSSession(model, **options)
    for t, (a, b) in enumerate(zip(CLIP, other, strict=True)):
        got_a = first.predict(a[0], a[1] if t == 0 else None).logits
        got_b = second.predict(b[0], b[1] if t == 0 else None).logits
        assert torch.equal(got_a, expected[0][t])
        assert torch.equal(got_b, expected[1][t])


def test_frames_are_limited_and_masks_come_back_at_native_size():
    model = ColourSegmentor()
    clip = list(moving_squares(size=(120, 180)))
    results = run(VOSSession(model, max_short_side=60), clip)
    assert model.calls[0][0] == (1, 3, 64, 96)  # 60 x 90, padded to a multiple of 16
    np.testing.assert_array_equal(results[0], clip[0][1])  # given masks are not degraded
    for result, (_, labels) in zip(results[1:], clip[1:], strict=True):
        assert result.shape == (120, 180)
        assert ((result > 0) & (labels > 0)).sum() / ((result > 0) | (labels > 0)).sum() > 0.8


def test_scales_and_flip_average_probabilities():
    single = [VOSSession(ColourSegmentor(), scales=(s,)) for s in (1.0, 1.5)]
    both = VOSSession(ColourSegmentor(), scales=(1.0, 1.5))
    for t, (image, labels) in enumerate(CLIP):
        probs = [s.predict(image, labels if t == 0 else None).prob for s in (*single, both)]
        if t:
            torch.testing.assert_close(probs[2], (probs[0] + probs[1]) / 2, atol=1e-5, rtol=0)
    assert [v.flip for v in VOSSession(ColourSegmentor(), scales=(1.0, 2.0), flip=True).views] == [False, True] * 2


def test_a_mirrored_view_gives_what_the_mirrored_video_gives():
    session = VOSSession(ColourSegmentor(smear=2.0), flip=True)
    for result, (_, labels) in zip(run(session), CLIP, strict=True):
        np.testing.assert_array_equal(result, labels)
    assert torch.equal(session.views[1].state.masks.flip(-1)[..., 4:44, 2:62],
                       session.views[0].state.masks[..., 4:44, 2:62])


def test_probabilities_sum_to_one_and_agree_with_labels():
    session = VOSSession(ColourSegmentor())
    session.step(*CLIP[0])
    prediction = session.predict(CLIP[1][0])
    assert prediction.ids == (1, 2)
    torch.testing.assert_close(prediction.prob.sum(dim=0), torch.ones(40, 60))
    np.testing.assert_array_equal(prediction.labels, np.array([0, 1, 2])[prediction.prob.argmax(dim=0).numpy()])


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_and_memory_format(amp):
    model = ColourSegmentor()
    results = run(VOSSession(model, amp=amp, channels_last=True, device="cpu"))
    np.testing.assert_array_equal(results[-1], CLIP[-1][1])
    assert model.calls[0][2]


def test_last_is_passed_on_and_gradients_are_off():
    model = ColourSegmentor()
    session = VOSSession(model)
    session.step(*CLIP[0])
    logits = session.predict(CLIP[1][0], last=True).logits
    assert [call[1] for call in model.calls if call[0] == "last"] == [False, True]
    assert not logits.requires_grad
    assert not model.training


def test_a_mask_that_is_a_few_pixels_off_is_resized_with_a_warning():
    image, labels = next(moving_squares(size=(120, 160)))
    with pytest.warns(DataWarning, match="120x159.*nearest"):
        result = VOSSession(ColourSegmentor()).step(image, labels[:, :-1])
    assert result.shape == labels.shape
    with pytest.raises(InputError, match="must have the size of their frame"):
        VOSSession(ColourSegmentor()).step(image, labels[:, :-8])


def test_a_tiny_object_survives_a_limit():
    image = np.full((200, 200, 3), 90, np.uint8)
    labels = np.zeros((200, 200), np.uint8)
    labels[101, 101] = 3
    session = VOSSession(ColourSegmentor(), max_short_side=20)
    np.testing.assert_array_equal(session.step(image, labels), labels)
    assert session.views[0].state.masks.max() > 0.9


def test_a_refused_prompt_leaves_the_session_as_it_was():
    session, clean = VOSSession(ColourSegmentor(smear=3.0)), VOSSession(ColourSegmentor(smear=3.0))
    for s in (session, clean):
        s.step(*CLIP[0])
    with pytest.raises(InputError, match=r"object id 1, which is already tracked \(tracked: \[1, 2\]\)"):
        session.step(*CLIP[1])
    assert torch.equal(session.predict(CLIP[1][0]).logits, clean.predict(CLIP[1][0]).logits)


@pytest.mark.parametrize(("prompt", "ids", "message"), [
    (np.zeros((40, 60), np.uint8), None, "has no object: it is all background"),
    (np.full((40, 60), 255, np.uint8), None, "0/255 foreground mask must be read as binary"),
    (np.ones((40, 60), np.uint8), [2], "no pixel of object id 2"),
    (np.ones((40, 60), np.uint8), [0], "must lie in 1..254"),
    (np.ones((40, 60), np.uint8), [1, 1], "twice"),
    (np.ones((40, 60, 3), np.uint8), None, r"must be \(H, W\) whole numbers"),
    (np.ones((40, 60), np.float32), None, "whole numbers"),
    (np.full((40, 60), 300), None, "must lie in 0..255"),
    (np.full((40, 60), -1), None, "must lie in 0..255"),
    (None, [1], "without a mask"),
])
def test_bad_prompts(prompt, ids, message):
    with pytest.raises(InputError, match=message):
        VOSSession(ColourSegmentor()).step(CLIP[0][0], prompt, ids)


def test_empty_prompts_are_legal_on_request():
    session = VOSSession(ColourSegmentor(), allow_empty=True)
    assert not session.step(CLIP[0][0], np.zeros((40, 60), np.uint8)).any()
    assert session.ids == ()
    assert not session.step(CLIP[0][0], np.zeros((40, 60), np.uint8), ids=[4]).any()
    assert session.ids == (4,)


@pytest.mark.parametrize(("image", "message"), [
    (np.zeros((40, 60), np.uint8), "uint8 RGB array"),
    (np.zeros((40, 60, 3), np.float32), "uint8 RGB array"),
    (np.zeros((40, 61, 3), np.uint8), "after frames of 40x60"),
    ("frame.jpg", "got str"),
])
def test_bad_frames(image, message):
    session = VOSSession(ColourSegmentor())
    session.step(*CLIP[0])
    with pytest.raises(InputError, match=message):
        session.step(image)


@pytest.mark.parametrize("options", [{"amp": "int8"}, {"scales": ()}, {"scales": (0.0,)}, {"max_short_side": 3},
                                     {"max_long_side": 15}, {"max_long_side": "90"}, {"device": "nowhere"}])
def test_bad_options(options):
    with pytest.raises(InputError):
        VOSSession(ColourSegmentor(), **options)


@pytest.mark.parametrize("option", ["max_short_side", "max_long_side"])
@pytest.mark.parametrize("preprocessor", ["VOSPreprocessor", "ResizingPreprocessor"])
@pytest.mark.parametrize("size", [(120, 180), (180, 120)])
def test_a_limit_holds_for_landscape_and_portrait(option, preprocessor, size):
    model = ColourSegmentor(preprocessor=preprocessor)
    clip = list(moving_squares(frames=3, size=size))
    results = run(VOSSession(model, **{option: {"max_short_side": 60, "max_long_side": 90}[option]}), clip)
    sides = {"VOSPreprocessor": (64, 96), "ResizingPreprocessor": (65, 97)}[preprocessor]
    assert model.calls[0][0] == (1, 3, *(sides if size[0] < size[1] else sides[::-1]))
    np.testing.assert_array_equal(results[0], clip[0][1])
    for result, (_, labels) in zip(results[1:], clip[1:], strict=True):
        assert result.shape == size
        assert ((result > 0) & (labels > 0)).sum() / ((result > 0) | (labels > 0)).sum() > 0.8


def test_the_sizes_of_aot_reach_the_model(shared):
    rows = json.loads((shared / "golden" / "aot_preprocess.json").read_text())["sizes"]
    rows = [row for row in rows if row["align_corners"]]
    assert len(rows) == 39
    model = RecordingSegmentor()
    for row in rows:
        size, limit = tuple(row["input"]), row["max_short_edge"]
        session = VOSSession(model, max_long_side=int(row["max_long_edge"]),
                             max_short_side=None if limit is None else int(limit), scales=(row["scale"],))
        labels = np.zeros(size, np.uint8)
        labels[: size[0] // 2] = 1
        result = session.step(np.zeros((*size, 3), np.uint8), labels)
        frame, prompt, geometry = model.seen
        assert list(frame) == list(prompt.masks.shape[-2:]) == row["output"] and result.shape == size
        assert geometry.native == size and torch.equal(prompt.native[0, 0], torch.from_numpy(labels).float())
        assert torch.equal(prompt.masks, model.data_preprocessor.masks(prompt.native, geometry))


def test_a_mirrored_view_mirrors_everything_that_the_model_is_told():
    model = RecordingSegmentor()
    upright, mirrored = VOSSession(model, max_short_side=20), VOSSession(model, max_short_side=20, flip=True)
    upright.step(*CLIP[0])
    _, expected, geometry = model.seen
    mirrored.step(*CLIP[0])
    _, prompt, same = model.seen
    assert torch.equal(prompt.masks, expected.masks.flip(-1)) and torch.equal(prompt.native, expected.native.flip(-1))
    assert same == geometry and mirrored.views[1].state.geometry == geometry


def test_a_method_may_optimise_in_a_session():
    class Optimising(ColourSegmentor):
        def memorize(self, state, features, masks, rows, run):
            super().memorize(state, features, masks, rows, run)
            with torch.enable_grad():
                weight = torch.zeros(3, 1, 1, requires_grad=True)
                loss = ((weight * features[0]).sum(dim=0) - masks[0, 0]).square().mean()
                loss.backward()
                state.cache["weight"] = state.cache.get("weight", 0) - weight.grad.detach()

    session = VOSSession(Optimising())
    outputs = [session.predict(image, labels if t == 0 else None) for t, (image, labels) in enumerate(CLIP)]
    weight = session.views[0].state.cache["weight"]
    assert weight.abs().sum() > 0 and not weight.requires_grad
    assert not any(output.logits.requires_grad or output.logits.is_inference() for output in outputs)


def test_a_model_may_bring_its_own_sessions():
    class Own:
        def new_session(self, **options):
            return options

    assert new_session(Own(), flip=True) == {"flip": True}
    assert isinstance(new_session(ColourSegmentor()), VOSSession)


@pytest.mark.gpu
@pytest.mark.parametrize("amp", [None, "bf16", "fp16"])
def test_on_a_gpu(amp):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    session = VOSSession(ColourSegmentor(), device="cuda", amp=amp, channels_last=True, flip=True, scales=(1.0, 1.5))
    assert session.device.type == "cuda"
    results = run(session)
    np.testing.assert_array_equal(results[0], CLIP[0][1])
    assert (results[-1] == CLIP[-1][1]).mean() > 0.98
