"""Orientation: sides of drawn animals, mirrored and scaled; and silence where a silhouette does not tell."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.preprocess.orientation import judge_side, measure_silhouette, shows_flank


def draw(head=True, tail=True, legs=True, scale=1.0, width=9) -> np.ndarray:
    """Draw an animal that walks to the right."""
    mask = np.zeros((300, 500), np.uint8)
    cv2.ellipse(mask, (250, 130), (130, 50), 0, 0, 360, 1, -1)
    if legs:
        for x in (150, 190, 310, 350):
            cv2.rectangle(mask, (x, 130), (x + 22, 270), 1, -1)
    if head:
        cv2.circle(mask, (395, 95), 32, 1, -1)
    if tail:
        cv2.line(mask, (130, 120), (40, 170), 1, width)
    return cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST) > 0


@given(st.floats(0.3, 1.5), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_side_is_where_the_head_is(scale, tail, legs):
    mask = draw(tail=tail, legs=legs, scale=scale)
    assert judge_side(measure_silhouette(mask)) == "right"
    assert judge_side(measure_silhouette(mask[:, ::-1])) == "left"


def test_measures_mirror():
    there, back = measure_silhouette(draw()), measure_silhouette(draw()[:, ::-1])
    assert there.head == pytest.approx(-back.head, abs=0.02) and there.head > 0.8
    assert there.left == pytest.approx(back.right, abs=0.05)
    assert there.elongation == back.elongation


def test_an_animal_without_a_visible_head_is_not_guessed():
    assert judge_side(measure_silhouette(draw(head=False))) == "unknown"
    assert judge_side(measure_silhouette(draw(head=False, tail=False))) == "unknown"


def test_two_heads_and_plain_shapes_are_unknown():
    both = draw(tail=False) | draw(tail=False)[:, ::-1]
    assert judge_side(measure_silhouette(both)) == "unknown"
    assert judge_side(measure_silhouette(np.ones((40, 90), bool))) == "unknown"
    assert judge_side(measure_silhouette(np.ones((1, 1), bool))) == "unknown"


def test_what_is_narrower_than_high_shows_no_flank():
    assert shows_flank(measure_silhouette(draw()))
    assert not shows_flank(measure_silhouette(draw().T))
    assert judge_side(measure_silhouette(draw().T)) == "unknown"


def test_between_narrow_and_wide_the_trunk_tells_a_flank():
    """Long legs make a flank nearly as high as wide; what comes is as wide with its tail to one side."""
    mask = np.zeros((400, 400), np.uint8)
    cv2.ellipse(mask, (200, 80), (140, 50), 0, 0, 360, 1, -1)
    for x in (80, 120, 280, 310):
        cv2.rectangle(mask, (x, 80), (x + 14, 285), 1, -1)
    high = measure_silhouette(mask > 0)
    assert 1 < high.elongation < 1.2 and high.length == pytest.approx(2.6, abs=0.2) and shows_flank(high)
    mask = np.zeros((400, 400), np.uint8)
    cv2.circle(mask, (150, 150), 90, 1, -1)
    cv2.line(mask, (220, 150), (258, 125), 1, 16)
    comes = measure_silhouette(mask > 0)
    assert 1.05 < comes.elongation < 1.25 and comes.length == pytest.approx(1.0, abs=0.1) and not shows_flank(comes)


def test_a_short_body_that_looks_to_one_side_is_not_guessed():
    """What comes has its head beside the trunk as well, when it looks aside; its trunk is no longer than high."""
    mask = np.zeros((300, 400), np.uint8)
    cv2.ellipse(mask, (150, 150), (100, 90), 0, 0, 360, 1, -1)
    cv2.circle(mask, (275, 110), 45, 1, -1)
    comes, goes_by = measure_silhouette(mask > 0), measure_silhouette(draw(tail=False))
    assert comes.elongation > 1.25 and comes.head > 0.9 and 0.4 < comes.right < 0.9
    assert comes.body == pytest.approx((100 + 125 + 45) / 180, abs=0.1)
    assert judge_side(comes) == "unknown" and judge_side(comes, looked=True) == "right"
    assert goes_by.body == pytest.approx((130 + 145 + 32) / 100, abs=0.2) and judge_side(goes_by) == "right"


def test_neither_tail_nor_legs_make_a_body_longer():
    plain = measure_silhouette(draw(tail=False, legs=False)).body
    for parts in ({"tail": True, "legs": False}, {"tail": False, "legs": True}, {}):
        assert measure_silhouette(draw(**parts)).body == pytest.approx(plain, rel=0.06)
    assert measure_silhouette(draw(head=False)).body < 0.9 * plain


def test_only_the_largest_component_counts():
    mask = np.zeros((300, 700), bool)
    mask[:, :500] = draw()
    mask[10:40, 640:690] = True
    assert measure_silhouette(mask) == measure_silhouette(draw())
