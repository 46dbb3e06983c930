"""Edges: Canny by hand and as the leopard study computes it, views, opacity, HED's memo, both methods end to end."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from packing import pack_images
from safetensors.torch import save_file

from pelage.common.errors import PelageError
from pelage.common.images import read_image
from pelage.common.packs import Packs, packed_folder
from pelage.preprocess.edges import automatic_thresholds, canny_edges, draw_edges, on_black
from pelage.preprocess.hed import HED, hed_edges

ROOT = Path(__file__).resolve().parents[2]
LEOPARDS = ROOT.parent / "shared/data/leopard"
PARAMS = {"method": "canny", "low": 55, "high": 160, "automatic": False}


def _square(side=40, level=200):
    image = np.zeros((side, side, 3), np.uint8)
    image[10:30, 10:30] = level
    return image


def test_edges_of_a_square_are_its_outline():
    edges = canny_edges(_square(), np.full((40, 40), 255, np.uint8), 55, 160)
    assert set(np.unique(edges)) == {0, 255}
    rows = np.nonzero(edges)[0]
    assert abs(rows.min() - 9.5) < 2 and abs(rows.max() - 29.5) < 2
    assert edges[13:27, 13:27].max() == 0 and edges[:8].max() == 0
    assert all(edges[row].any() for row in range(11, 29))


def test_canny_is_the_leopard_studys():
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    theirs = cv2.Canny(cv2.GaussianBlur(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), (5, 5), 0), 55, 160)
    assert np.array_equal(canny_edges(image, np.ones((64, 80), np.uint8), 55, 160), theirs)


def test_automatic_thresholds_look_at_the_animal_only():
    assert automatic_thresholds(np.array([90, 100, 110])) == pytest.approx((67, 133))
    assert automatic_thresholds(np.array([255])) == pytest.approx((0.67 * 255, 255))
    assert automatic_thresholds(np.array([])) == (0, 0)
    faint = _square(level=25)  # its largest gradient is below 55
    mask = np.where(faint[:, :, 0] > 0, 255, 0)
    assert not canny_edges(faint, mask, 55, 160).any()
    assert canny_edges(faint, mask, 55, 160, automatic=True).any()


def test_on_black():
    image = np.array([[[200, 100, 50, 255], [200, 100, 50, 51], [9, 9, 9, 0]]], np.uint8)
    assert on_black(image).tolist() == [[[200, 100, 50], [40, 20, 10], [0, 0, 0]]]
    assert on_black(image[:, :, :3]).tolist() == image[:, :, :3].tolist()


def _edges(folder, crops, nobg, params, weights=Path("unused")):
    """Draw the edges of crops and of these without background; return densities, and both views."""
    masks = [np.full(crop.shape[:2], 255, np.uint8) for crop in crops]
    given = [
        pack_images(folder, name, {f"{number}.png": image for number, image in enumerate(images)})
        for name, images in (("crop", crops), ("nobg", nobg), ("masks", masks))
    ]
    paths = folder / "crop_edge", folder / "nobg_edge"
    with packed_folder(paths[0], folder) as crop_edge, packed_folder(paths[1], folder) as nobg_edge:
        densities = draw_edges(*given, crop_edge, nobg_edge, params, weights, folder / "memo")
    return densities, *(Packs(path, folder) for path in paths)


def test_both_views_carry_the_background_free_edges(tmp_path):
    crop = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    nobg = _square()
    densities, crop_edge, nobg_edge = _edges(tmp_path, [crop], [nobg], PARAMS)
    edges = canny_edges(nobg, np.ones((40, 40)), 55, 160)
    assert np.array_equal(crop_edge.image("0.png"), np.dstack([crop, edges]))
    assert np.array_equal(nobg_edge.image("0.png"), np.dstack([nobg, edges]))
    assert densities == [pytest.approx((edges > 0).mean())]


def test_opacity_is_laid_on_black(tmp_path):
    crop = np.full((40, 40, 3), 220, np.uint8)
    alpha = _square(level=255)[:, :, 0]
    view = _edges(tmp_path, [crop], [np.dstack([crop, alpha])], PARAMS)[2].image("0.png")
    assert np.array_equal(view[:, :, :3], np.where(alpha[:, :, None] > 0, crop, 0))
    assert view[:, :, 3].any()


def test_nothing_in_nothing_out_and_missing_weights(tmp_path):
    assert _edges(tmp_path, [], [], PARAMS)[0] == []
    with pytest.raises(PelageError, match=r"hed\.safetensors is missing"):
        _edges(tmp_path, [], [], {**PARAMS, "method": "hed"}, tmp_path / "hed.safetensors")


def test_hed_views_and_memo(tmp_path, monkeypatch):
    model = HED().eval()
    save_file(model.state_dict(), tmp_path / "hed.safetensors")
    big, small = _square(), _square()[:33, :21]
    given = tmp_path, [big, small], [big, small], {**PARAMS, "method": "hed"}, tmp_path / "hed.safetensors"
    crop_edge = _edges(*given)[1]
    for name, image in [("0.png", big), ("1.png", small)]:
        expected = hed_edges(model, [image])[0].astype(int)
        assert np.abs(crop_edge.image(name)[:, :, 3] - expected).max() <= 1
    monkeypatch.setattr("pelage.preprocess.hed.hed_edges", lambda *_: pytest.fail("computed again"))
    _edges(*given)


@pytest.mark.skipif(not LEOPARDS.exists(), reason="no shared photos")
def test_edges_lie_on_the_published_ones():
    """A well-lit flank: of the authors' edge pixels, nearly all have one of ours within two pixels."""
    name = "BRL17_Left/0_0_BR-217A-2018-03-18_05-00-27"
    published = read_image(LEOPARDS / "published_edges" / f"{name}.png") > 0
    ours = canny_edges(read_image(LEOPARDS / "images" / f"{name}.jpg"), np.ones(published.shape), 55, 160) > 0
    distance = cv2.distanceTransform(np.where(ours, 0, 255).astype(np.uint8), cv2.DIST_L2, 5)
    assert (distance[published] <= 2).mean() > 0.9
