"""Finding the published weights of a backbone by name: ``weights="imagenet"``."""

import contextlib
import contextvars
import hashlib
import importlib.util
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ...utils.errors import CheckpointError
from ...utils.files import atomic_write

IMAGENET = "imagenet"
TORCHVISION = "https://download.pytorch.org/models"
FOLDERS = "VOSPLUG_WEIGHTS"
"""Environment variable: files of weights or folders of them, separated like those of ``PATH``."""
TIMEOUT = 30  # seconds without an answer

_unneeded = contextvars.ContextVar("unneeded", default=False)


@dataclass(frozen=True)
class Published:
    """Weights that others have published.

    Attributes:
        file: name of the file; a number of eight digits or more before its suffix is the beginning of its SHA-256.
        stem: what the names of such files begin with, wherever they come from.
        package: PyPI package that ships the file, or None.
        address: folder that it can be downloaded from, or None.
    """

    file: str
    stem: str
    package: str | None = None
    address: str | None = None

    @property
    def digest(self) -> str:
        """Beginning of the SHA-256 of the file."""
        return Path(self.file).stem.rpartition("-")[2]


@contextlib.contextmanager
def weights_follow() -> Iterator[None]:
    """Within, backbones do not load the weights that they would start from: a checkpoint of the whole model follows."""
    token = _unneeded.set(True)
    try:
        yield
    finally:
        _unneeded.reset(token)


def weights_are_needed() -> bool:
    """Whether a backbone that is built now has to load the weights that it is to start from."""
    return not _unneeded.get()


def find_weights(given: str, published: Published | None, network: str) -> Path:
    """The file that ``weights`` of a backbone means.

    Args:
        given: path of a file, of a folder with the file under its published name, or ``imagenet``: then the files and
            folders of the environment variable ``VOSPLUG_WEIGHTS``, installed packages, and the cache and the address
            of torch hub are asked, in this order.
        published: what is known of the network's weights.
        network: for messages.

    Raises:
        CheckpointError: there is no such file, or it cannot be had.
    """
    if given != IMAGENET and not Path(given).is_dir():
        return Path(given)
    if published is None:
        raise CheckpointError(f"no published weights are known for this {network}: give weights= the path of a file")
    if given != IMAGENET:
        found = in_folder(Path(given), published)
        if found is None:
            raise CheckpointError(f"{given} has no file {published.file} (or {published.stem}*.pth) for {network}")
        return found
    found = in_environment(published) or in_package(published) or in_hub(published)
    if found is not None:
        return found
    reason = "it has no address"
    if published.address is not None:
        try:
            return download(published)
        except (OSError, ValueError) as error:
            reason = f"{published.address} did not give them: {getattr(error, 'reason', error)}"
    raise CheckpointError(not_found(published, network, reason))


def in_environment(published: Published) -> Path | None:
    """The file among those that the environment variable names."""
    for name in filter(None, os.environ.get(FOLDERS, "").split(os.pathsep)):
        path = Path(name).expanduser()
        if not path.exists():
            raise CheckpointError(f"the environment variable {FOLDERS} names {name}, which does not exist")
        found = in_folder(path, published) if path.is_dir() else path if is_of(path, published) else None
        if found is not None:
            return found
    return None


def in_folder(folder: Path, published: Published) -> Path | None:
    """The file in a folder: under its published name, or else the one whose name begins alike."""
    if (folder / published.file).is_file():
        return folder / published.file
    others = sorted(path for path in folder.iterdir() if path.is_file() and is_of(path, published))
    if len(others) > 1:
        raise CheckpointError(f"{folder} has several files {published.stem}*.pth ({', '.join(p.name for p in others)}):"
                              " give weights= the path of one")
    return others[0] if others else None


def is_of(path: Path, published: Published) -> bool:
    """Whether a file is called as if it held these weights."""
    rest = path.name.removeprefix(published.stem)
    return path.suffix == ".pth" and path.name.startswith(published.stem) and not rest[0].isalnum()


def in_package(published: Published) -> Path | None:
    """The file inside an installed package, which is not imported."""
    if published.package is None:
        return None
    spec = importlib.util.find_spec(published.package.replace("-", "_"))
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).rglob(published.file)):
            return path
    return None


def in_hub(published: Published) -> Path | None:
    """The file in torch hub's cache."""
    path = hub_folder() / published.file
    return path if published.address is not None and path.is_file() else None


def hub_folder() -> Path:
    """Where torch hub keeps weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def download(published: Published) -> Path:
    """Fetch the file into torch hub's cache; it is put there only if its hash is right.

    Raises:
        OSError, ValueError: the address cannot be reached, or sent something else.
    """
    with urllib.request.urlopen(f"{published.address}/{published.file}", timeout=TIMEOUT) as source:
        content = source.read()
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(published.digest):
        raise ValueError(f"what came has the hash {digest[:8]} instead of {published.digest}")
    path = hub_folder() / published.file
    with atomic_write(path) as stream:
        stream.write(content)
    return path


def not_found(published: Published, network: str, reason: str) -> str:
    """One line with what can be done."""
    install = f"pip install {published.package}" if published.package else f"download {published.address}/" \
        f"{published.file} where there is a network, and put it into {hub_folder()}"
    return (f"the ImageNet weights of {network} are not here ({reason}): {install}; or set {FOLDERS} to a folder that "
            f"has {published.file}; or give weights= the path of a file")
