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
    def is_here(self) -> bool:
        """Whether this copy of vosplug has the weights."""
        return (FOLDER / self.file).is_file()

    @property
    def path(self) -> Path:
        """The weights.

        Raises:
            CheckpointError: this copy of vosplug has none.
        """
        if not self.is_here:
            raise CheckpointError(f"this copy of vosplug has no weights {self.file} of its own: name a config and a "
                                  f"checkpoint, for instance those of: vosplug train {self.config}_demo")
        return FOLDER / self.file

    @property
    def card(self) -> Path:
        """Where the weights come from, how good they are, and what they cannot do."""
        return FOLDER / f"{Path(self.file).stem}.md"


VOS = ShippedModel(config="stcn_lite", file="stcn_lite.pth",
                   sha256="e173aed0f68254bacce2f18835c568d9c570cb4d9d711d79d1857594dd3b1441")
"""Follows objects whose first masks are given."""
