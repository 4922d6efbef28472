"""Sizes and resizing of frames."""

import numpy as np
import torch

from ...registry import PREPROCESSORS
from ..manifest import Manifest


def preprocessing(manifest: Manifest, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Every size of the table, and one resized frame; resizing has a type of its own, whatever ``dtype`` is."""
    sizes = []
    for row in manifest.spec["sizes"]:
        rule = PREPROCESSORS.build(dict(type="ResizingPreprocessor", align_corners=row["align_corners"]))
        sizes.append(rule.geometry(tuple(row["input"]), scale=row["scale"], max_short_side=row["max_short_edge"],
                                   max_long_side=row["max_long_edge"]).network)
    rule = PREPROCESSORS.build(dict(type="ResizingPreprocessor"))
    frame = torch.from_numpy(manifest.inputs["frames"][:1]).permute(0, 3, 1, 2)
    resized = rule.resize(frame, rule.geometry(tuple(frame.shape[-2:])))
    return {"sizes": np.array(sizes), "resized": resized[0].permute(1, 2, 0)[::4, ::4].numpy()}
