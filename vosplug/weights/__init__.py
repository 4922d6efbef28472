"""Weights that come with vosplug, each with a card: what is used where a model is asked for and none is named."""

from dataclasses import dataclass
from pathlib import Path

from ..utils.errors import CheckpointError

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class ShippedModel:
    """A config and weights for it.

    Attributes:
        config: name of the config.
        file: name of the file in this folder; its card has the same name and ends in ``.md``.
        sha256: of the file.
    """

    config: str
    file: str
    sha256: str

    @property
    def path(self) -> Path:
        """The weights.

        Raises:
            CheckpointError: this copy of vosplug has none.
        """
        path = FOLDER / self.file
        if not path.is_file():
            raise CheckpointError(f"this copy of vosplug comes without {path}: install it again, or name a config and "
                                  "a checkpoint")
        return path

    @property
    def card(self) -> Path:
        """Where the weights come from, how good they are, and what they cannot do."""
        return FOLDER / f"{Path(self.file).stem}.md"


VOS = ShippedModel(config="stcn_lite", file="stcn_lite.pth", sha256="")
"""Follows objects whose first masks are given."""
