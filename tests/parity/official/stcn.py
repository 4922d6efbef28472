"""STCN and XMem."""

import torch
from torch import Tensor, nn

from .common import FLOAT64, clip_of, filled, manifest, normalised, one_hot, plain_resnets, recorded, shapes

STCN = {"repository": "github.com/hkchengrex/STCN", "commit": "eb83102e1957d9f21fb268ab202dad72ef06a1b0"}
XMEM = {"repository": "github.com/hkchengrex/XMem", "commit": "f3b841d50df058910bbf690229ddc15fb1aef7d6"}
BUDGET = {"max_mid_term_frames": 4, "min_mid_term_frames": 2, "max_long_term_elements": 50, "num_prototypes": 20}


def stcn(name: str = "stcn") -> dict:
    """One memory frame more than the first; padded frames."""
    plain_resnets()
    from model import mod_resnet

    mod_resnet.model_zoo.load_url = mod_resnet.load_weights_sequential = lambda *_: None
    from inference_core import InferenceCore
    from model import eval_network

    clip = {"frames": 7, "size": [58, 76], "objects": 2}
    settings = {"top_k": 20, "mem_every": 5, "include_last": False}
    fill = {"gains": [["key_proj.", 0.5], ["value_encoder.conv1.", 10.0], ["decoder.pred.", 0.5]],
            "offsets": [["decoder.pred.bias", -1.8]]}
    frames, label = clip_of(clip)
    network = eval_network.STCN().eval()
    names = shapes(network.state_dict())
    network.load_state_dict(filled(names, fill))
    keys, values = recorded(network, "encode_key"), recorded(network, "encode_value")
    core = InferenceCore(network, normalised(frames)[None], clip["objects"], **settings)
    reads = recorded(core.mem_bank, "match_memory")
    core.interact(one_hot(label, clip["objects"])[:, None], 0, clip["frames"])
    prob = core.prob[:, :, 0]
    key, thin, f16, f8, f4 = (value[0] for value in keys[1])
    outputs = {
        "prob": prob[:, :, ::4, ::4], "argmax": prob.argmax(dim=0)[:, ::2, ::2].to(torch.uint8), "key_frame1": key,
        "f16_thin_frame1": thin[::16], "f16_frame1": f16[::32], "f8_frame1": f8[::32, ::2, ::2],
        "f4_frame1": f4[::16, ::4, ::4], "value_frame0": values[0][:, ::16, 0], "readout_frame1": reads[0][:, ::16],
        "memory_size": torch.tensor([core.mem_bank.mem_k.shape[2], core.mem_bank.mem_v.shape[2]])}
    return manifest(name, STCN, clip, settings, fill, names, outputs, FLOAT64)


def xmem(name: str = "xmem") -> dict:
    """Long-term memory that is consolidated into, and forgets."""
    from model import resnet

    resnet.model_zoo.load_url = resnet.load_weights_add_extra_dim = lambda *_: None
    from model.network import XMem as Network

    clip = {"frames": 10, "size": [74, 92], "objects": 2}
    config = {"top_k": 30, "mem_every": 1, "deep_update_every": -1, "enable_long_term": True,
              "enable_long_term_count_usage": True, **BUDGET}
    fill = {"gains": [["key_proj.key_proj.", 0.5], ["key_proj.d_proj.", 0.2], ["key_proj.e_proj.", 0.5],
                      ["value_encoder.conv1.", 10.0], ["value_encoder.fuser.block2.", 0.5],
                      ["value_encoder.fuser.block1.", 0.7], ["value_encoder.hidden_reinforce.", 0.2],
                      ["decoder.hidden_update.transform.", 0.25], ["decoder.fuser.block1.", 0.7],
                      ["decoder.pred.", 0.35]], "offsets": [["decoder.pred.bias", -3.9]]}
    network = Network(dict(config)).eval()
    names = shapes(network.state_dict())
    network.load_state_dict(filled(names, fill))
    sizes = {"key_dim": network.key_dim, "value_dim": network.value_dim, "hidden_dim": network.hidden_dim}
    outputs = run_xmem(network, {**config, **sizes}, clip)
    return manifest(name, XMEM, clip, {"config": config, **sizes}, fill, names, outputs, FLOAT64)


def run_xmem(network: nn.Module, config: dict, clip: dict) -> dict[str, Tensor]:
    """Step through the clip."""
    from inference.inference_core import InferenceCore

    frames, label = clip_of(clip)
    keys, values = recorded(network, "encode_key"), recorded(network, "encode_value")
    core = InferenceCore(network, config)
    core.set_all_labels(list(range(1, clip["objects"] + 1)))
    memory, long, work = core.memory, core.memory.long_mem, core.memory.work_mem
    reads, made, removals, usages = recorded(memory, "match_memory"), recorded(memory, "consolidation"), [], []
    forget, sliced = long.remove_obsolete_features, work.get_all_sliced

    def removed(size: int) -> None:
        before = long.size
        forget(size)
        removals.append((before, long.size))

    def candidates(start: int, end: int) -> tuple:
        result = sliced(start, end)
        usages.append(result[3].flatten().clone())
        return result

    long.remove_obsolete_features, work.get_all_sliced = removed, candidates
    probs, hidden, sizes = [], [], []
    for t, frame in enumerate(normalised(frames)):
        given = {"mask": one_hot(label, clip["objects"]), "valid_labels": core.all_labels} if t == 0 else {}
        probs.append(core.step(frame, **given, end=t == clip["frames"] - 1))
        hidden.append(memory.get_hidden()[0].clone())
        sizes.append((work.size, long.size))
    prob = torch.stack(probs, dim=1)
    first, second = keys[:2]
    outputs = {
        "prob": prob[:, :, ::4, ::4], "argmax": prob.argmax(dim=0)[:, ::4, ::4].to(torch.uint8),
        "key_frame1": second[0][0], "selection_frame1": second[2][0], "shrinkage_frame0": first[1][0],
        "f16_frame1": second[3][0, ::32], "f8_frame1": second[4][0, ::32, ::2, ::2],
        "f4_frame1": second[5][0, ::16, ::4, ::4], "readout_frame1": reads[0][:, ::16],
        "readout_last": reads[-1][:, ::16], "hidden_frame0": hidden[0][:, ::4], "hidden_frame1": hidden[1][:, ::4],
        "hidden_before_last": hidden[-2][:, ::4], "value_frame0": values[0][0][0][:, ::16],
        "work_memory_size": torch.tensor(sizes)[:, 0], "long_memory_size": torch.tensor(sizes)[:, 1],
        "removals": torch.tensor(removals).reshape(-1, 2)}
    for number, ((key, value, shrinkage), usage) in enumerate(zip(made, usages, strict=True)):
        outputs.update({
            f"consolidation{number}_prototype_index": usage.topk(config["num_prototypes"]).indices,
            f"consolidation{number}_usage": usage, f"consolidation{number}_prototype_key": key[0, ::4],
            f"consolidation{number}_prototype_shrinkage": shrinkage[0, 0],
            f"consolidation{number}_prototype_value": value[0][:, ::32]})
    return outputs
