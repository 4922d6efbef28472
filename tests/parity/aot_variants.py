"""Manifests of all variants of AOT and DeAOT, derived from the three that there are."""

import re

from vosplug.parity import Manifest
from vosplug.parity.fill import checksum, fill_state_dict

VARIANTS = [f"{backbone}{family}{size}" for family in ("aot", "deaot")
            for backbone, size in (("", "t"), ("", "s"), ("", "b"), ("", "l"), ("r50_", "l"))]
LAYERS = {"t": 1, "s": 2, "b": 3, "l": 3}
TRAINED_FROM = {"aott": 5_733_843, "aots": 6_997_979, "aotb": 8_262_115, "aotl": 8_262_115, "r50_aotl": 14_909_667,
                "deaott": 7_238_188, "deaots": 10_202_765, "deaotb": 13_167_342, "deaotl": 13_167_342,
                "r50_deaotl": 19_814_894}
KEYS = {"aott": 323, "aots": 357, "aotb": 391, "aotl": 391, "r50_aotl": 346,
        "deaott": 325, "deaots": 362, "deaotb": 399, "deaotl": 399, "r50_deaotl": 354}


def state_dict_of(variant: str, manifests: dict[str, Manifest]) -> dict[str, list[int]]:
    """Names and shapes of the source's weights of a variant.

    Args:
        variant: one of :data:`VARIANTS`.
        manifests: those of ``aott``, ``deaott`` and ``r50_deaotl``.
    """
    family, layers = ("deaot" if "deaot" in variant else "aot"), LAYERS[variant[-1]]
    own = manifests[f"{family}t"].spec["state_dict"]
    deep = manifests["r50_deaotl"].spec["state_dict"]
    encoder = deep if variant.startswith("r50") else own
    of_encoder = re.compile(r"encoder(_projector)?\.|decoder\.adapter")
    state = {name: shape for name, shape in own.items() if not of_encoder.match(name)}
    state.update({name: shape for name, shape in encoder.items() if of_encoder.match(name)})
    for layer in range(1, layers):
        source = deep if family == "deaot" else own
        first = 1 if family == "deaot" else 0
        for name, shape in source.items():
            if name.startswith(f"LSTT.layers.{first}."):
                state[name.replace(f"layers.{first}.", f"layers.{layer}.")] = shape
            if family == "aot" and name.startswith("LSTT.decoder_norms.0."):
                state[name.replace("norms.0.", f"norms.{layer}.")] = shape
    if family == "aot":
        state["decoder.conv_in.conv.weight"] = [256, 256 * (layers + 1), 1, 1]
    return state


def manifest_of(variant: str, base: Manifest, manifests: dict[str, Manifest], **changes) -> Manifest:
    """The manifest ``base`` with the weights of a variant; ``changes`` are hyper-parameters."""
    state = state_dict_of(variant, manifests)
    fill = {**base.spec["fill"]}
    fill["checksum"] = checksum(fill_state_dict(state, fill["gains"], fill["offsets"]))
    settings = {**base.hyperparameters, "config_name": variant, "lstt_num": LAYERS[variant[-1]], **changes}
    return Manifest(base.path, {**base.spec, "state_dict": state, "fill": fill, "hyperparameters": settings},
                    base.expected, base.inputs)
