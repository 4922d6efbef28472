"""Bad input of every command: one clear line, a status that is not 0, and nothing that existed is lost."""


import numpy as np
import pytest

from tests.bad_inputs_helpers import (
    CLIP,
    Bad,
    both,
    change,
    check_bad,
    crashing_clip,
    cut,
    earlier_run,
    empty_mp4,
    failing,
    folder,
    full_disk,
    golden,
    huge_png,
    interrupt,
    make_world,
    malicious,
    malicious_pickle,
    mask,
    no_room,
    picture,
    remove,
    rename,
    run_line,
    smoothed,
    terminate,
    text,
    without_torchrun,
)
from vosplug.utils.checkpoint import load_checkpoint_file

TEST = "test tiny.py tiny.pth --device cpu"
DEMO = "demo tiny.py tiny.pth images --mask first.png --device cpu --out o"
TRAIN = "train run.py --work-dir run --device cpu"
CLIPS = "train clips.py --work-dir run --device cpu"
SCORE = "eval_masks davis --gt davis --pred pred --workers 1 --json scores.json"
VOS = "test --baseline copy --eval youtube_vos --data-root youtube --out out"
MAKE = "make_synthetic new --videos 1 --frames 2 --size 48 64 --workers 1"
FRAME, MASK = "davis/JPEGImages/480p/two/00002.jpg", "davis/Annotations/480p/two/00002.png"
FIRST_OF_TWO = "davis/Annotations/480p/two/00000.png"
MASKS_OF_ONE = tuple(f"out/one/{t:05d}.png" for t in range(4))
RGB, GREY16 = CLIP[2][0], CLIP[2][1].astype(np.uint16) * 300
SMALL, NOTHING = CLIP[2][1][::2, ::2], np.zeros_like(CLIP[0][1])

CONFIGS = [
    Bad("config-missing", "train nowhere.py", ("'nowhere.py' not found",)),
    Bad("config-misspelt", "train stcn_smal", ("Did you mean 'stcn_small'",)),
    Bad("config-is-no-config", "train notes.txt", ("notes.txt is not a config file",), text("notes.txt")),
    Bad("config-syntax-error", TRAIN, ("run.py, line 1", "not valid Python"), text("run.py", "model = dict(\n")),
    Bad("config-is-binary", TRAIN, ("run.py",), lambda w: w.write("run.py", b"\xff\xfe\0\0")),
    Bad("config-raises", TRAIN, ("run.py, line 2", "ZeroDivisionError"), text("run.py", "a = 0\nb = 1 / a\n")),
    Bad("config-base-missing", TRAIN, ("run.py, line 1", "'other.py'"), text("run.py", "_base_ = ['other.py']\n")),
    Bad("config-without-model-train", "train data_only.py --work-dir run", ("needs 'model'",)),
    Bad("config-without-model-test", "test data_only.py tiny.pth", ("has no 'model'",)),
    Bad("config-without-model-stats", "model_stats data_only.py", ("has no 'model'",)),
    Bad("config-without-model-benchmark", "benchmark data_only.py --frames 1", ("has no 'model'",)),
    Bad("config-without-model-convert", "convert_checkpoint stcn official.pth o.pth --config data_only.py",
        ("has no 'model'",)),
    Bad("config-model-is-no-dict", TEST, ("a segmentor needs a dict", "got 3"),
        change("tiny.py", "model = dict(", "model = 3 or dict(")),
    Bad("type-misspelt", TEST, ("Did you mean 'TinySegmentor'",), change("tiny.py", "TinySegmentor", "TinySegmenter")),
    Bad("type-misspelt-inside", TEST, ("Did you mean 'TinyCE'",), change("tiny.py", "TinyCE", "TinyCEE")),
    Bad("type-of-another-kind", TEST, ("not a segmentor",), change("tiny.py", "TinySegmentor", "TinyCE")),
    Bad("type-missing", TEST, ("'type'",), change("tiny.py", "type='TinySegmentor', ", "")),
    Bad("option-misspelt", TEST, ("no option 'widht'", "Did you mean 'width'"), change("tiny.py", "width", "widht")),
    Bad("option-value-of-another-type", TEST, ("TinySegmentor",), change("tiny.py", "width=4", "width='wide'")),
    Bad("cfg-options-key-misspelt", f"{TRAIN} --cfg-options train_cfg.max_iter=3", ("Did you mean 'max_iters'",)),
    Bad("cfg-options-without-value", f"{TRAIN} --cfg-options train_cfg.max_iters", ("expected KEY=VALUE",), usage=True),
    Bad("cfg-options-word-for-number", f"{TRAIN} --cfg-options train_cfg.max_iters=many", ("max_iters", "'many'")),
    Bad("cfg-options-word-for-batch", f"{TRAIN} --cfg-options train_dataloader.batch_size=two", ("batch_size", "two")),
    Bad("cfg-options-word-for-rate", f"{TRAIN} --cfg-options optim_wrapper.optimizer.lr=fast", ("lr", "fast")),
    Bad("cfg-options-no-hooks", f"{TRAIN} --cfg-options default_hooks.checkpoint.interval=0", ("interval", "0")),
    Bad("data-root-has-no-use", f"{TRAIN} --data-root davis", ("no top-level variable data_root",)),
    Bad("plugin-missing", "list_plugins --plugin part.py", ("plugin file not found: part.py",)),
    Bad("plugin-raises", "list_plugins --plugin part.py", ("part.py, line 1", "cannot be imported", "no_such_package"),
        text("part.py", "import no_such_package\n")),
    Bad("plugin-syntax-error", f"{TEST} --plugin part.py", ("part.py", "cannot be imported"),
        text("part.py", "def f(")),
    Bad("plugin-exits", f"{TEST} --plugin part.py", ("part.py", "cannot be imported"),
        text("part.py", "raise SystemExit(0)\n")),
    Bad("plugin-takes-a-name", f"{TEST} --plugin part.py", ("'TinyCE'", "already registered"),
        text("part.py", "from vosplug.registry import LOSSES\n\n@LOSSES.register_module()\nclass TinyCE:\n    pass\n")),
]

