"""Photos that leave: copies, without the place that a camera or phone has written into them."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, UnidentifiedImageError

ORIENTATION, TIME_TAKEN, TIME_CHANGED, EXIF_TABLE = 0x0112, 0x9003, 0x0132, 0x8769
METADATA = (0xE1, 0xED)
"""JPEG segments APP1 (EXIF, XMP) and APP13 (IPTC), any of which may tell a place."""


def without_place(data: bytes) -> bytes | None:
    """Return a JPEG whose pixels are as they were, and whose metadata are its orientation and when it was taken.

    Returns:
        The bytes of the file, or None if it is no JPEG that can be read to its pixels.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            told, kind = image.getexif(), image.format
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return None
    if kind not in ("JPEG", "MPO") or data[:2] != b"\xff\xd8":
        return None
    kept, position = [b"\xff\xd8", _segment(0xE1, _exif(told))], 2
    while data[position : position + 1] == b"\xff":
        marker = data[position + 1]
        if marker == 0xFF:  # fill bytes
            position += 1
            continue
        if marker == 0xDA:  # the pixels, to the end
            return b"".join(kept) + data[position:]
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if length < 2:
            return None
        if marker not in METADATA:
            kept.append(data[position : position + 2 + length])
        position += 2 + length
    return None


def _exif(told: Image.Exif) -> bytes:
    made = Image.Exif()
    taken = told.get_ifd(EXIF_TABLE).get(TIME_TAKEN) or told.get(TIME_CHANGED)
    if told.get(ORIENTATION):
        made[ORIENTATION] = told[ORIENTATION]
    if taken:
        made.get_ifd(EXIF_TABLE)[TIME_TAKEN] = taken
    return made.tobytes()


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content
