"""Damage: what is overwritten, zeroed, cut or padded is told; what no decoder minds is not, nor any real photo."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pelage.common.image_header import sniff
from pelage.preprocess.clean import look_at
from pelage.preprocess.damage import find_damage

KINDS = {
    "baseline": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "444": {"subsampling": 0},
}


def photo(seed: int = 0, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """Return a noisy photo `(H, W, 3)` with a sky that is clipped to white."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(20, 200, (size[0] // 8, size[1] // 8, 3), np.uint8), size[::-1])
    image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    image[: size[0] // 3] = 255
    return image


def encoded(image: np.ndarray, kind: str = "JPEG", **options) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {}) | options)
    return buffer.getvalue()


def middle(data: bytes, share: float = 0.6) -> int:
    start = data.index(b"\xff\xda") + 20
    return start + int((len(data) - start) * share)


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_a_jpeg_is_complete_with_anything_after_its_end_and_at_no_cut_before(options):
    exif = Image.Exif()
    exif[0x010E] = "a thumbnail ends like a photo: \xff\xd9"
    data = encoded(photo(1), exif=exif, **options)
    assert find_damage(data, "jpeg") is None
    assert find_damage(data + bytes(1000), "jpeg") is None
    for cut in range(len(data) // 2, len(data) - 400, 997):
        assert find_damage(data[:cut] + bytes(len(data) - cut), "jpeg")  # zero-filled, as a card leaves it
        assert find_damage(data[:cut] + bytes(len(data) - cut) + b"\xff\xd9", "jpeg")
        assert look_at(data[:cut]).reason == "truncated"


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_overwritten_blocks_are_told(options):
    data, other = encoded(photo(1), **options), encoded(photo(2), **options)
    told = []
    for share in np.linspace(0.2, 0.7, 10):
        at = middle(data, share)
        for size in (512, 1500):
            for fill in (bytes(size), b"\xff" * size, np.random.default_rng(3).bytes(size)):
                reason, detail = find_damage(data[:at] + fill + data[at + size :], "jpeg")
                assert reason == "damaged" and detail.startswith("The JPEG's data are damaged (")
            told.append(
                find_damage(data[:at] + other[at - 999 : at - 999 + size] + data[at + size :], "jpeg") is not None
            )
    assert np.mean(told) >= 0.6  # blocks of another photo may be as many, and then nothing betrays them


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_what_costs_no_pixel_is_no_damage(options):
    data = encoded(photo(1), **options)
    end = len(data) - 2
    exif = b"\xff\xe1\x00\x10Exif\0\0broken!!"
    harmless = {
        "padding before the end": data[:end] + bytes(300) + data[end:],
        "one byte before the end": data[:end] + b"\x5a" + data[end:],
        "anything after the end": data + b"anything \xff\xda\xff\xd8" * 9,
        "no end": data[:end],
        "padding before the end of the first of two": data[:end] + bytes(300) + data[end:] + data,
        "broken EXIF": data[:2] + exif + data[2:],
        "JFIF of another version": data.replace(b"JFIF\0\x01", b"JFIF\0\x07"),
        "bytes between segments": data[:2] + data[2:20] + b"\0\0\0" + data[20:],
    }
    assert {name: find_damage(file, "jpeg") for name, file in harmless.items()} == dict.fromkeys(harmless)


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("level", [0, 16, 128, 255])
def test_flat_photos_are_whole_whatever_bits_they_are_made_of(options, level):
    assert find_damage(encoded(np.full((480, 640, 3), level, np.uint8), **options), "jpeg") is None
    assert find_damage(encoded(np.full((480, 640), level, np.uint8), **options), "jpeg") is None


def test_cmyk_photos_are_whole():
    buffer = BytesIO()
    Image.fromarray(photo(1)).convert("CMYK").save(buffer, "JPEG")
    assert find_damage(buffer.getvalue(), "jpeg") is None
    data = buffer.getvalue()
    at = middle(data)
    assert find_damage(data[:at] + bytes(900) + data[at + 900 :], "jpeg")[0] == "damaged"


def test_checksums_of_a_png_are_compared_but_not_those_of_its_comments():
    data = encoded(photo(1), "PNG")
    assert find_damage(data, "png") is None
    at = len(data) // 2
    flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    reason, detail = find_damage(flipped, "png")
    assert reason == "damaged" and "checksum of IDAT" in detail
    comment = struct.pack(">I", 5) + b"tEXthello" + bytes(4)
    assert find_damage(data[:33] + comment + data[33:], "png") is None
    assert find_damage(data[:-12], "png") is None  # lacks nothing but its end
    assert find_damage(data[:at], "png")[0] == "truncated"
    short = zlib.compress(bytes(100))
    chunk = struct.pack(">I", len(short)) + b"IDAT" + short + struct.pack(">I", zlib.crc32(b"IDAT" + short))
    assert find_damage(data[:33] + chunk + data[-12:], "png") is None  # a stream that ends well: the decoder's business


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_other_formats_are_sniffed_and_their_cuts_found(kind):
    data = encoded(photo(1), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert sniff(data) == kind.lower()
    assert find_damage(data, kind.lower()) is None
    assert look_at(data[: len(data) // 2]).reason in ("truncated", "unreadable")


@given(st.sampled_from(["JPEG", "PNG", "TIFF", "BMP", "WEBP"]), st.integers(0, 2**32 - 1), st.booleans())
def test_garbled_files_have_a_reason_or_pixels_but_no_traceback(kind, seed, cut):
    rng = np.random.default_rng(seed)
    data = bytearray(encoded(photo(seed % 5, (48, 64)), kind))
    for _ in range(rng.integers(1, 8)):
        at, size = int(rng.integers(0, len(data))), int(rng.integers(1, 40))
        data[at : at + size] = rng.bytes(size)
    look = look_at(bytes(data[: rng.integers(1, len(data))] if cut else data))
    assert look.width > 0 or look.reason in ("unreadable", "truncated")


def test_damaged_odd_inputs_are_told(shared_photos, tmp_path):
    make = shared_photos("oddities") / "make.py"
    subprocess.run([sys.executable, str(make), str(tmp_path), "05-damaged"], check=True, capture_output=True)
    looks = {path.name: look_at(path.read_bytes()).reason for path in tmp_path.rglob("*.JPG")}
    assert {name: looks.pop(name) for name in ("zeros.JPG", "hole.JPG", "wiped.JPG")} == {
        **{"zeros.JPG": "truncated", "hole.JPG": "damaged", "wiped.JPG": "unreadable"},
    }
    assert set(looks.values()) == {""}