TRAINING = [
    Bad("launcher-without-torchrun", f"{TRAIN} --launcher pytorch", ("torchrun", "RANK"), without_torchrun),
    Bad("launcher-misspelt", f"{TRAIN} --launcher pytorhc", ("Did you mean 'pytorch'",), without_torchrun),
    Bad("device-unknown", f"{TRAIN} --device gpu", ("unknown device 'gpu'",)),
    Bad("device-not-there", f"{TRAIN} --device cuda:99", ("cuda:99",)),
    Bad("seed-negative", f"{TRAIN} --seed -1", ("seed must be", "-1")),
    Bad("seed-is-a-word", f"{TRAIN} --seed x", ("argument --seed: invalid int value: 'x'",), usage=True),
    Bad("half-precision-on-the-cpu", f"{TRAIN} --amp fp16", ("fp16 needs a GPU",)),
    Bad("loss-is-nan", f"{TRAIN} --cfg-options model.losses.0.nan_at=3", ("iteration 3", "loss_ce is nan"),
        keeps=("run/iter_2.pth",)),
    Bad("work-dir-has-a-run", TRAIN, ("already holds a training run", "--resume"), earlier_run),
    Bad("work-dir-is-a-file", TRAIN, ("cannot make the work dir run",), text("run")),
    Bad("resume-all-corrupt", f"{TRAIN} --resume", ("run/iter_6.pth is damaged",),
        both(earlier_run, cut("run/iter_6.pth"), cut("run/iter_4.pth"))),
    Bad("resume-another-seed", f"{TRAIN} --resume --seed 5 --cfg-options train_cfg.max_iters=8", ("--seed 0",),
        earlier_run, rewrites=("run/config.py",)),
    Bad("resume-another-model", f"{TRAIN} --resume --cfg-options train_cfg.max_iters=8 model.width=6",
        ("made with another model",), earlier_run, rewrites=("run/config.py",)),
    Bad("curriculum-is-no-list", TRAIN, ("curriculum must be a list",),
        change("run.py", "train_cfg", "curriculum = dict(begin=0.5, length=3)\ntrain_cfg")),
    Bad("curriculum-key-misspelt", TRAIN, ("curriculum phase 0", "Did you mean 'length'"),
        change("run.py", "train_cfg", "curriculum = [dict(begin=0.5, lenght=3)]\ntrain_cfg")),
    Bad("curriculum-out-of-order", TRAIN, ("curriculum phase 1 begins at iteration 2",),
        change("run.py", "train_cfg", "curriculum = [dict(begin=4, length=3), dict(begin=2, length=4)]\ntrain_cfg")),
    Bad("curriculum-value", TRAIN, ("curriculum phase 0", "length"),
        change("run.py", "train_cfg", "curriculum = [dict(begin=2, length='long')]\ntrain_cfg")),
    Bad("stage-key-misspelt", TRAIN, ("stage 0", "Did you mean 'max_iters'"),
        change("run.py", "train_cfg", "stages = [dict(name='a', max_iter=3)]\ntrain_cfg")),
    Bad("validation-half-given", TRAIN, ("val_evaluator has no effect without val_dataset",),
        change("run.py", "train_cfg", "val_evaluator = dict(type='DavisMetric')\ntrain_cfg")),
    Bad("validation-data-missing", TRAIN, ("folder not found: davs", "Did you mean 'davis'"),
        change("run.py", "train_cfg", "val_dataset = dict(type='DavisDataset', data_root='davs')\ntrain_cfg")),
    Bad("validation-frame-damaged", f"{TRAIN} --cfg-options train_cfg.val_interval=3", ("two/00002.jpg", "cut short"),
        both(cut(FRAME),
             change("run.py", "train_cfg", "val_dataset = dict(type='DavisDataset', data_root='davis')\ntrain_cfg")),
        keeps=("run/iter_2.pth",)),
    Bad("start-weights-missing", TRAIN, ("checkpoint not found: start.pth",),
        change("run.py", "train_cfg", "load_from = 'start.pth'\ntrain_cfg")),
    Bad("start-weights-of-another-family", TRAIN, ("official.pth", "convert_checkpoint"),
        change("run.py", "train_cfg", "load_from = 'official.pth'\ntrain_cfg")),
    Bad("training-data-missing", f"{CLIPS} --data-root davs", ("folder not found: davs", "Did you mean 'davis'")),
    Bad("training-jpeg-truncated", CLIPS, ("00001.jpg", "cut short"), cut("davis/JPEGImages/480p/one/00001.jpg")),
    Bad("training-jpeg-truncated-in-worker", f"{CLIPS} --cfg-options train_dataloader.num_workers=1",
        ("00001.jpg", "cut short"), cut("davis/JPEGImages/480p/one/00001.jpg")),
    Bad("worker-killed", f"{TRAIN} --cfg-options train_dataloader.num_workers=1", ("a data worker was killed",),
        crashing_clip(killed=True)),
    Bad("worker-meets-a-system-error", f"{TRAIN} --cfg-options train_dataloader.num_workers=1",
        ("clip 3: clip.bin: Permission denied",), crashing_clip(killed=False)),
    Bad("training-mask-rgb", CLIPS, ("00001.png", "RGB picture"),
        picture("davis/Annotations/480p/one/00001.png", RGB)),
    Bad("disk-full-at-a-checkpoint", TRAIN, ("cannot write", "run/iter_4.pth", "No space left"),
        full_disk(call=4), keeps=("run/iter_2.pth",)),
    Bad("disk-full-at-the-first-checkpoint", TRAIN, ("cannot write", "run/iter_2.pth", "No space left"),
        full_disk(call=2)),
    Bad("interrupted-training", TRAIN, ("interrupted",),
        interrupt("vosplug.engine.train_loop", "seed_iteration", call=4), status=130, keeps=("run/iter_2.pth",)),
    Bad("terminated-training", TRAIN, ("terminated",),
        terminate("vosplug.engine.train_loop", "seed_iteration", call=4), status=143,
        keeps=("run/iter_2.pth", "run/iter_4.pth")),
]

