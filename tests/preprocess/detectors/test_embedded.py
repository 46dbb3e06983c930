"""Embedded detector: proposals and features by hand, each animal once, trees as scikit-learn's."""

import cv2
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from pelage.preprocess.detectors.embedded import FEATURES, NETWORK_SIDE, choose_animals, propose, shrunk
from pelage.preprocess.detectors.onnx_network import Found
from pelage.preprocess.detectors.scorer import TREES, Scorer, read_scorer, write_scorer
from pelage.preprocess.detectors.scorer_training import Lesson, as_nodes, may_teach, pieces


def column(proposals, name):
    return proposals.features[:, FEATURES.index(name)]


def test_proposals_and_features_by_hand():
    """A photo of 640 x 480 shown to the network at half its size; saliency has one clear component."""
    saliency = np.zeros((320, 320), np.float32)
    saliency[100:200, 80:160] = 0.8  # in the photo: x 160, y 150, 160 x 150
    found = [Found("animal", 0.6, (80.0, 75.0, 80.0, 75.0)), Found("animal", 0.2, (0.0, 0.0, 20.0, 20.0))]
    proposals = propose(found, (320, 240), saliency, 640, 480)
    assert proposals.boxes.tolist() == [[160, 150, 160, 150], [0, 0, 40, 40], *[[160, 150, 160, 150]] * 3]
    assert [mask is None for mask in proposals.masks] == [True, True, False, False, False]
    assert proposals.masks[2].shape == (100, 80) and proposals.masks[2].all()
    assert proposals.network.tolist() == [0.6, 0.2, 0.6, 0.6, 0.6]
    assert column(proposals, "network") == pytest.approx([np.log(1.5), np.log(0.25), *[np.log(1.5)] * 3])
    assert column(proposals, "from_network").tolist() == [1, 1, 0, 0, 0]
    assert column(proposals, "network_in_photo") == pytest.approx([np.log(1.5)] * 5)
    assert column(proposals, "saliency_within") == pytest.approx([0.8, 0, 0.8, 0.8, 0.8])
    assert column(proposals, "saliency_around") == pytest.approx([0, 0, 0, 0, 0])
    assert column(proposals, "component_overlap") == pytest.approx([1, 0, 1, 1, 1])
    assert column(proposals, "component_saliency") == pytest.approx([0.8, 0, 0.8, 0.8, 0.8])
    assert column(proposals, "log_area")[0] == pytest.approx(np.log(24000 / 307200 + 1e-4))
    assert column(proposals, "elongation")[0] == pytest.approx(np.log(160 / 150))
    assert column(proposals, "undecided_within") == pytest.approx([1, 0, 1, 1, 1])  # .8 is between .1 and .9
    assert column(proposals, "salient") == pytest.approx([8000 / 102400] * 5)
    assert column(proposals, "log_undecided")[0] == pytest.approx(np.log(0.078125 / 0.080125 + 0.01), abs=1e-6)


def test_nothing_to_propose():
    proposals = propose([], (320, 240), np.zeros((320, 320), np.float32), 640, 480)
    assert proposals.boxes.shape == (0, 4) and proposals.features.shape == (0, len(FEATURES))
    assert choose_animals(proposals, read_scorer()(proposals.features), 0.5, 640, 480) == []


def test_each_animal_once_but_a_cub_that_the_network_is_sure_of():
    found = [
        Found("animal", 0.9, (10.0, 10.0, 100.0, 60.0)),  # a mother,
        Found("animal", 0.8, (12.0, 12.0, 100.0, 60.0)),  # found twice,
        Found("animal", 0.7, (20.0, 40.0, 30.0, 20.0)),  # her cub,
        Found("animal", 0.3, (70.0, 20.0, 20.0, 20.0)),  # a spot of her,
        Found("animal", 0.6, (300.0, 100.0, 50.0, 50.0)),  # and somebody else
    ]
    proposals = propose(found, (400, 300), np.zeros((320, 320), np.float32), 400, 300)
    scores = np.array([0.95, 0.9, 0.8, 0.7, 0.6])
    animals = choose_animals(proposals, scores, 0.5, 400, 300)
    assert [animal.box for animal in animals] == [(10, 10, 100, 60), (20, 40, 30, 20), (300, 100, 50, 50)]
    assert [animal.score for animal in animals] == [0.95, 0.8, 0.6]
    assert len(choose_animals(proposals, scores, 0.9, 400, 300)) == 1


def test_a_box_beyond_the_photo_is_cut_and_a_mask_fits_its_box():
    saliency = np.zeros((320, 320), np.float32)
    saliency[:160, :80] = 1.0
    proposals = propose([Found("animal", 0.9, (-20.0, 200.0, 60.0, 60.0))], (400, 300), saliency, 400, 300)
    animals = choose_animals(proposals, np.array([0.9, 0.0, 0.8, 0.0]), 0.5, 400, 300)
    assert [animal.box for animal in animals] == [(0, 200, 40, 60), (0, 0, 100, 150)]
    assert animals[0].mask is None and animals[1].mask.shape == (150, 100) and animals[1].mask.all()


