"""AOT and DeAOT, the smallest of each."""

import importlib

import torch
from torch import Tensor
from torch.nn import functional as F

from .common import FLOAT64, clip_of, filled, manifest, normalised, recorded, shapes

SOURCE = {"repository": "github.com/yoxu515/aot-benchmark", "commit": "601c138435a1764eb01404f3495b914e6e2e8eca"}
UNSET = dict(MODEL_FREEZE_BN=True, TRAIN_ENCODER_FREEZE_AT=2, TRAIN_LSTT_EMB_DROPOUT=0.0, TRAIN_LSTT_ID_DROPOUT=0.0,
             TRAIN_LSTT_DROPPATH=0.0, TRAIN_LSTT_DROPPATH_SCALING=False, TRAIN_LSTT_DROPPATH_LST=False,
             TRAIN_LSTT_LT_DROPOUT=0.0, TRAIN_LSTT_ST_DROPOUT=0.0)
FILL = {"gains": [["decoder.conv_out.", 4.0], ["patch_wise_id_bank.", 6.0], ["encoder_projector.", 3.0]],
        "offsets": [["decoder.conv_4x.gn.bias", -1.0]]}
OUTPUT_SIZE = (58, 76)


def aot() -> dict:
    """Without a growing long-term memory."""
    return clip_with("aott", 9999)


def deaot() -> dict:
    """With one that grows every second frame."""
    return clip_with("deaott", 2)


def clip_with(variant: str, gap: int) -> dict:
    """Frames of network size (16n + 1), given masks too; masks are fed back at another size."""
    from networks.layers import transformer

    transformer.MultiheadLocalAttentionV3 = transformer.MultiheadLocalAttentionV2  # as with its CUDA sampler
    from networks.engines import build_engine
    from networks.models import build_vos_model

    config = importlib.import_module(f"configs.models.{variant}").ModelConfig()
    for key, value in UNSET.items():
        setattr(config, key, value)
    clip = {"frames": 4, "size": [65, 81], "objects": 2}
    settings = {"config_name": variant, "output_size": list(OUTPUT_SIZE), "long_term_mem_gap": gap,
                "max_obj_num": config.MODEL_MAX_OBJ_NUM}
    fill = dict(FILL)
    model = build_vos_model(config.MODEL_VOS, config).eval()
    names = shapes(model.state_dict())
    model.load_state_dict(filled(names, fill))
    engine = build_engine(config.MODEL_ENGINE, phase="eval", aot_model=model, gpu_id=0, long_term_mem_gap=gap,
                          short_term_mem_skip=1)
    outputs = run(model, engine.eval(), clip)
    return manifest(variant, SOURCE, clip, settings, fill, names, outputs, FLOAT64)


def run(model, engine, clip: dict) -> dict[str, Tensor]:
    """Step through the clip."""
    frames, label = clip_of(clip)
    identities, passes, encoded = (recorded(model, x) for x in ("get_id_emb", "LSTT_forward", "encode_image"))
    logits, probs, labels, lengths, first = [], [], [], [], None
    for t, frame in enumerate(normalised(frames)):
        if t == 0:
            given = torch.from_numpy(label).double()[None, None]
            engine.add_reference_frame(frame[None], given, frame_step=0, obj_nums=[clip["objects"]])
            kept = [x for x in memory(engine)[-1] if x is not None]
            first = maps(torch.cat(kept, dim=-1), engine.enc_size_2d)[0]
            continue
        engine.match_propogate_one_frame(frame[None])
        prob = engine.decode_current_logits(OUTPUT_SIZE).softmax(dim=1)
        logits.append(engine.aot_engines[0].pred_id_logits[0, : clip["objects"] + 1].clone())
        probs.append(prob[0, : clip["objects"] + 1, ::4, ::4])
        labels.append(prob.argmax(dim=1))
        engine.update_memory(F.interpolate(labels[-1][None].double(), size=engine.input_size_2d, mode="nearest"))
        lengths.append(memory(engine)[-1][0].shape[0])
    size = engine.enc_size_2d
    lstt = [torch.stack([maps(x, size)[0, ::8] for x in result[0]]) for result in passes]
    fine, middle, coarse, context = (x[0] for x in encoded[1])
    return {
        "lstt_frame0": lstt[0], "lstt_frame1": lstt[1], "lstt_last": lstt[-1],
        "pos_emb": model.get_pos_emb(context[None])[0, ::8], "id_emb_frame0": identities[0][0, ::8],
        "long_memory_last_layer_frame0": first[::16],
        "encoder_4_frame1": fine[:: max(1, len(fine) // 16), ::4, ::4],
        "encoder_8_frame1": middle[:: len(middle) // 16, ::2, ::2], "encoder_16_frame1": coarse[:: len(coarse) // 16],
        "encoder_16_projected_frame1": context[::16], "logits_stride4": torch.stack(logits, dim=1),
        "prob": torch.stack(probs, dim=1), "label": torch.cat(labels).to(torch.uint8),
        "long_memory_length": torch.tensor(lengths)}


def memory(engine) -> list:
    """Long-term memory by layer."""
    return engine.aot_engines[0].long_term_memories


def maps(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(h w, B, C) -> (B, C, h, w)."""
    return tokens.permute(1, 2, 0).unflatten(2, tuple(size))