CHECKPOINTS = [
    Bad("checkpoint-missing", "test tiny.py none.pth", ("checkpoint not found: none.pth",)),
    Bad("checkpoint-is-a-folder", "test tiny.py images", ("images is a folder",)),
    Bad("checkpoint-empty", TEST, ("tiny.pth is damaged",), text("tiny.pth", "")),
    Bad("checkpoint-truncated", TEST, ("tiny.pth is damaged",), cut("tiny.pth")),
    Bad("checkpoint-is-text", TEST, ("tiny.pth is damaged",), text("tiny.pth")),
    Bad("checkpoint-of-another-family", "test tiny.py official.pth", ("does not fit", "convert_checkpoint.py")),
    Bad("checkpoint-of-other-shapes", "test tiny.py wide.pth", ("does not fit", "of another shape")),
    Bad("checkpoint-malicious", TEST, ("tiny.pth is refused", "would run code"), malicious("tiny.pth")),
    Bad("checkpoint-malicious-pickle", TEST, ("tiny.pth is refused",), malicious_pickle("tiny.pth")),
    Bad("checkpoint-malicious-demo", DEMO, ("tiny.pth is refused", "would run code"), malicious("tiny.pth")),
    Bad("checkpoint-malicious-convert", "convert_checkpoint stcn tiny.pth o.pth", ("tiny.pth is refused",),
        malicious("tiny.pth")),
    Bad("checkpoint-malicious-start", TRAIN, ("tiny.pth is refused",),
        both(malicious("tiny.pth"), change("run.py", "train_cfg", "load_from = 'tiny.pth'\ntrain_cfg"))),
    Bad("family-misspelt", "convert_checkpoint stnc official.pth o.pth", ("Did you mean 'stcn'",)),
    Bad("convert-missing", "convert_checkpoint stcn none.pth o.pth", ("checkpoint not found",)),
    Bad("convert-another-family", "convert_checkpoint stcn tiny.pth o.pth", ("none of the", "net.0.weight")),
    Bad("convert-onto-itself", "convert_checkpoint stcn official.pth official.pth",
        ("official.pth is the source", "overwritten")),
    Bad("convert-does-not-fit", "convert_checkpoint stcn official.pth o.pth --config stcn_small", ("does not fit",)),
]