def test_what_the_camera_prints_is_no_animal():
    saliency = np.zeros((320, 320), np.float32)
    saliency[290:, :] = 1.0  # the strip, and
    saliency[250:290, 100:200] = 1.0  # an animal that stands on it
    found = [Found("animal", 0.9, (10.0, 275.0, 60.0, 25.0)), Found("animal", 0.9, (125.0, 230.0, 125.0, 60.0))]
    proposals = propose(found, (400, 300), saliency, 400, 300, printed=[(0, 272, 400, 28)])
    assert proposals.boxes.tolist() == [[125, 230, 125, 60], *[[125, 234.375, 125, 37.5]] * 3]
    assert saliency[300, 0] == 1.0  # what was handed in stays as it is


def test_a_silhouette_outlines_what_the_network_boxed():
    saliency = np.zeros((300, 300), np.float32)
    saliency[100:160, 100:200] = 0.9
    found = [Found("animal", 0.9, (90.0, 95.0, 115.0, 70.0)), Found("animal", 0.9, (0.0, 0.0, 50.0, 50.0))]
    proposals = propose(found, (300, 300), saliency, 300, 300)
    animals = choose_animals(proposals, np.array([0.9, 0.8, 0.1, 0.1, 0.1]), 0.5, 300, 300)
    assert [(animal.box, animal.score) for animal in animals] == [((100, 100, 100, 60), 0.9), ((0, 0, 50, 50), 0.8)]
    assert animals[0].mask.all() and animals[1].mask is None


def test_only_large_photos_are_shrunk():
    assert shrunk(np.zeros((10, 20, 3), np.uint8)).shape == (10, 20, 3)
    large = cv2.resize(np.eye(9, dtype=np.uint8)[..., None].repeat(3, 2), (3000, 1500))
    assert shrunk(large).shape == (NETWORK_SIDE // 2, NETWORK_SIDE, 3)
    assert shrunk(np.zeros((5000, 2, 3), np.uint8)).shape == (NETWORK_SIDE, 1, 3)


def test_trees_are_scikit_learns(tmp_path):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(600, len(FEATURES)))
    right = features[:, 0] * features[:, 1] + 0.5 * rng.normal(size=600) > 0
    grown = HistGradientBoostingClassifier(max_iter=20, max_depth=3, early_stopping=False, random_state=0)
    grown.fit(features, right)
    scorer = Scorer(*as_nodes(grown), 3)
    more = rng.normal(size=(400, len(FEATURES)))
    assert scorer(more) == pytest.approx(grown.predict_proba(more)[:, 1], abs=1e-5)
    (tmp_path / "s.yaml").write_text(write_scorer(scorer, "two\nlines"))
    again = read_scorer(tmp_path / "s.yaml")
    assert np.array_equal(again(more), scorer(more)) and again.sha256 == scorer.sha256


def test_the_trees_of_the_repository_say_the_plain_things():
    """Both networks sure: an animal. Neither: none. Their file says what they were taught with."""
    saliency = np.zeros((320, 320), np.float32)
    saliency[100:200, 80:200] = 0.99
    box = (112.0, 105.0, 168.0, 105.0)  # the same place in a photo of 448 x 336
    scorer = read_scorer()
    both = propose([Found("animal", 0.9, box)], (448, 336), saliency, 448, 336)
    assert scorer(both.features)[0] > 0.8
    neither = propose([Found("animal", 0.02, box)], (448, 336), np.zeros_like(saliency), 448, 336)
    assert scorer(neither.features)[0] < 0.1
    assert "procedural surveys" in TREES.read_text() and "no photo in it" in TREES.read_text()


@pytest.mark.parametrize(
    ("licence", "may"),
    [
        ("MIT", True),
        ("Apache-2.0; photos CDLA-Permissive-1.0", True),
        ("MIT (repository; photos from Google and Pixabay)", False),
        ("GPL-3.0 (repository; photos from Google)", False),
        ("CC BY-NC 4.0", False),
        ("none stated", False),
        ("", False),
    ],
)
def test_which_photos_may_teach(licence, may):
    assert may_teach(licence) is may


def test_pieces_hold_no_animal_or_whole_ones(tmp_path):
    lesson = Lesson(tmp_path / "a.jpg", np.array([[700.0, 550.0, 80.0, 60.0]]), "g")
    drawn = pieces(lesson, 1000, 800)
    assert [one.box for one in drawn] == [one.box for one in pieces(lesson, 1000, 800)]
    empty = [one for one in drawn if not len(one.true)]
    closer = [one for one in drawn if len(one.true)]
    assert 1 <= len(empty) <= 3 and len(closer) == 1
    for one in drawn:
        x, y, w, h = one.box
        assert 0 <= x <= x + w <= 1000 and 0 <= y <= y + h <= 800 and one.group == "g"
    x, y, w, h = closer[0].box
    assert closer[0].true[0].tolist() == [700 - x, 550 - y, 80, 60]
