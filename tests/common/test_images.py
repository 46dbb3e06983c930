import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from pelage.common.errors import PelageError
from pelage.common.images import decode_image, encode_png, read_image, to_rgb, write_png


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_rotation_is_applied(kind):
    photo = Image.new("RGB", (6, 4), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    photo.save(buffer, kind, exif=exif)
    assert decode_image(buffer.getvalue()).shape == (6, 4, 3)


def test_content_decides_not_the_name(tmp_path):
    Image.new("RGB", (6, 4), (0, 255, 0)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").shape == (4, 6, 3)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff"])
def test_no_image_is_said_by_name(data):
    with pytest.raises(PelageError, match=r"IMG_7\.jpg is not a readable image"):
        decode_image(data, "IMG_7.jpg")


def test_sixteen_bits_and_grey():
    buffer = io.BytesIO()
    Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000).save(buffer, "PNG")
    image = decode_image(buffer.getvalue())
    assert image.dtype == np.uint8
    assert to_rgb(image).shape == (3, 4, 3)