DATA = [
    Bad("data-root-missing", f"{TEST} --data-root davs", ("folder not found: davs", "Did you mean 'davis'")),
    Bad("data-root-is-a-file", f"{TEST} --data-root first.png", ("folder not found: first.png",)),
    Bad("images-misnamed", TEST, ("JPEGImages", "Expected layout"), rename("davis/JPEGImages", "Images")),
    Bad("annotations-missing", TEST, ("Annotations",), remove("davis/Annotations")),
    Bad("list-missing", TEST, ("list not found", "val.txt"), remove("davis/ImageSets/2017/val.txt")),
    Bad("list-empty", TEST, ("lists no sequence",), text("davis/ImageSets/2017/val.txt", "\n")),
    Bad("list-is-binary", TEST, ("val.txt",), lambda w: w.write("davis/ImageSets/2017/val.txt", b"\xff\xfe\x80")),
    Bad("list-names-no-folder", TEST, ("tow", "Did you mean 'two'"),
        text("davis/ImageSets/2017/val.txt", "one\ntow\n")),
    Bad("split-misspelt", f"{TEST} --set vall", ("Did you mean 'val'",)),
    Bad("sequence-misspelt", f"{TEST} --sequences twoo", ("Did you mean 'two'",)),
    Bad("video-folder-empty", TEST, ("davis/JPEGImages/480p/two has no pictures",),
        folder("davis/JPEGImages/480p/two")),
    Bad("jpeg-truncated", f"{TEST} --out out", ("two/00002.jpg", "cut short"), cut(FRAME),
        keeps=(*MASKS_OF_ONE, "out/results/one.json", "out/two/00001.png")),
    Bad("jpeg-is-text", f"{TEST} --out out", ("two/00002.jpg", "not a readable image"), text(FRAME),
        keeps=MASKS_OF_ONE),
    Bad("jpeg-of-another-size", f"{TEST} --out out", ("video two", "all frames of a video need one size"),
        picture("davis/JPEGImages/480p/two/00002.jpg", RGB[:20]), keeps=MASKS_OF_ONE),
    Bad("mask-of-another-size", f"{TEST} --out out", ("two/00002.png", "60 x 40"), mask(MASK, SMALL),
        keeps=MASKS_OF_ONE),
    Bad("mask-rgb", f"{TEST} --out out", ("two/00002.png", "RGB picture"), picture(MASK, RGB), keeps=MASKS_OF_ONE),
    Bad("mask-smoothed", TEST, ("two/00002.png", "looks smoothed"), picture(MASK, smoothed())),
    Bad("mask-16-bit-ids-over-the-limit", TEST, ("two/00002.png", "8 bits per pixel"), picture(MASK, GREY16)),
    Bad("mask-truncated", TEST, ("two/00002.png", "not a readable image"), cut(MASK)),
    Bad("mask-promises-too-much", TEST, ("two/00002.png",), lambda w: w.write(MASK, huge_png())),
    Bad("picture-promises-too-much", TEST, ("two/00002.jpg",), lambda w: w.write(FRAME, huge_png())),
    Bad("mask-missing", TEST, ("frame 00002 has no mask",), remove(MASK)),
    Bad("first-mask-missing", TEST, ("the first frame has no mask",), remove(FIRST_OF_TWO)),
    Bad("first-mask-empty", TEST, ("two/00000.png", "has no object"), mask(FIRST_OF_TWO, NOTHING)),
    Bad("first-mask-rgb", TEST, ("two/00000.png", "RGB picture"), picture(FIRST_OF_TWO, RGB)),
    Bad("no-reference-and-no-out", f"{TEST} --set test-dev", ("no reference masks", "give --out DIR")),
    Bad("eval-of-another-kind", f"{TEST} --eval davs", ("invalid choice: 'davs'",), usage=True),
    Bad("eval-of-another-task", f"{TEST} --eval youtube_vis", ("youtube_vis", "efficientvis_r50")),
    Bad("eval-without-data", "test run.py tiny.pth --eval davis", ("needs --data-root",)),
    Bad("meta-missing", VOS, ("file not found", "meta.json"), remove("youtube/valid/meta.json")),
    Bad("meta-broken", VOS, ("meta.json", "not valid JSON", "line 1"), cut("youtube/valid/meta.json")),
    Bad("meta-id-over-the-limit", VOS, ("object 300", "1..254"), change("youtube/valid/meta.json", '"2"', '"300"')),
    Bad("meta-frame-missing", VOS, ("early", "00016"), change("youtube/valid/meta.json", '"00015"', '"00016"')),
    Bad("late-mask-missing", VOS, ("late", "objects start at frame 00010"),
        remove("youtube/valid/Annotations/late/00010.png")),
    Bad("out-is-the-ground-truth", f"{TEST} --out davis/Annotations/480p", ("davis/Annotations/480p/one", "input")),
    Bad("out-is-the-pictures", f"{TEST} --out davis/JPEGImages/480p", ("davis/JPEGImages/480p/one", "input")),
    Bad("out-is-a-file", f"{TEST} --out first.png", ("first.png",)),
    Bad("show-dir-is-a-file", f"{TEST} --show-dir first.png", ("first.png",)),
    Bad("json-below-a-file", f"{TEST} --out out --json first.png/r.json", ("cannot write first.png/r.json",)),
    Bad("disk-full-at-masks", f"{TEST} --out out", ("cannot write out/one/00000.png", "No space left"), full_disk()),
    Bad("disk-full-at-the-second-video", f"{TEST} --out out", ("cannot write out/two/00000.png", "No space left"),
        full_disk(call=6), keeps=(*MASKS_OF_ONE, "out/results/one.json")),
    Bad("disk-refuses-overlays", f"{TEST} --show-dir show", ("cannot write show/one.mp4",), no_room(600)),
    Bad("interrupted-test", f"{TEST} --out out", ("interrupted",),
        interrupt("vosplug.inference.session", "VOSSession.step", call=7), status=130,
        keeps=(*MASKS_OF_ONE, "out/results/one.json", "out/two/00001.png")),
    Bad("terminated-test", f"{TEST} --out out --show-dir show", ("terminated",),
        terminate("vosplug.inference.session", "VOSSession.step", call=7), status=143,
        keeps=(*MASKS_OF_ONE, "out/results/one.json", "out/two/00001.png", "show/one.mp4", "show/two.mp4")),
    Bad("scales-zero", f"{TEST} --scales 0", ("scales must be positive",)),
    Bad("short-side-tiny", f"{TEST} --max-short-side 3", ("max_short_side must be at least 16",)),
    Bad("long-side-tiny", f"{TEST} --max-long-side 15", ("max_long_side must be at least 16",)),
    Bad("side-under-a-cell-and-a-pixel", f"{TEST} --max-long-side 16 --cfg-options "
        "model.preprocessor.type=ResizingPreprocessor", ("max_long_side must be at least 17 pixels",)),
]

