"""What the bytes of a picture file say before a decoder sees them: whether they are whole, its size, how it is turned.

PNG has a checksum for every chunk, which decoders check in part or not at all. What follows the end of a picture
(a second picture, notes of a camera) is no damage.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import DataError

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
MAX_PIXELS = 100_000_000
"""Of a picture: as RGB, in two orders of channels, it needs 600 MB."""
GREY, PALETTE = 0, 3
"""Colour types of PNG."""
_ORIENTATION = 0x0112
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOFn: markers with the size of a JPEG
_BARE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a length


@dataclass(frozen=True)
class Header:
    """What a file says of its picture.

    Attributes:
        format: ``png``, ``jpeg``, ``webp``, ``bmp``, or an empty text for others, of which nothing is known here.
        stored: (H, W) as the pixels are stored, or None where that is not known.
        depth: bits per sample.
        colour: colour type of a PNG: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
        orientation: 1 to 8 of EXIF: how the stored pixels have to be turned; from 5 on the sides change places.
    """

    format: str = ""
    stored: tuple[int, int] | None = None
    depth: int = 8
    colour: int = 2
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) of the picture as it is to be seen."""
        return self.stored[::-1] if self.stored is not None and self.orientation >= 5 else self.stored


def read_bytes(path: Path, what: str = "image") -> bytes:
    """The content of a file; :class:`DataError` if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{what} not found: {path}") from error
    except OSError as error:
        raise DataError(f"{what} not found or unreadable: {path} ({error.strerror})") from error


def check_container(data: bytes, path: Path) -> Header:
    """Look through the bytes of a picture file.

    Raises:
        DataError: the file is damaged or cut short, as far as its format tells, or promises too many pixels.
    """
    if data[:8] == PNG:
        header = _check_png(data, path)
    elif data[:2] == JPEG:
        header = _check_jpeg(data, path)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        header = _check_webp(data, path)
    elif data[:2] == b"BM" and len(data) >= 54:
        header = _check_bmp(data, path)
    else:
        return Header()
    if header.stored is not None and header.stored[0] * header.stored[1] > MAX_PIXELS:
        raise _unreadable(path, f"it promises {header.stored[1]} x {header.stored[0]} pixels, and more than "
                                f"{MAX_PIXELS // 1_000_000} million are not read")
    return header


def _check_png(data: bytes, path: Path) -> Header:
    header = Header("png")
    for kind, start, end in png_chunks(data, path):
        if zlib.crc32(memoryview(data)[start - 4:end]) != int.from_bytes(data[end:end + 4], "big"):
            raise _unreadable(path, f"the PNG file is damaged, the checksum of its part {kind.decode('latin-1')!a} is "
                                    "wrong")
        if kind == b"IHDR" and end - start == 13:
            width, height, depth, colour = struct.unpack(">IIBB", data[start:start + 10])
            header = replace(header, stored=(height, width), depth=depth, colour=colour)
        elif kind == b"eXIf":
            header = replace(header, orientation=exif_orientation(data[start:end]))
    return header


def png_chunks(data: bytes, path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Type, begin and end of the content of each chunk, to the last one."""
    place = len(PNG)
    while True:
        length, kind = data[place:place + 4], data[place + 4:place + 8]
        start, end = place + 8, place + 8 + int.from_bytes(length, "big")
        if len(kind) < 4 or end + 4 > len(data):
            raise _unreadable(path, "the PNG file is cut short or damaged (no end marker)")
        yield kind, start, end
        if kind == b"IEND":
            return
        place = end + 4


def _check_jpeg(data: bytes, path: Path) -> Header:
    header, place = Header("jpeg"), 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _BARE or marker == 0xFF:
            place += 1 if marker == 0xFF else 2
            continue
        start, end = place + 4, place + 2 + int.from_bytes(data[place + 2:place + 4], "big")
        if marker in _SIZES:
            height, width = struct.unpack(">HH", data[start + 1:start + 5].ljust(4, b"\0"))
            header = replace(header, stored=(height, width))
        elif marker == 0xE1 and data[start:start + 6] == b"Exif\0\0":
            header = replace(header, orientation=exif_orientation(data[start + 6:end]))
        elif marker in (0xDA, 0xD9):  # pixels follow, in which the end marker cannot occur
            break
        place = max(end, start)
    if data.find(b"\xff\xd9", place) < 0:
        raise DataError(f"{path}: the JPEG file is cut short (no end marker)")
    return header


def _check_webp(data: bytes, path: Path) -> Header:
    header, place, end = Header("webp"), 12, 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise DataError(f"{path}: the WebP file is cut short")
    while place + 8 <= end:
        kind, length = data[place:place + 4], int.from_bytes(data[place + 4:place + 8], "little")
        start = place + 8
        if kind == b"VP8X":
            width, height = (1 + int.from_bytes(data[start + k:start + k + 3], "little") for k in (4, 7))
            header = replace(header, stored=(height, width))
        elif kind == b"EXIF":
            content = data[start:start + length]
            header = replace(header, orientation=exif_orientation(content.removeprefix(b"Exif\0\0")))
        place = start + length + length % 2
    return header


def _check_bmp(data: bytes, path: Path) -> Header:
    stated, begin, _, width, height, _, bits, compression = struct.unpack("<I4xIIiiHHI", data[2:34])
    size = abs(height), abs(width)
    needed = begin + (abs(width) * bits + 31) // 32 * 4 * abs(height) if compression == 0 else stated
    if len(data) < needed:
        raise DataError(f"{path}: the BMP file is cut short")
    return Header("bmp", size)


def exif_orientation(exif: bytes) -> int:
    """The orientation in a block of EXIF, 1 (upright) where there is none or the block makes no sense."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        place, = struct.unpack_from(f"{order}I", exif, 4)
        count, = struct.unpack_from(f"{order}H", exif, place)
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, kind, number, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if tag == _ORIENTATION:
                return value if kind == 3 and number == 1 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(f"{path}: not a readable image: {reason}")
