"""Saliency: the same map as rembg's own, on any image, and plain words when the network is not there."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pelage.common.errors import PelageError
from pelage.common.files import cache_root, sha256_file
from pelage.model.weights import read_weights
from pelage.preprocess.background import import_rembg
from pelage.preprocess.crop import Window
from pelage.preprocess.saliency import Saliency, SaliencyMaps, cut_map, resize_map, stretch


@pytest.fixture
def u2netp() -> Path:
    weight = next(weight for weight in read_weights() if weight.name == "u2netp.onnx")
    for path in (cache_root() / "weights" / weight.name, Path("data/weights") / weight.name):
        if path.exists() and sha256_file(path) == weight.sha256:
            return path
    pytest.skip("u2netp.onnx has not been fetched yet (stage weights)")


def test_agrees_with_rembg(u2netp, monkeypatch):
    from skimage.data import chelsea

    rembg = import_rembg()
    monkeypatch.setenv("U2NET_HOME", str(u2netp.parent))
    photo = chelsea()[::2, ::2].copy()
    theirs = np.array(rembg.remove(Image.fromarray(photo), session=rembg.new_session("u2netp"), only_mask=True))
    ours = Image.fromarray((stretch(Saliency(u2netp)(photo)).clip(0, 1) * 255).astype(np.uint8))
    ours = np.array(ours.resize((photo.shape[1], photo.shape[0]), Image.Resampling.LANCZOS))
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_any_size_and_twice_the_same(u2netp):
    saliency = Saliency(u2netp)
    for shape in ((1, 1, 3), (700, 3, 3)):
        image = np.full(shape, 30, np.uint8)
        found = saliency(image)
        assert found.shape == (320, 320) and found.min() >= 0 and found.max() <= 1
        assert (saliency(image) == found).all()


def test_missing_or_broken_network(tmp_path):
    with pytest.raises(PelageError, match="run the stage weights"):
        Saliency(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(PelageError, match="no readable ONNX"):
        Saliency(tmp_path / "broken.onnx")


def test_stretch_and_resize():
    assert stretch(np.array([[2.0, 4.0]])).tolist() == [[0, 1]]
    assert stretch(np.full((2, 2), 0.3)).tolist() == [[0, 0], [0, 0]]
    assert resize_map(np.ones((4, 4), np.float32), 7, 3).shape == (3, 7)


def test_a_map_of_a_part_is_made_once(tmp_path):
    looks = []

    class Mean:
        sha256 = "m"

        def __call__(self, image):
            looks.append(image.shape)
            return np.full((320, 320), image.mean() / 255, np.float32)

    photo = np.zeros((10, 20, 3), np.uint8)
    photo[:, 10:] = 255
    maps = SaliencyMaps(Mean(), tmp_path)
    assert (maps("photo", (10, 0, 10, 10), lambda: photo) == 1).all()
    assert (maps("photo", (5, 0, 10, 4), lambda: photo) == np.float32(128 / 255)).all()
    assert looks == [(10, 10, 3), (4, 10, 3)]
    assert (SaliencyMaps(Mean(), tmp_path)("photo", (10, 0, 10, 10), lambda: 1 / 0) == 1).all()
    maps("another", (10, 0, 10, 10), lambda: photo)
    assert len(looks) == 3


@settings(max_examples=50)
@given(st.integers(0, 99), st.integers(1, 3), st.floats(1, 4))
def test_a_map_is_cut_where_the_crop_is(seed, scale, shrunk):
    """A plane, so that bilinear interpolation is exact: value = x + 2 y of the photo."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 40, 2).tolist()
    box = x, y, 100 * scale, 100 * scale
    rows, columns = (np.arange(100) + 0.5) * scale + y, (np.arange(100) + 0.5) * scale + x
    plane = columns[None, :] + 2 * rows[:, None]
    left, top = x + 10 * scale, y + 20 * scale
    window, shape = Window(left, top, left + 60 * scale, top + 40 * scale), (round(40 / shrunk), round(60 / shrunk))
    found = cut_map(plane.astype(np.float32), box, window, shape)
    across = left + (np.arange(shape[1]) + 0.5) * 60 * scale / shape[1]
    down = top + (np.arange(shape[0]) + 0.5) * 40 * scale / shape[0]
    expected = across[None, :] + 2 * down[:, None]
    assert found.shape == shape and np.abs(found - expected).max() <= 0.1 * scale
