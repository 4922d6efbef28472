"""Telling that a large backbone is trained from random weights."""

import logging

from torch import nn

from ..models.backbones import Backbone


def warn_of_random_backbones(model: nn.Module) -> None:
    """Warn once of backbones for which ImageNet weights are published and none were loaded."""
    names = [name for name, module in model.named_modules()
             if isinstance(module, Backbone) and module.is_random and module.published is not None]
    if names:
        options = " ".join(f"model.{name}.weights=imagenet" for name in names)
        logging.getLogger("vosplug").warning(
            "training begins with random weights of %s, which needs far more data and time than ImageNet weights do: "
            "--cfg-options %s", " and ".join(names), options)
