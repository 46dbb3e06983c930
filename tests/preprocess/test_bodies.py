"""Bodies: drawn animals, one and two; the same at any size; cuts that are plain."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.preprocess.bodies import BodyJudge, measure_body, split_silhouette

FAR = (10_000, 10_000)
BOX = (100, 100, 1, 1)


def draw(left=0, width=700, scale=1.0) -> np.ndarray:
    """Draw an animal of 355 pixels that walks to the right, its tail `left` + 40 pixels from the left."""
    mask = np.zeros((320, width), np.uint8)
    x = left
    cv2.ellipse(mask, (x + 250, 130), (120, 46), 0, 0, 360, 1, -1)
    cv2.ellipse(mask, (x + 352, 105), (45, 26), -25, 0, 360, 1, -1)
    cv2.circle(mask, (x + 395, 95), 30, 1, -1)
    cv2.line(mask, (x + 130, 120), (x + 40, 190), 1, 12)
    for foot in (150, 185, 320, 345):
        cv2.line(mask, (x + foot + 15, 140), (x + foot, 265), 1, 26)
    return cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST) > 0


def front() -> np.ndarray:
    """Draw an animal that comes: a round trunk with the head before it on two legs."""
    mask = np.zeros((320, 300), np.uint8)
    cv2.ellipse(mask, (150, 130), (55, 70), 0, 0, 360, 1, -1)
    cv2.circle(mask, (150, 60), 38, 1, -1)
    for x in (120, 180):
        cv2.line(mask, (x, 150), (x, 290), 1, 34)
    return mask > 0


def two(apart: int) -> np.ndarray:
    return draw(0) | draw(apart)


@pytest.mark.parametrize("apart", [190, 230, 270])
def test_two_in_line_score_more_than_one(apart):
    judge = BodyJudge()
    single, both = (judge(mask, BOX, FAR) for mask in (draw(), two(apart)))
    assert both > 0.5 > 0.3 > single


@given(st.floats(0.5, 2.0), st.booleans())
@settings(max_examples=20, deadline=None)
def test_measures_are_proportions(scale, mirrored):
    expected, mask = measure_body(draw(), BOX, FAR), draw(scale=scale)
    found = measure_body(mask[:, ::-1] if mirrored else mask, BOX, FAR)
    for name in ("elongation", "area", "length", "height", "solidity", "far", "trunk_80", "thin_end", "thick_end"):
        assert found[name] == pytest.approx(expected[name], abs=0.2), name


def test_what_the_photos_edge_cuts_off():
    mask = np.zeros((100, 300), bool)
    mask[20:80, :] = True
    inner, cut = measure_body(mask, (50, 0, 300, 100), (640, 100)), measure_body(mask, (0, 0, 300, 100), (640, 100))
    assert inner["cut"] == inner["cut_thickness"] == 0
    assert cut["cut"] == 1 and cut["cut_thickness"] == pytest.approx(2, abs=0.2)  # as thick as its largest disc
    assert measure_body(mask, (0, 0, 300, 100), (300, 100))["cut"] == 2


def test_shapes_of_few_pixels_are_measured():
    for mask in (np.ones((1, 1), bool), np.ones((1, 40), bool), np.eye(5, dtype=bool), np.ones((40, 1), bool)):
        assert all(np.isfinite(list(measure_body(mask, BOX, FAR).values())))


def test_one_animal_is_never_divided():
    for mask in (draw(), draw(scale=0.3), front(), draw().T, np.zeros((5, 5), bool), np.ones((3, 9), bool)):
        assert [part.tolist() for part in split_silhouette(mask)] == [mask.tolist()]
    overlapping = two(190)  # no plain cut: one lies before the other
    assert len(split_silhouette(overlapping)) == 1


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.0])
def test_two_that_touch_are_divided_at_the_neck(scale):
    first, second = draw(0, 900, scale), draw(430, 900, scale)  # the tail of one at the head of the other
    mask = first | second
    cv2.line(drawn := mask.astype(np.uint8), *[(round(x * scale), round(150 * scale)) for x in (400, 480)], 1, 3)
    parts = split_silhouette(drawn > 0)
    assert len(parts) == 2 and not (parts[0] & parts[1]).any() and ((parts[0] | parts[1]) <= (drawn > 0)).all()
    overlap = [max((part & one).sum() / (part | one).sum() for part in parts) for one in (first, second)]
    assert min(overlap) > 0.9


def test_components_are_divided_and_crumbs_are_not():
    mask = draw(0, 900) | draw(480, 900)
    assert len(split_silhouette(mask)) == 2
    crumb = draw()
    crumb[5:35, 600:640] = True
    assert len(split_silhouette(crumb)) == 1
