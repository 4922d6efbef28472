"""Files of masks as they are stored: index or grey values, palette, and how exact they can be."""

import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .containers import GREY, PALETTE, Header, check_container, png_chunks, read_bytes
from .errors import DataError
from .images import heard, upright


@dataclass(frozen=True)
class MaskFile:
    """The content of a file that is to be a mask.

    Attributes:
        path: of the file.
        mode: as Pillow calls it: ``P`` palette, ``L`` grey, ``1`` black and white, ``RGB``, ...
        values: (H, W) uint8 indices or grey values, not scaled where a file has fewer than 8 bits; (H, W, 3) colours;
            or an array of another type for files of more bits. Read-only.
        palette: (N, 3) uint8 colours of the indices, or None.
        lossy: the format does not keep values exactly.
    """

    path: Path
    mode: str
    values: np.ndarray
    palette: np.ndarray | None = None
    lossy: bool = False

    @property
    def has_indices(self) -> bool:
        """Whether the values can be ids: one of at most 8 bits per pixel."""
        return self.mode in ("P", "L", "1")


def open_mask(path: Path, data: bytes | None = None) -> MaskFile:
    """Read a file, or the bytes of one that is called ``path``; :class:`DataError` if it is missing or damaged."""
    data = read_bytes(path, "mask") if data is None else data
    header = check_container(data, path)
    if is_plain_index_png(data) and header.orientation == 1:
        plain = _plain_indices(data, path, header)
        if plain is not None:
            return plain
    try:
        with heard(header) as messages:
            image = Image.open(io.BytesIO(data))
            image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: not a readable image ({error})") from error
    if messages:
        raise DataError(f"{path}: the JPEG file is damaged or cut short ({messages})")
    mode, palette = image.mode, None
    if mode == "PA":
        image, mode = image.convert("RGBA"), "RGBA"
    if mode == "P":
        palette = np.frombuffer(bytes(image.getpalette("RGB") or ()), np.uint8).reshape(-1, 3)
    values = np.asarray(image if mode in ("P", "L", "1") or mode[0] in "IF" else image.convert("RGB"))
    if mode == "1":
        values = values.view(np.uint8)
    if header.format == "png" and header.colour == GREY and header.depth in (2, 4) and mode == "L":
        values = values // (255 // (2**header.depth - 1))  # Pillow spreads few bits over the range of eight
    return MaskFile(path, mode, upright(values, header.orientation), palette,
                    lossy=header.format == "jpeg" or (header.format == "webp" and mode != "P"))


def _plain_indices(data: bytes, path: Path, header: Header) -> MaskFile | None:
    """An index PNG whose rows are stored as they are, as most masks are, in less time; None for others."""
    height, width = header.stored
    packed, palette = [], np.zeros((0, 3), np.uint8)
    for kind, start, end in png_chunks(data, path):
        if kind == b"IDAT":
            packed.append(data[start:end])
        elif kind == b"PLTE":
            palette = np.frombuffer(data[start:end - (end - start) % 3], np.uint8).reshape(-1, 3)
    stream = zlib.decompressobj()
    try:
        rows = stream.decompress(b"".join(packed), height * (width + 1) + 1)
    except zlib.error:
        return None
    if data[28] or not stream.eof or len(rows) != height * (width + 1):  # interlaced, or not what the header says
        return None
    rows = np.frombuffer(rows, np.uint8).reshape(height, width + 1)
    if rows[:, 0].any():  # a filter of PNG
        return None
    return MaskFile(path, "P", np.ascontiguousarray(rows[:, 1:]), palette)


def is_plain_index_png(data: bytes) -> bool:
    """Whether bytes are those of an 8-bit PNG with a palette."""
    return data[:8] == b"\x89PNG\r\n\x1a\n" and data[24:26] == bytes((8, PALETTE))
