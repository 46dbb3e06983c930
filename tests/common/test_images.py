"""Images: one reader, upright, with pixels and sizes that agree, whatever the kind, the channels and the depth."""

import io
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image, ImageOps

from pelage.common.errors import PelageError
from pelage.common.image_header import image_size
from pelage.common.images import decode_image, encode_png, read_image, to_rgb, turn_upright, write_png

MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("L", "RGB", "RGBA", "I;16", "1", "P"),
    "TIFF": ("L", "RGB", "RGBA", "I;16", "F", "1"),
    "WEBP": ("RGB", "RGBA"),
}
EVERY = [(kind, mode, turn) for kind, modes in MODES.items() for mode in modes for turn in range(1, 9)]


def drawing(mode: str) -> Image.Image:
    """Return a photo of 48 x 32 whose four corners have grey values of their own."""
    grey = np.zeros((32, 48), np.uint8)
    grey[:16, :24], grey[:16, 24:], grey[16:, :24] = 250, 170, 85
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255)
    if mode == "RGBA":
        return Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 255)]))
    return Image.fromarray(grey).convert(mode, dither=Image.Dither.NONE)


def saved(image: Image.Image, kind: str, turn: int = 1, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}) | options)
    return buffer.getvalue()


@given(npst.arrays(np.uint8, st.sampled_from([(5, 7), (5, 7, 3), (5, 7, 4)])))
def test_png_is_lossless_also_behind_a_transparent_alpha(image):
    data = encode_png(image)
    assert data == encode_png(image.copy())
    np.testing.assert_array_equal(decode_image(data), image)


def test_colours_are_rgb_as_pillow_reads_them(tmp_path):
    image = np.zeros((4, 6, 3), np.uint8)
    image[..., 0], image[..., 2] = 200, 10
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize(("kind", "mode", "turn"), EVERY)
def test_every_kind_is_upright_and_its_size_agrees(tmp_path, kind, mode, turn):
    data = saved(drawing(mode), kind, turn)
    (tmp_path / "photo").write_bytes(data)
    image = decode_image(data)
    upright = turn_upright(np.asarray(drawing("L")), turn)
    if mode == "1":
        upright = np.where(upright >= 128, 255, 0)
    assert image.shape[1::-1] == upright.shape[::-1] == image_size(data) == image_size(tmp_path / "photo")
    grey = to_rgb(image)[:, :, 1].astype(int)
    assert np.abs(grey - upright)[4:-4, 4:-4].mean() < 4


@pytest.mark.parametrize("turn", range(1, 9))
def test_turning_is_what_pillow_does(turn):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turn
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    np.testing.assert_array_equal(turn_upright(image, turn), expected)
    np.testing.assert_array_equal(decode_image(buffer.getvalue()), expected)


def test_an_orientation_that_is_none_turns_nothing():
    for turn in (0, 9, 65535):
        assert image_size(saved(drawing("RGB"), "JPEG", turn)) == (48, 32)
    data = saved(drawing("RGB"), "JPEG", 6)
    assert decode_image(data.replace(b"Exif\0\0MM", b"Exif\0\0XX")).shape == (32, 48, 3)


@pytest.mark.parametrize("name", ["leopard", "nyala", "lion", "boxes"])
def test_pixels_of_ordinary_photos_are_opencvs(shared_photos, name):
    files = sorted(path for path in (shared_photos(name) / "images").rglob("*") if path.is_file())
    for file in files[:: max(len(files) // 25, 1)]:
        expected = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)
        assert np.array_equal(to_rgb(read_image(file)), expected), file
        assert image_size(file) == expected.shape[1::-1]


def test_content_decides_not_the_name(tmp_path):
    Image.new("RGB", (6, 4), (0, 255, 0)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").shape == (4, 6, 3)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff", b"GIF89a" + bytes(40), b"BM", b"II*\0"])
def test_no_image_is_said_by_name(tmp_path, data):
    with pytest.raises(PelageError, match=r"IMG_7\.jpg is not a readable image"):
        decode_image(data, "IMG_7.jpg")
    (tmp_path / "IMG_7.jpg").write_bytes(data)
    with pytest.raises(PelageError, match=r"IMG_7\.jpg is not a readable image"):
        image_size(tmp_path / "IMG_7.jpg")
    with pytest.raises(PelageError, match=r"nowhere\.jpg cannot be read: No such file"):
        image_size(tmp_path / "nowhere.jpg")


