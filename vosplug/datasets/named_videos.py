"""Data sets whose videos are found by name."""

from abc import abstractmethod
from collections.abc import Sequence

from ..structures import Video, VideoDataset
from ..utils.names import check_names


class NamedVideos(VideoDataset):
    """A data set that knows the ``names`` of its videos, and describes each when it is first asked for them.

    Args:
        names: names of the videos, in order.

    Raises:
        DataError: a name is not one plain part of a path.
    """

    def __init__(self, names: Sequence[str]):
        self.names = list(names)
        check_names(self.names, type(self).__name__)
        self._videos: list[Video] | None = None

    def videos(self) -> list[Video]:
        """All videos, in the order of ``names``."""
        if self._videos is None:
            self._videos = [self._video(name) for name in self.names]
        return self._videos

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def _video(self, name: str) -> Video:
        """The video of that name; :class:`DataError` if a file of it is missing or misnamed."""