VIDEOS = [
    Bad("input-missing", DEMO.replace("images", "none.mp4"), ("input not found: none.mp4",)),
    Bad("mp4-truncated", DEMO.replace("images", "clip.mp4"), ("clip.mp4",), cut("clip.mp4")),
    Bad("mp4-is-text", DEMO.replace("images", "clip.mp4"), ("clip.mp4",), text("clip.mp4")),
    Bad("mp4-empty", DEMO.replace("images", "clip.mp4"), ("clip.mp4: the file is empty",), text("clip.mp4", "")),
    Bad("mp4-of-zero-frames", DEMO.replace("images", "clip.mp4"), ("clip.mp4",),
        lambda w: w.write("clip.mp4", empty_mp4())),
    Bad("folder-of-zero-frames", DEMO, ("images has no pictures",), folder("images")),
    Bad("input-is-a-picture", DEMO.replace("images", "first.png"), ("first.png is a single image",)),
    Bad("camera-not-there", DEMO.replace("images", "99"), ("camera 99 cannot be opened",)),
    Bad("frame-damaged", DEMO, ("images/00002.png",), cut("images/00002.png", 0.2),
        keeps=("o/00000.png", "o/00001.png")),
    Bad("frame-of-another-size", DEMO, ("frame 2 is 20x60",), picture("images/00002.png", RGB[:20]),
        keeps=("o/00000.png", "o/00001.png")),
    Bad("given-mask-missing", DEMO.replace("first.png", "none.png"), ("mask not found: none.png",)),
    Bad("given-mask-rgb", DEMO, ("first.png", "RGB picture"), picture("first.png", RGB)),
    Bad("given-mask-empty", DEMO, ("has no object", "all background"), mask("first.png", NOTHING)),
    Bad("given-mask-is-void", DEMO, ("has no object", "255"), mask("first.png", np.where(CLIP[0][1] > 0, 255, 0))),
    Bad("given-mask-of-another-size", DEMO, ("is 20x30", "the frame 40x60"), mask("first.png", SMALL)),
    Bad("given-mask-smoothed", DEMO, ("first.png", "looks smoothed"), picture("first.png", smoothed())),
    Bad("given-masks-none", DEMO.replace("first.png", "masks"), ("masks has no masks",), folder("masks")),
    Bad("id-reused", DEMO.replace("first.png", "masks"), ("frame 2", "object id 1", "already tracked"),
        both(mask("masks/00000.png", CLIP[0][1]), mask("masks/00002.png", CLIP[2][1])),
        keeps=("o/00000.png", "o/00001.png")),
    Bad("prompt-for-no-frame", DEMO.replace("first.png", "masks"), ("masks/00009.png", "no frame", "00000 .. 00003"),
        both(mask("masks/00000.png", CLIP[0][1]), mask("masks/00009.png", CLIP[0][1]))),
    Bad("prompt-for-no-frame-of-a-video", DEMO.replace("first.png", "masks").replace("images", "clip.mp4"),
        ("masks/00009.png", "no frame"), both(mask("masks/00000.png", CLIP[0][1]), mask("masks/00009.png", CLIP[0][1])),
        keeps=("o/00003.png",)),
    Bad("output-suffix", f"{DEMO}.txt", ("output o.txt", "give a folder")),
    Bad("output-below-a-file", DEMO.replace("--out o", "--out first.png/o"), ("first.png/o",)),
    Bad("output-json-below-a-file", DEMO.replace("--out o", "--out first.png/o.json"), ("first.png/o.json",)),
    Bad("output-is-a-folder", DEMO.replace("--out o", "--out o.mp4"), ("cannot write o.mp4", "folder"),
        folder("o.mp4")),
    Bad("output-is-the-input-folder", DEMO.replace("--out o", "--out images"), ("images", "input")),
    Bad("output-is-the-input-file", DEMO.replace("--out o", "--out clip.mp4").replace("images", "clip.mp4", 1),
        ("clip.mp4", "input")),
    Bad("output-is-the-mask-folder", DEMO.replace("first.png", "masks").replace("--out o", "--out masks"),
        ("masks", "input"), mask("masks/00000.png", CLIP[0][1])),
    Bad("disk-refuses-demo-mp4", DEMO + ".mp4", ("cannot write o.mp4",), no_room(600)),
    Bad("disk-full-demo-json", DEMO + ".json", ("cannot write o.json", "No space left"), full_disk()),
    Bad("disk-full-demo-masks", DEMO, ("cannot write o/00002.png", "No space left"),
        full_disk(call=3), keeps=("o/00000.png", "o/00001.png")),
    Bad("interrupted-demo", f"{DEMO} --out o.mp4 --out o.json", ("interrupted",),
        interrupt("vosplug.inference.session", "VOSSession.step", call=3), status=130,
        keeps=("o/00000.png", "o/00001.png", "o.mp4", "o.json")),
    Bad("terminated-demo", f"{DEMO} --out o.mp4 --out o.json", ("terminated",),
        terminate("vosplug.inference.session", "VOSSession.step", call=3), status=143,
        keeps=("o/00000.png", "o/00001.png", "o.mp4", "o.json")),
    Bad("prefetch-negative", f"{DEMO} --prefetch -1", ("--prefetch must be at least 0",)),
    Bad("max-frames-zero", f"{DEMO} --max-frames 0", ("--max-frames", "at least 1"), usage=True),
    Bad("memory-log-suffix", f"{DEMO} --memory-log log.xyz", ("log.xyz",)),
]

