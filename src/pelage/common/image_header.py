"""Image headers: what kind of image a file is, its size and how it must be turned, without decoding it.

Segments of JPEG (ITU-T T.81, Annex B), chunks of PNG and WebP, directories of TIFF, the head of BMP; the orientation
is that of EXIF (CIPA DC-008), which is a TIFF directory wherever it stands.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pelage.common.errors import PelageError

ORIENTATION = 0x0112
_INTEGERS = {1: "B", 3: "H", 4: "I"}
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG's frame header, which tells its size."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image tell.

    Attributes:
        kind: jpeg, png, tiff, bmp or webp.
        stored: Width and height of the pixels as they are stored.
        orientation: 1..8 as EXIF has it; from 5 on, width and height change places.
    """

    kind: str
    stored: tuple[int, int]
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the image when it is turned upright."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


def sniff(data: bytes | mmap.mmap) -> str | None:
    """Return what kind of image bytes are by their first ones: jpeg, png, tiff, bmp, webp, or None."""
    start = data[:12]
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start.startswith((b"II*\0", b"MM\0*")):
        return "tiff"
    if start.startswith(b"BM"):
        return "bmp"
    return "webp" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None


def read_header(data: bytes | mmap.mmap, name: str = "image") -> Header:
    """Read the header of an image's bytes.

    Raises:
        PelageError: They are no image, or its header is broken off or contradicts itself (`name` says which).
    """
    kind = sniff(data)
    if kind is None:
        raise PelageError(
            f"{name} is not a readable image: it begins with {bytes(data[:8]).hex(' ') or 'nothing'}, not as a JPEG, "
            "PNG, TIFF, BMP or WebP does."
        )
    try:
        width, height, orientation = _READERS[kind](data)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise PelageError(f"{name} is not a readable image: the header of the {kind.upper()} is broken.") from error
    if width < 1 or height < 1:
        raise PelageError(f"{name} is not a readable image: its header tells {width} x {height} pixels.")
    return Header(kind, (width, height), orientation if 1 <= orientation <= 8 else 1)


def image_size(image: bytes | Path, name: str = "image") -> tuple[int, int]:
    """Return width and height of an image as it is when it is upright, however large it is, without decoding it.

    Args:
        image: The bytes of its file, or the path.
        name: What the bytes are called in an error.

    Raises:
        PelageError: It cannot be read, is no image or has no readable header.
    """
    if not isinstance(image, Path):
        return read_header(image, name).upright
    try:
        with open(image, "rb") as file:
            if not file.seek(0, 2):
                raise PelageError(f"{image} is not a readable image: the file has no bytes.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return read_header(data, str(image)).upright
    except OSError as error:
        raise PelageError(f"{image} cannot be read: {error.strerror}.") from error


def jpeg_segments(data: bytes | mmap.mmap, at: int = 2) -> Iterator[tuple[int, int, int]]:
    """Yield `(marker, start, end)` of a JPEG's whole segments from byte `at` to the next scan's head or to the end.

    Start and end are those of the content. Bytes between segments are passed by, as decoders do.
    """
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker in (0x00, 0x01, 0xFF, 0xD8) or 0xD0 <= marker <= 0xD7:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            return
        end = at + 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
        if end > len(data):
            return
        yield marker, at + 4, end
        if marker == 0xDA:
            return
        at = end


def png_chunks(data: bytes | mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    """Yield `(name, start, end)` of a PNG's whole chunks; start and end are those of the content."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        name, end = bytes(data[at + 4 : at + 8]), at + 8 + length
        if end + 4 > len(data):
            return
        yield name, at + 8, end
        if name == b"IEND":
            return
        at = end + 4


def _tags(data: bytes | mmap.mmap, base: int = 0) -> dict[int, int]:
    """Return the whole numbers of the first directory of a TIFF that begins at `base`, by tag."""
    order = {b"II": "<", b"MM": ">"}[bytes(data[base : base + 2])]
    (offset,) = struct.unpack(order + "I", data[base + 4 : base + 8])
    at = base + offset
    (count,) = struct.unpack(order + "H", data[at : at + 2])
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if entry + 12 > len(data):
            break
        tag, kind, number = struct.unpack(order + "HHI", data[entry : entry + 8])
        if kind in _INTEGERS and number == 1:
            form = order + _INTEGERS[kind]
            tags[tag] = struct.unpack(form, data[entry + 8 : entry + 8 + struct.calcsize(form)])[0]
    return tags


def _exif_orientation(exif: bytes) -> int:
    """Return the orientation that a block of EXIF tells; 1 if it tells none or is broken, for it is no pixel."""
    try:
        return _tags(exif.removeprefix(b"Exif\0\0")).get(ORIENTATION, 1)
    except (struct.error, KeyError):
        return 1


def _jpeg(data: bytes | mmap.mmap) -> tuple[int, int, int]:
    size, orientation = None, 0
    for marker, start, end in jpeg_segments(data):
        if marker in FRAMES and size is None:
            height, width = struct.unpack(">HH", data[start + 1 : start + 5])
            size = width, height
        elif marker == 0xE1 and not orientation and data[start : start + 6] == b"Exif\0\0":
            orientation = _exif_orientation(bytes(data[start:end]))
    if size is None:
        raise ValueError("no frame header")
    return *size, orientation


def _png(data: bytes | mmap.mmap) -> tuple[int, int, int]:
    width, height = struct.unpack(">II", data[16:24])
    orientation = 1
    for name, start, end in png_chunks(data):
        if name == b"eXIf":
            orientation = _exif_orientation(bytes(data[start:end]))
            break
    return width, height, orientation


def _tiff(data: bytes | mmap.mmap) -> tuple[int, int, int]:
    tags = _tags(data)
    return tags.get(0x0100, 0), tags.get(0x0101, 0), tags.get(ORIENTATION, 1)


def _bmp(data: bytes | mmap.mmap) -> tuple[int, int, int]:
    old = int.from_bytes(data[14:18], "little") == 12
    width, height = struct.unpack("<HH", data[18:22]) if old else struct.unpack("<ii", data[18:26])
    return width, abs(height), 1  # a negative height says that rows go downwards


def _webp(data: bytes | mmap.mmap) -> tuple[int, int, int]:
    form = bytes(data[12:16])
    if form == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif form == b"VP8L":
        (packed,) = struct.unpack("<I", data[21:25])
        width, height = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    elif form == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[26:30]))
    else:
        raise ValueError("no WebP chunk that tells a size")
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return width, height, _exif_orientation(bytes(data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return width, height, 1


_READERS = {"jpeg": _jpeg, "png": _png, "tiff": _tiff, "bmp": _bmp, "webp": _webp}
