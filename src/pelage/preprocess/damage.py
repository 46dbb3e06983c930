"""Damage: what is missing from the file of a photo, and what of it cannot have been written so.

Decoders fill what is missing with grey, go on after nonsense and only warn. So a JPEG's segments are walked (ITU-T
T.81, Annex B) and its scans are decoded once more at an eighth of their size, by a library that passes on what libjpeg
warns of; a PNG's checksums are compared; of TIFF, BMP and WebP, Pillow, which is strict, tells where they end.
"""

from __future__ import annotations

import re
import warnings
import zlib
from io import BytesIO

import simplejpeg
from PIL import Image

from pelage.common.image_header import FRAMES, jpeg_segments, png_chunks

Image.MAX_IMAGE_PIXELS = None  # a photo of 200 megapixels is a photo

_EOI = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A JPEG marker that ends a scan: neither a stuffed byte nor a restart."""
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_HARMLESS = (
    "Unsupported color conversion",  # OpenCV has another way
    "Unsupported JPEG data precision",
    "Invalid SOS parameters for sequential JPEG",  # some cameras write them, and nobody uses them
    "Inconsistent progression sequence",
)
_PIECE = 1 << 20


def find_damage(data: bytes, kind: str) -> tuple[str, str] | None:
    """Return what is wrong with the file of an image, or None.

    Args:
        data: The file's bytes.
        kind: What `image_header.sniff` says of them.

    Returns:
        `truncated` (it ends before its last pixels) or `damaged` (it ends well, but something in it is not what was
        written), and a sentence.
    """
    if kind == "jpeg":
        whole = _end(data) >= 0
        damage = jpeg_damage(data if whole else data + _EOI)
        if not whole:
            whole, damage = damage is None, None  # it may lack nothing but the marker
    elif kind == "png":
        whole, damage = _png_faults(data)
    else:
        whole, damage = _pillow_finds_all(data), None
    if not whole:
        return "truncated", f"The {kind.upper()} ends before its last pixels, after {len(data)} bytes."
    return None if damage is None else ("damaged", damage)


def _end(data: bytes) -> int:
    """Return where a JPEG's end marker is: not that of the thumbnail in EXIF or of a second picture; -1 if nowhere."""
    segments = list(jpeg_segments(data))
    while segments and segments[-1][0] == 0xDA and (found := _MARKER.search(data, segments[-1][2])):
        if found.group() == _EOI:
            return found.start()
        segments = list(jpeg_segments(data, found.start()))
    return len(data) - 2 if data.endswith(_EOI) else -1  # within a scan FF is stuffed: a cut hardly leaves this


def jpeg_damage(data: bytes) -> str | None:
    """Return a sentence on the damage of a JPEG that has an end marker, or None.

    A scan that was overwritten in part still decodes, for any bits are some codes. But they hardly ever make as many
    blocks as were there, so data are left over before the end, or end too soon, or a code is none, and libjpeg says so.
    That some padding stands before the end marker is no damage, nor is anything after it or outside the pixels. Zeros
    in place of what was lost are looked for, too: they may fill up blocks without a word.
    """
    segments = list(jpeg_segments(data))
    components = next((data[start + 5 : end][:1] for marker, start, end in segments if marker in FRAMES), b"")
    end, left = _end(data), 0
    try:
        simplejpeg.decode_jpeg(_pixels_only(data, segments), "CMYK" if components == b"\x04" else "GRAY", min_factor=8)
    except ValueError as error:
        warning = str(error)
        extraneous = _EXTRANEOUS.search(warning)
        left = int(extraneous[1]) if extraneous else 0
        harmless = len(set(data[end - left : end])) == 1 if extraneous else warning.startswith(_HARMLESS)
        if not harmless:
            return f"The JPEG's data are damaged ({warning.removeprefix('Corrupt JPEG data: ')})."
    lost = _lost(data, segments, end - left)
    return None if lost is None else f"The JPEG's data are damaged ({lost})."


def _pixels_only(data: bytes, segments: list[tuple[int, int, int]]) -> bytes:
    """Return a JPEG without its comments and application segments, of which libjpeg might warn first."""
    kept = [data[start - 4 : end] for marker, start, end in segments if not 0xE0 <= marker <= 0xEF and marker != 0xFE]
    return b"".join([b"\xff\xd8", *kept, data[segments[-1][2] :] if segments else b""])


def _lost(data: bytes, segments: list[tuple[int, int, int]], end: int) -> str | None:
    """Return what of a JPEG's scans, which go on to byte `end`, was never written by an encoder; None if all was.

    Zero bits are the first code of a table. In a sequential scan it may say that nothing follows in a block, as in a
    clear sky; if it is a coefficient, zeros are blocks in which each is -1, which nobody photographs. In a progressive
    one that nothing follows is said once for many blocks, so zeros are never right (but in scans of averages and of
    lower bits they may be); and what its scans leave out of a block's 64 coefficients is lost.
    """
    first: dict[int, int] = {}
    missing: dict[int, set[int]] = {}
    while segments:
        for marker, start, stop in segments:
            if marker == 0xC2:
                missing = {data[at]: set(range(64)) for at in range(start + 6, stop - 2, 3)}
            while marker == 0xC4 and start + 17 < stop:
                first[data[start]] = data[start + 17]
                start += 17 + sum(data[start + 1 : start + 17])
        marker, start, stop = segments[-1]
        if marker != 0xDA or stop - start < 4:
            break
        found = _MARKER.search(data, stop)
        scan_end = min(found.start() if found else len(data), end)
        lowest, highest, bits = data[stop - 3 : stop]
        components = range(start + 1, stop - 4, 2)
        if missing:
            filled = lowest > 0 and bits < 0x10
            for at in components if not bits & 0x0F else ():
                missing.get(data[at], set()).difference_update(range(lowest, highest + 1))
        else:
            filled = any(first.get(0x10 | data[at + 1] & 0x0F, 0) & 0x0F for at in components)
        run = data.find(bytes(64), stop, scan_end) if filled else -1
        if run >= 0:
            return f"from byte {run} on they are zeros"
        segments = list(jpeg_segments(data, scan_end)) if scan_end < end else []
    return "the last scans are missing" if any(missing.values()) else None


def _png_faults(data: bytes) -> tuple[bool, str | None]:
    """Return whether a PNG's pixels are all there, and a sentence on the damage of its chunks, or None."""
    inflate, whole, damage = zlib.decompressobj(), False, None
    for name, start, end in png_chunks(data):
        if name[0] & 0x20:  # what is no pixel
            continue
        if zlib.crc32(data[start - 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            damage = damage or f"The PNG is damaged: the checksum of {name.decode('latin1')} at byte {start} is wrong."
        if name == b"IEND":
            whole = True
        elif name == b"IDAT" and damage is None and not inflate.eof:
            try:
                inflate.decompress(data[start:end], _PIECE)
                while inflate.unconsumed_tail:
                    inflate.decompress(inflate.unconsumed_tail, _PIECE)
            except zlib.error as error:
                damage = f"The PNG is damaged: {error}."
    return whole or inflate.eof, damage


def _pillow_finds_all(data: bytes) -> bool:
    """Return False if Pillow, which is strict where OpenCV is not, misses the end of an image."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(data)) as image:
            image.load()
    except Exception as error:  # what it cannot read for another reason (a rare compression) is left to OpenCV
        return not re.search("truncated|broken", str(error), re.IGNORECASE)
    return True