@given(st.sampled_from(["JPEG", "PNG", "TIFF", "BMP", "WEBP"]), st.integers(0, 2**32 - 1), st.booleans())
def test_a_garbled_file_is_read_or_refused_with_words(kind, seed, cut):
    rng = np.random.default_rng(seed)
    data = bytearray(saved(drawing("RGB"), kind, 6) if kind != "BMP" else saved(drawing("RGB"), kind))
    for at in rng.integers(0, min(len(data), 400), 6):
        data[at] = rng.integers(0, 256)
    data = bytes(data[: rng.integers(0, len(data))] if cut else data)
    try:
        image = decode_image(data, "IMG_7.jpg")
    except PelageError as error:
        assert "IMG_7.jpg" in str(error)
    else:
        assert image.dtype == np.uint8 and image.shape[1::-1] == image_size(data)


def test_sixteen_bits_have_one_scale_whatever_is_on_the_photo():
    values = np.array([[0, 255, 256], [257, 5000, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        image = decode_image(saved(Image.fromarray(values), kind))
        assert image.tolist() == [[0, 0, 1], [1, 19, 255]]
        assert decode_image(saved(Image.fromarray(values[:1]), kind)).tolist() == [[0, 0, 1]]
    colour = np.dstack([values, values // 2, values * 0])
    data = cv2.imencode(".png", colour[:, :, ::-1])[1].tobytes()
    assert np.array_equal(decode_image(data), (colour >> 8).astype(np.uint8))


def tiff(values: np.ndarray) -> bytes:
    return cv2.imencode(".tif", values, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes()


def test_floats_are_shares_of_white_or_grey_values():
    assert decode_image(tiff(np.array([[0, 0.5, 1]], np.float32))).tolist() == [[0, 128, 255]]
    assert decode_image(tiff(np.array([[0, 0.5, 200.4]], np.float64))).tolist() == [[0, 0, 200]]
    colour = np.dstack([np.full((2, 2), share, np.float32) for share in (0.0, 0.2, 1.0)])
    assert decode_image(tiff(colour))[0, 0].tolist() == [255, 51, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 255.5, 4095.0])
def test_floats_of_no_known_scale_are_refused(value):
    with pytest.raises(PelageError, match=r"a\.tif: its pixels are floats from .* Save it with 8 or 16 bits"):
        decode_image(tiff(np.array([[0.5, value]], np.float32)), "a.tif")


def test_numbers_of_another_type_are_refused():
    with pytest.raises(PelageError, match=r"a\.tif: its pixels are numbers of type int32"):
        decode_image(tiff(np.array([[5, 7]], np.int32)), "a.tif")


def wide_png(width: int, height: int) -> bytes:
    """Return a PNG of one bit a pixel, all black, without a pixel of it in memory."""
    deflate = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join(deflate.compress(row * 100) for _ in range(height // 100)) + deflate.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def test_a_photo_of_184_megapixels_is_read_and_sized():
    data = wide_png(16000, 11500)
    assert image_size(data) == (16000, 11500)
    assert decode_image(data).shape == (11500, 16000)


@pytest.mark.parametrize("case", ["04-grey-turned", "06-several-pictures"])
def test_odd_inputs_are_read_upright_and_by_their_first_picture(shared_photos, tmp_path, case):
    make = shared_photos("oddities") / "make.py"
    subprocess.run([sys.executable, str(make), str(tmp_path), case], check=True, capture_output=True)
    files = sorted(path for path in (tmp_path / case / "photos").rglob("*") if path.is_file())
    sizes = {file.name: (image_size(file), read_image(file).shape[1::-1]) for file in files}
    if case.startswith("04"):
        assert len(files) == 12 and set(sizes.values()) == {((200, 320), (200, 320))}
        return
    assert len(files) == 16 and set(sizes.values()) == {((320, 200), (320, 200))}
    first = {file.name: to_rgb(read_image(file)).astype(int) for file in files if len(file.name) == 5}
    assert np.array_equal(first["c.png"], first["d.tif"]) and np.array_equal(first["a.JPG"], first["b.JPG"])
    assert np.abs(first["a.JPG"] - first["c.png"]).mean() < 6