SCORES = [
    Bad("scored-nothing-to-score", SCORE.replace("--gt davis", "--gt nowhere"),
        ("folder of the references not found",)),
    Bad("scored-no-ground-truth", SCORE, ("looks like a DAVIS root", "Annotations"), remove("davis/Annotations")),
    Bad("scored-predictions-missing", SCORE.replace("--pred pred", "--pred perd"), ("Did you mean 'pred'",)),
    Bad("scored-sequence-missing", SCORE, ("sequence two", "not found"), remove("pred/two"), keeps=("scores.json",)),
    Bad("scored-frame-missing", SCORE, ("sequence two", "frame 00002 is missing"), remove("pred/two/00002.png"),
        keeps=("scores.json",)),
    Bad("scored-extra-id", SCORE, ("two", "7"), mask("pred/two/00002.png", np.where(CLIP[2][1] == 2, 7, CLIP[2][1])),
        keeps=("scores.json",)),
    Bad("scored-wrong-size", SCORE, ("two", "00002"), mask("pred/two/00002.png", SMALL), keeps=("scores.json",)),
    Bad("scored-rgb", SCORE, ("pred/two/00002.png", "RGB picture"), picture("pred/two/00002.png", RGB),
        keeps=("scores.json",)),
    Bad("scored-mask-promises-too-much", SCORE, ("pred/two/00002.png",),
        lambda w: w.write("pred/two/00002.png", huge_png()), keeps=("scores.json",)),
    Bad("scored-truncated", SCORE, ("pred/two/00002.png",), cut("pred/two/00002.png"), keeps=("scores.json",)),
    Bad("scored-two-frames", SCORE, ("two",),
        both(*(remove(f"{folder}/two/{t:05d}.png") for t in (2, 3) for folder in ("davis/Annotations/480p", "pred"))),
        keeps=("scores.json",)),
    Bad("scored-protocol-misspelt", f"{SCORE} --protocol semi2071", ("Did you mean 'semi2017'",)),
    Bad("scored-set-misspelt", f"{SCORE} --set vall", ("Did you mean 'val'",)),
    Bad("scored-sequence-misspelt", f"{SCORE} --sequences tow", ("Did you mean 'two'",)),
    Bad("scored-list-is-binary", SCORE, ("val.txt",),
        lambda w: w.write("davis/ImageSets/2017/val.txt", b"\xff\xfe\x80")),
    Bad("scored-no-workers", SCORE.replace("--workers 1", "--workers 0"), ("--workers", "at least 1"), usage=True),
    Bad("scored-sheet-suffix", f"{SCORE} --sheet worst.pdf", ("worst.pdf", ".png")),
    Bad("scored-json-is-a-folder", SCORE.replace("scores.json", "images"), ("cannot write images",)),
    Bad("scored-disk-full", SCORE, ("cannot write scores.json", "No space left"), full_disk()),
    Bad("scored-csv-is-a-file", f"{SCORE} --csv first.png", ("first.png",)),
    Bad("scored-no-meta", "eval_masks youtube_vos --gt davis --pred pred", ("meta.json",)),
    Bad("scored-vis", "eval_masks youtube_vis --gt davis --pred pred", ("cannot read davis",)),
]

