"""The model of a manifest."""

import torch
from torch import nn

from ...converters import AOTConverter, DeAOTConverter
from ...registry import SEGMENTORS
from ...utils.checkpoint import load_weights
from ...utils.configs import load_config
from ...utils.errors import CheckpointError
from ..manifest import Manifest


def build_model(manifest: Manifest, dtype: torch.dtype, **options) -> tuple[nn.Module, dict[str, str]]:
    """The config that a manifest names, with its weights, gap and number of identities, loaded strictly.

    Args:
        manifest: of AOT or DeAOT.
        dtype: floating type of the model.
        options: changes of the config of the model, by dotted names.

    Raises:
        CheckpointError: the weights are not those of the variant that the manifest names.

    Returns:
        The model, and our name of each weight -> its name in the source.
    """
    settings = manifest.hyperparameters
    converter = DeAOTConverter() if "deaot" in settings["config_name"] else AOTConverter()
    conversion = converter.convert({k: torch.from_numpy(v) for k, v in manifest.weights().items()})
    if conversion.unknown:
        raise CheckpointError(f"{manifest.path}: not all weights are used: {conversion.coverage()}")
    gap = settings.get("long_term_mem_gap", settings.get("train_long_term_mem_gap"))
    cfg = load_config(f"{settings['config_name']}.py").model
    manifest.adapt(cfg, {"memory.gap": gap, "memory.train_gap": gap, "memory.max_tokens": None,
                         "max_objects": settings["max_obj_num"], **options})
    model = SEGMENTORS.build(cfg)
    load_weights(model, conversion.state)
    return model.to(dtype).eval(), conversion.sources
