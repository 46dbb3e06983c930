"""Background: agreement with rembg, cut-outs by hand, fall-backs, the memo, and scores against planted truth."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import pack_images

from pelage.common.errors import PelageError
from pelage.common.files import sha256_file
from pelage.common.images import read_image, to_rgb, write_png
from pelage.common.packs import Packs, packed_folder
from pelage.common.tables import crop_file
from pelage.model.weights import provide_weight, read_weights
from pelage.preprocess.background import (
    Background,
    Outline,
    Place,
    Segmenter,
    crop_places,
    cut_out,
    import_rembg,
    judge,
    load_segmenter,
    mask_iou,
    match_histogram,
    remove_backgrounds,
    score_masks,
    truth_in_crop,
)
from pelage.preprocess.crop import Window
from pelage.preprocess.shared_bands import BAND_COLUMNS, GROUP, SharedBands, find_shared_bands

ROOT = Path(__file__).resolve().parents[2]
LEOPARDS = ROOT.parent / "shared/data/leopard/images"
PARAMS = {"reference": None, "fill": "black", "min_cover": 0.05, "max_cover": 0.98, "min_coat": 0.35}


@pytest.fixture(scope="module")
def u2netp():
    try:
        return provide_weight(next(weight for weight in read_weights() if weight.name == "u2netp.onnx"))
    except PelageError as error:
        pytest.skip(str(error))


def _spot(height=60, width=90):
    """A bright ellipse on a dark, noisy ground, and where it is."""
    rows, columns = np.mgrid[:height, :width]
    inside = ((rows - height / 2) / (height / 3)) ** 2 + ((columns - width / 2) / (width / 3)) ** 2 < 1
    image = np.random.default_rng(1).integers(0, 60, (height, width, 3), np.uint8)
    image[inside] += 150
    return image, inside


def _brightness(image):
    return np.where(image.mean(2) > 128, 255, 0).astype(np.uint8)


def _crops(folder, *images):
    return pack_images(folder, "crops", {f"{number}.png": image for number, image in enumerate(images)})


def _removed(folder, segmenter, params, places=None, photos=Path()):
    """Remove the background of the crops in a folder; return what was found."""
    crops, memo = Packs(folder / "crops", folder), folder / "memo"
    with packed_folder(folder / "masks", folder) as masks, packed_folder(folder / "views", folder) as views:
        return remove_backgrounds(crops, masks, views, segmenter, params, memo, places, photos)


def _image(folder, kind, name):
    return Packs(folder / kind, folder).image(name)


def test_u2netp_agrees_with_rembg(u2netp, monkeypatch):
    rembg = import_rembg()
    monkeypatch.setenv("U2NET_HOME", str(u2netp.parent))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # rembg would fill all cores
    session = rembg.new_session("u2netp")
    ours = load_segmenter("u2netp", u2netp)
    photos = [read_image(path) for path in sorted(LEOPARDS.glob("*/*.jpg"))[8::18]] if LEOPARDS.exists() else []
    for image in [_spot(200, 480)[0], *photos]:
        theirs = rembg.remove(image, session=session, only_mask=True).astype(int)
        mine = ours.alpha(image).astype(int)
        assert mask_iou(mine >= 128, theirs >= 128) > 0.99
        assert np.abs(mine - theirs).max() <= 2


def test_rembg_by_name_runs_the_model_in_its_folder(u2netp, tmp_path, monkeypatch):
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    (tmp_path / "silueta.onnx").symlink_to(u2netp)  # same inputs and outputs, so u2netp may stand in for it
    image, inside = _spot()
    segmenter = load_segmenter("silueta", u2netp)
    alpha = segmenter.alpha(image)
    assert alpha.shape == inside.shape and alpha.dtype == np.uint8
    assert segmenter.sha256 == load_segmenter("u2netp", u2netp).sha256


def test_a_model_that_is_not_there_is_named_and_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    with pytest.raises(PelageError, match=r"u2net\.onnx is not on this computer.*U2NET_HOME"):
        load_segmenter("u2net", Path("unused"))
    with pytest.raises(PelageError, match=r"background\.model is 'u3net'"):
        load_segmenter("u3net", Path("unused"))


def test_cut_out_blends_with_the_fill():
    image = np.array([[[200, 100, 0], [200, 100, 0], [200, 100, 0]]], np.uint8)
    alpha = np.array([[255, 51, 0]], np.uint8)  # whole, a fifth, nothing
    assert cut_out(image, alpha, "black").tolist() == [[[200, 100, 0], [40, 20, 0], [0, 0, 0]]]
    assert cut_out(image, alpha, "white").tolist() == [[[200, 100, 0], [244, 224, 204], [255, 255, 255]]]
    assert cut_out(image, alpha, "grey")[0, 2].tolist() == [128, 128, 128]
    assert cut_out(image, alpha, "alpha").tolist() == [[[200, 100, 0, 255], [200, 100, 0, 51], [0, 0, 0, 0]]]


def test_black_cut_out_is_rembgs():
    from PIL import Image

    naive_cutout = import_rembg().bg.naive_cutout
    generator = np.random.default_rng(2)
    image, alpha = generator.integers(0, 256, (30, 40, 3), np.uint8), generator.integers(0, 256, (30, 40), np.uint8)
    theirs = np.asarray(naive_cutout(Image.fromarray(image), Image.fromarray(alpha)))[:, :, :3]
    assert np.abs(cut_out(image, alpha, "black").astype(int) - theirs).max() <= 1


def test_histogram_matching_takes_the_references_greys():
    generator = np.random.default_rng(3)
    dark = generator.integers(0, 40, (50, 60, 3), np.uint8)
    reference = generator.integers(60, 240, (80, 70, 3), np.uint8)
    matched = match_histogram(dark, reference)
    assert matched.dtype == np.uint8
    for share in (10, 50, 90):
        assert abs(np.percentile(matched, share) - np.percentile(reference, share)) < 6
    assert np.array_equal(match_histogram(dark, dark), dark)


def _judged(mask, animal=None, shared=None):
    nothing = np.zeros(mask.shape, bool)
    boxed = animal is not None
    return judge(mask, animal if boxed else ~nothing, nothing if shared is None else shared, boxed, PARAMS)


def test_masks_are_judged_by_what_they_cover():
    mask = np.zeros((10, 10), bool)
    assert _judged(mask) == (0.0, "small")
    mask[:3] = True
    assert _judged(mask) == (0.3, "")
    assert _judged(~mask) == (0.7, "")
    mask[:] = True
    assert _judged(mask) == (1.0, "large")


def test_a_mask_agrees_with_the_animals_box():
    animal, mask = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    animal[2:8, :] = True
    mask[:4] = True  # two of the six rows: less than .35 of the box
    assert _judged(mask, animal) == (0.4, "disagrees")
    mask[4, :2] = True
    assert _judged(mask, animal) == (pytest.approx(0.42), "")
    assert _judged(mask)[1] == ""  # no box is told


def test_shares_are_of_what_no_band_hides():
    shared, mask = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    shared[5:] = True
    mask[0, :3] = True
    assert _judged(mask, shared=shared) == (0.06, "")
    animal = np.zeros((10, 10), bool)
    animal[5:] = True
    assert _judged(mask, animal, shared) == (0.0, "band")
    assert _judged(mask & ~mask, np.ones((10, 10), bool), np.ones((10, 10), bool)) == (0.0, "band")


def test_masks_views_and_fallbacks(tmp_path):
    image, inside = _spot()
    _crops(tmp_path, image, np.zeros_like(image), np.full_like(image, 220))
    places = {"1.png": Place(Window(10, 20, 100, 80), (20, 30, 40, 20))}
    found = _removed(tmp_path, Segmenter(_brightness, "s"), PARAMS, places)
    assert [one.fallback for one in found] == ["", "small", "large"]
    assert found[0].cover == pytest.approx(inside.mean())
    assert np.array_equal(_image(tmp_path, "masks", "0.png"), np.where(inside, 255, 0))
    assert np.array_equal(_image(tmp_path, "views", "0.png"), np.where(inside[:, :, None], image, 0))
    box = np.zeros((60, 90), np.uint8)
    box[10:30, 10:50] = 255  # the animal's box, in pixels of the crop
    assert np.array_equal(_image(tmp_path, "masks", "1.png"), box)
    assert (_image(tmp_path, "masks", "2.png") == 255).all()
    assert (_image(tmp_path, "views", "2.png") == 220).all()


def test_what_photos_share_is_neither_seen_nor_in_the_mask(tmp_path):
    image, inside = _spot()
    image[45:] = 250  # a strip, brighter than the animal
    image[0:10, 0:20] = 250  # a logo
    seen = []

    def alpha(part):
        seen.append(part)
        return _brightness(part)

    _crops(tmp_path, image)
    places = {"0.png": Place(Window(100, 100, 190, 160), None, [(0, 145, 400, 15), (100, 100, 20, 10)])}
    found = _removed(tmp_path, Segmenter(alpha, "s"), PARAMS, places)
    assert seen[0].shape == (45, 90, 3) and seen[0][:10, :20].max() < 100
    inside[45:] = False
    inside[:10, :20] = False
    assert np.array_equal(_image(tmp_path, "masks", "0.png") > 0, inside)
    assert _image(tmp_path, "views", "0.png")[~inside].max() == 0
    assert found == [Background("0.png", inside.sum() / (45 * 90 - 200), "", (15 * 90 + 200) / (60 * 90))]


def test_a_crop_of_nothing_but_a_strip_is_empty(tmp_path):
    _crops(tmp_path, np.full((20, 30, 3), 250, np.uint8))
    places = {"0.png": Place(Window(0, 0, 30, 20), (0, 0, 30, 20), [(0, 0, 30, 20)])}
    (found,) = _removed(tmp_path, Segmenter(_brightness, "s"), PARAMS, places)
    assert (found.fallback, found.shared) == ("band", 1.0)
    assert _image(tmp_path, "masks", "0.png").max() == 0 and _image(tmp_path, "views", "0.png").max() == 0


@settings(max_examples=30)
@given(st.integers(0, 99), st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(1, 60)] * 2), st.booleans())
def test_no_mask_covers_a_band_whatever_it_falls_back_to(tmp_path_factory, seed, band, boxed):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("bands")
    _crops(folder, rng.integers(0, 256, (60, 60, 3), np.uint8))

    def alpha(part):
        return np.random.default_rng(seed).integers(0, 256, part.shape[:2], np.uint8)

    place = Place(Window(0, 0, 60, 60), (10, 10, 30, 30) if boxed else None, [band])
    params = PARAMS | {"fill": "alpha"}
    _removed(folder, Segmenter(alpha, "s"), params, {"0.png": place})
    x, y, w, h = band
    assert _image(folder, "masks", "0.png")[y : y + h, x : x + w].max(initial=0) == 0
    assert _image(folder, "views", "0.png")[y : y + h, x : x + w].max(initial=0) == 0


def test_places_of_crops():
    photos = pd.DataFrame([("a", 64, 48, "S", "C"), ("b", 64, 48, "", "")], columns=["image_id", *GROUP])
    photos = photos.assign(path=photos["image_id"] + ".jpg", sha256=photos["image_id"] * 64)
    detections = pd.DataFrame(
        [("a#0", "a", 10.0, 10.0, 20.0, 10.0), ("b#0", "b", 0.0, 0.0, 64.0, 48.0), ("b#1", "b", 70.0, 0.0, 5.0, 5.0)],
        columns=["crop_id", "image_id", "x", "y", "w", "h"],
    ).assign(animal="0")
    animals = pd.DataFrame({"image_id": ["a", "b"], "animal": "0", "x": 5.0, "y": 0.0, "w": 30.0, "h": 20.0})
    animals["outline"] = ["photo", ""]
    bands = SharedBands(pd.DataFrame([(64, 48, "S", "C", "strip", 0, 40, 64, 8, 9)], columns=BAND_COLUMNS))
    whole = Outline("a.jpg", "a" * 64, (0, 0, 64, 48))
    assert crop_places(detections, animals, photos, bands, 0.1) == {
        "a~0.png": Place(Window(8, 8, 32, 22), (10, 10, 20, 10), [(0, 40, 64, 8)], whole),
        "b~0.png": Place(Window(0, 0, 64, 48), None, []),  # the whole photo is nobody's box
    }


def test_an_outline_is_cut_from_what_shows_it_finely_enough():
    photos = pd.DataFrame({"image_id": ["a"], "path": "a.jpg", "sha256": "s", "width": 6400, "height": 3200})
    photos[["station", "camera"]] = ""
    detections = pd.DataFrame({"crop_id": ["far", "near"], "image_id": "a", "animal": ["0", "1"], "y": 100.0})
    detections = detections.assign(x=100.0, w=[600.0, 700.0], h=[200.0, 200.0])
    animals = pd.DataFrame({"image_id": "a", "animal": ["0", "1"], "x": 90.0, "y": 90.0, "w": 1000.0, "h": 300.0})
    bands = SharedBands(pd.DataFrame(columns=BAND_COLUMNS))

    def seen(outline):
        places = crop_places(detections, animals.assign(outline=outline), photos, bands, 0)
        return [place.outline and place.outline.box for place in places.values()]

    around, whole = (0, 0, 1190, 490), (0, 0, 6400, 3200)  # 600 pixels of 6400 are 30 of 320
    assert seen("photo") == [around, whole]
    assert seen("box") == [around, around]
    assert seen("") == [None, None]


class Bright:
    """Stands in for U2-Net: bright pixels stand out. Counts how often it looks."""

    sha256 = "b" * 64

    def __init__(self):
        self.looks = 0

    def __call__(self, image):
        self.looks += 1
        return cv2.resize(np.where(image.mean(2) > 128, 1, 0).astype(np.float32), (320, 320))


def test_masks_are_cut_from_the_map_of_the_photo(tmp_path):
    """Crops of one photo share a look. A box that the map leaves empty, and one with bands, are looked at again."""
    photo, inside = _spot(240, 320)
    write_png(tmp_path / "photo.png", photo)
    windows = [Window(40, 60, 240, 200), Window(100, 80, 200, 160), Window(0, 0, 60, 40), Window(100, 80, 200, 160)]
    _crops(tmp_path, *[window.of(photo) for window in windows])
    outline = Outline("photo.png", sha256_file(tmp_path / "photo.png"), (0, 0, 320, 240))
    boxes = [(w.left + 5, w.top + 5, w.right - w.left - 10, w.bottom - w.top - 10) for w in windows]
    bands = [[], [], [], [(0, 150, 320, 90)]]
    places = {f"{i}.png": Place(windows[i], boxes[i], bands[i], outline) for i in range(4)}
    own = []

    def alpha(image):
        own.append(image.shape)
        return np.full(image.shape[:2], 200, np.uint8)

    network = Bright()
    segmenter = Segmenter(alpha, "s", network)
    params = PARAMS | {"max_cover": 1.0}
    found = _removed(tmp_path, segmenter, params, places, tmp_path)
    assert [one.outlined for one in found] == [True, True, False, False]
    assert 1 <= network.looks <= 2 and sorted(own) == [(40, 60, 3), (70, 100, 3)]  # two threads may both be first
    network.looks = 0
    for number, window in enumerate(windows[:2]):
        mask = _image(tmp_path, "masks", f"{number}.png") > 0
        assert mask_iou(mask, window.of(inside)) > 0.98
    again = _removed(tmp_path, segmenter, params, places, tmp_path)
    assert network.looks == 0 and again == found
    other = _removed(tmp_path, Segmenter(alpha, "s"), params, places, tmp_path)
    assert not any(one.outlined for one in other)  # a network that has no part in finding animals


def test_the_mask_lies_on_the_coat_and_not_on_the_strip(oddity, u2netp, tmp_path):
    """A pale coat that fills the frame above a printed strip of 46 rows: u2netp alone sees but the strip."""
    rows, crops = [], {}
    for path in sorted(Path(oddity("37")["path"]).rglob("*.JPG")):
        name = "-".join(path.parts[-2:])
        photo = to_rgb(read_image(path))
        crops[crop_file(f"{name}#0")] = photo
        height, width = photo.shape[:2]
        rows.append((name, str(path), sha256_file(path), width, height, "", "", name[:5], "0f"))
    photos = pd.DataFrame(rows, columns=["image_id", "path", "sha256", *GROUP, "encounter", "phash"])
    bands = SharedBands(find_shared_bands(photos, Path(), tmp_path / "memo"))
    detections = pd.DataFrame({"crop_id": photos["image_id"] + "#0", "image_id": photos["image_id"]})
    detections = detections.assign(animal="0", x=0, y=0, w=photos["width"], h=photos["height"])[::12]
    places = crop_places(detections, detections.assign(outline="box"), photos, bands, 0.08)
    pack_images(tmp_path, "crops", {name: crops[name] for name in places})
    _removed(tmp_path, load_segmenter("u2netp", u2netp), PARAMS, places)
    found = Packs(tmp_path / "masks", tmp_path)
    masks = np.stack([found.image(name) > 0 for name in found.names()])
    assert len(masks) == 4 and masks.any(axis=(1, 2)).all()
    assert masks[:, :-46].sum() >= 0.9 * masks.sum()


def test_segmentation_runs_once_a_content_and_reference(tmp_path):
    calls = []

    def alpha(image):
        calls.append(image.mean())
        return _brightness(image)

    image, _ = _spot()
    _crops(tmp_path, image, image.copy())
    first = _removed(tmp_path, Segmenter(alpha, "s"), PARAMS)
    before = [path.read_bytes() for path in (tmp_path / "views").iterdir()]
    assert len(calls) <= 2
    calls.clear()
    again = _removed(tmp_path, Segmenter(alpha, "s"), {**PARAMS, "min_cover": 0.01})
    assert calls == [] and again == first
    assert before == [path.read_bytes() for path in (tmp_path / "views").iterdir()]
    _crops(tmp_path, image, image.copy(), 255 - image)
    _removed(tmp_path, Segmenter(alpha, "s"), PARAMS)
    assert len(calls) == 1
    _removed(tmp_path, Segmenter(alpha, "other weights"), PARAMS)
    assert len(calls) >= 3


def test_the_matched_crop_is_segmented_and_shown(tmp_path):
    image, _ = _spot()
    brighter = np.clip(image.astype(int) + 40, 0, 255).astype(np.uint8)
    write_png(tmp_path / "reference.png", brighter)
    _crops(tmp_path, image)
    seen = []

    def alpha(matched):
        seen.append(matched)
        return np.full(matched.shape[:2], 255, np.uint8)

    params = {**PARAMS, "reference": str(tmp_path / "reference.png"), "max_cover": 1.0}
    _removed(tmp_path, Segmenter(alpha, "s"), params)
    assert np.array_equal(seen[0], brighter)
    assert np.array_equal(_image(tmp_path, "views", "0.png"), brighter)


def test_no_crops_and_a_missing_reference(tmp_path):
    _crops(tmp_path)
    assert _removed(tmp_path, Segmenter(_brightness, "s"), PARAMS) == []
    with pytest.raises(PelageError, match=r"nowhere\.jpg"):
        _removed(tmp_path, Segmenter(_brightness, "s"), {**PARAMS, "reference": "nowhere.jpg"})


def test_mask_iou_by_hand():
    left, right = np.array([[1, 1, 0, 0]], bool), np.array([[0, 1, 1, 0]], bool)
    assert mask_iou(left, right) == pytest.approx(1 / 3)
    assert mask_iou(left, left) == 1
    assert mask_iou(left & ~left, right & ~right) == 0


def test_truth_is_that_of_the_animal_most_shown():
    one, two = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    one[:10, :10], two[:, 12:] = 255, 255
    assert truth_in_crop([one, two], Window(0, 0, 14, 10), 512).sum() == 100
    assert truth_in_crop([one, two], Window(0, 0, 14, 10), 7).sum() == 25
    assert truth_in_crop([one], Window(10, 10, 20, 20), 512) is None


def test_scores_are_taken_in_the_crops_own_pixels(tmp_path):
    truth_mask = np.zeros((60, 80), np.uint8)
    truth_mask[20:40, 30:60] = 255
    write_png(tmp_path / "true.png", truth_mask)
    truth_at_half_size, whole = np.pad(np.full((10, 15), 255, np.uint8), 5), np.full((20, 25), 255, np.uint8)
    masks = pack_images(tmp_path, "masks", {"a~0.png": truth_at_half_size, "a~1.png": whole})
    columns = ["crop_id", "image_id", "x", "y", "w", "h"]
    detections = pd.DataFrame([("a#0", "a", 30, 20, 30, 20), ("a#1", "a", 30, 20, 30, 20)], columns=columns)
    truth = pd.DataFrame({"image_id": ["a"], "mask": ["true.png"]})
    params = {"padding": 1 / 3, "max_side": 25}
    scores = score_masks(detections, ["a~0.png", "a~1.png"], masks, truth, tmp_path, params)
    assert scores == [1.0, pytest.approx(150 / 500)]
    assert score_masks(detections, ["a~0.png", "a~1.png"], masks, truth[:0], tmp_path, params) == []