OTHERS = [
    Bad("manifest-missing", "parity none.json", ("manifest not found: none.json",)),
    Bad("manifest-is-no-manifest", "parity youtube/valid/meta.json", ("is not a golden manifest",)),
    Bad("manifest-is-text", "parity notes.json", ("is not a readable JSON file",), text("notes.json")),
    Bad("manifest-without-arrays", "parity toy.json", ("array file not found: toy.npz",),
        both(golden, remove("toy.npz"))),
    Bad("manifest-arrays-truncated", "parity toy.json", ("toy.npz is not a readable .npz",),
        both(golden, cut("toy.npz"))),
    Bad("manifest-of-an-unknown-family", "parity toy.json", ("no parity run for 'someone/toy'",), golden),
    Bad("density-of-a-dense-model", "model_stats tiny.py --density 0.5", ("no sparse convolution",)),
    Bad("stats-no-objects", "model_stats tiny.py --objects 0", ("--objects", "at least 1"), usage=True),
    Bad("stats-too-many-objects", "model_stats tiny.py --objects 300", ("--objects", "1 to 254", "300"), usage=True),
    Bad("stats-not-enough-memory", "model_stats tiny.py --shape 32 32", ("not enough memory",),
        failing("vosplug.evaluation.families", "measure",
                RuntimeError("DefaultCPUAllocator: can't allocate memory"))),
    Bad("stats-shape", "model_stats tiny.py --shape 48", ("--shape", "2 arguments"), usage=True),
    Bad("stats-json-below-a-file", "model_stats tiny.py --shape 32 32 --json first.png/s.json", ("first.png/s.json",)),
    Bad("benchmark-video-too-short", "benchmark tiny.py --video images --frames 9", ("has 4 frames", "13 are needed")),
    Bad("benchmark-too-many-objects", "benchmark tiny.py --objects 300 --size 32 32 --frames 1",
        ("--objects", "1 to 254", "300"), usage=True),
    Bad("benchmark-video-missing", "benchmark tiny.py --video none.mp4", ("input not found: none.mp4",)),
    Bad("benchmark-weights-without-model", "benchmark tiny.py --checkpoint2 tiny.pth", ("--compare",)),
    Bad("benchmark-checkpoint", "benchmark tiny.py official.pth --size 32 32 --frames 1", ("does not fit",)),
    Bad("synthetic-foreign-folder", MAKE.replace("new", "davis"), ("davis", "--overwrite")),
    Bad("synthetic-too-small", MAKE.replace("48 64", "4 4"), ("size",)),
    Bad("synthetic-target-is-a-file", MAKE.replace("new", "first.png"), ("first.png",)),
    Bad("synthetic-option-misspelt", f"{MAKE} --options motoin=2", ("Did you mean 'motion'",)),
    Bad("synthetic-option-value", f"{MAKE} --options motion=fast", ("motion", "fast")),
    Bad("synthetic-too-much-validation", f"{MAKE} --val 9", ("--val must lie in 0..1",)),
    Bad("synthetic-seed", f"{MAKE} --seed -1", ("seed",)),
    Bad("synthetic-disk-full", MAKE, ("cannot write", "No space left"), full_disk(call=3)),
    Bad("check-type-unknown", "check_data davis --type davs", ("--type", "invalid choice: 'davs'"), usage=True),
    Bad("check-root-missing", "check_data davs --type davis", ("folder not found: davs", "Did you mean 'davis'")),
    Bad("check-split-unknown", "check_data davis --type davis --split vall", ("vall",)),
    Bad("check-option-without-meaning", "check_data davis --type folder --split val", ("--split has no meaning",)),
    Bad("memory-plot-suffix", "plot_memory tiny.py --out m.txt", ("m.txt", ".csv")),
    Bad("memory-plot-settles-late", "plot_memory tiny.py --out m.csv --frames 9 --settled 9", ("--settled 9",)),
    Bad("memory-plot-adds-late", "plot_memory tiny.py --out m.csv --frames 9 --add-at 9", ("--add-at 9",)),
    Bad("sparsity-of-a-dense-model", "plot_sparsity tiny.py --out o", ("tiny.py", "no sparse convolution")),
    Bad("sparsity-video-without-mask", "plot_sparsity tiny.py --out o --video images", ("--mask",)),
    Bad("drift-of-a-dense-model", "measure_drift tiny.py", ("tiny.py", "'sparse'")),
    Bad("drift-share-out-of-range", "measure_drift tiny.py --share 1.5", ("--share", "1.5")),
    Bad("benchmark-density-of-a-dense-model", "benchmark tiny.py --density 0.1 --frames 1 --size 32 32",
        ("--density", "there is none")),
    Bad("kind-misspelt", "list_plugins segmentr", ("Did you mean 'segmentor'",)),
]

