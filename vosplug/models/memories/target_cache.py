"""Target models on disk: what is learnt from a first frame need not be learnt again in the next epoch."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...utils.checkpoint import load_checkpoint_file, save_checkpoint_file
from ...utils.errors import CheckpointError, OutputError

LOGGER = logging.getLogger("vosplug")
FORMAT = 1


class TargetCache:
    """A folder of target models, named by what they depend on.

    The key is a checksum of the pixels of the frame, the mask, object and frame number (of which random numbers are
    made), the options of the target model, and the weights of the backbone. So neither other weights nor other options
    can meet an entry that does not fit them; a backbone that is trained misses always. It pays where the same first
    frames come again, in training without augmentation of frames.

    Hits are logged: after 1, 10, 100, ... requests.

    Args:
        folder: is made if it is missing.
        options: of the target model.

    Raises:
        OutputError: the folder cannot be made or written.
    """

    def __init__(self, folder: str, options: Mapping[str, Any]):
        self.folder = Path(folder)
        self.options = repr(sorted(options.items()))
        self.asked = self.found = 0
        probe = self.folder / ".probe"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(f"cache_dir {folder} cannot be written: {error.strerror or error}") from error

    def key(self, frame: Tensor, mask: Tensor, name: tuple, backbone: nn.Module) -> str:
        """Name of the entry of an object: of its frame (3, H, W), its mask (H, W), and (object id, frame number)."""
        digest = hashlib.sha256(f"{FORMAT} {self.options} {name} {tuple(frame.shape)} {frame.dtype}".encode())
        for part in (frame, (mask > 0.5).to(torch.uint8)):
            digest.update(part.detach().cpu().contiguous().numpy().tobytes())
        for weight in backbone.state_dict().values():  # every time: nothing tells for sure that none has changed
            digest.update(weight.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def read(self, key: str) -> dict[str, Any] | None:
        """The entry of a key; None if there is none.

        Raises:
            CheckpointError: it is damaged, or another program's.
        """
        path = self.path(key)
        self.asked += 1
        entry = None
        if path.is_file():
            entry = load_checkpoint_file(path)
            if entry.get("key") != key or entry.get("format") != FORMAT:
                raise CheckpointError(f"{path} is no target model of this key: it is stale or was renamed; delete it")
            self.found += 1
        if str(self.asked).strip("0") == "1":
            LOGGER.info("target models: %d of %d found in %s", self.found, self.asked, self.folder)
        return None if entry is None else entry["target"]

    def write(self, key: str, target: Mapping[str, Any]) -> None:
        """Keep an entry."""
        save_checkpoint_file({"format": FORMAT, "key": key, "target": dict(target)}, self.path(key))

    def path(self, key: str) -> Path:
        """File of an entry."""
        return self.folder / key[:2] / f"{key}.pth"