ALL = [*CONFIGS, *TRAINING, *CHECKPOINTS, *DATA, *VIDEOS, *SCORES, *OTHERS]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The folder that every test gets a copy of."""
    path = tmp_path_factory.mktemp("bad") / "world"
    path.mkdir()
    return make_world(path)


# torch cannot shut down the workers of a loader quietly when one of them was killed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_bad_input(bad, world, capfd):
    check_bad(bad, world, capfd)


def test_resume_falls_back_to_the_checkpoint_before_a_corrupt_one(world, capfd):
    earlier_run(world)
    cut("run/iter_6.pth")(world)
    assert run_line(f"{TRAIN} --resume") == 0
    said = capfd.readouterr()
    assert "iter_6.pth cannot be read, going on from iter_4.pth" in said.out and not said.err
    assert load_checkpoint_file("run/final.pth")["meta"]["iter"] == 6


def test_resume_with_nothing_to_resume_says_that_it_starts_anew(world, capfd):
    assert run_line(f"{TRAIN} --resume") == 0
    said = capfd.readouterr()
    assert "run has no checkpoint to resume from, training starts anew" in said.out and not said.err


@pytest.mark.parametrize(("spoil", "says"), [
    (cut(FRAME), "two/00002.jpg"), (mask(MASK, SMALL), "two/00002.png"), (picture(MASK, RGB), "two/00002.png"),
    (remove(MASK), "00002"), (mask(FIRST_OF_TWO, NOTHING), "two/00000.png"),
    (folder("davis/JPEGImages/480p/two"), "davis/JPEGImages/480p/two"),
], ids=["truncated", "size", "rgb", "missing", "empty", "no-frames"])
def test_check_data_names_the_fault_and_tells_by_its_status(world, capfd, spoil, says):
    assert run_line("check_data davis --type davis --split val") == 0
    spoil(world)
    capfd.readouterr()
    assert run_line("check_data davis --type davis --split val") == 1
    said = capfd.readouterr()
    assert says in said.out and not said.err


def test_every_command_is_covered():
    commands = {row.line.split()[0] for row in ALL}
    assert commands >= {"train", "test", "demo", "eval_masks", "convert_checkpoint", "parity", "model_stats",
                        "benchmark", "make_synthetic", "check_data", "list_plugins"}
    names = [row.name for row in ALL]
    assert len(set(names)) == len(names)
