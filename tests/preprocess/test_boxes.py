"""Boxes: overlap by hand, and clipping and padding that stay in the photo."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.preprocess.boxes import clip_box, covered, cut, iou, pad_box, pair_boxes, whole_box

BOX = st.tuples(st.integers(-50, 150), st.integers(-50, 150), st.integers(1, 120), st.integers(1, 120))


def test_iou_by_hand():
    a = np.array([[0, 0, 10, 10], [20, 20, 4, 4]])
    b = np.array([[5, 0, 10, 10], [0, 0, 10, 10], [30, 30, 1, 1]])
    assert iou(a, b) == pytest.approx(np.array([[1 / 3, 1, 0], [0, 0, 0]]))
    assert iou(np.zeros((0, 4)), b).shape == (0, 3)
    assert iou([[0, 0, 0, 0]], [[0, 0, 0, 0]])[0, 0] == 0


@given(BOX, BOX)
def test_iou_is_symmetric_and_one_only_for_the_same(a, b):
    there, back = float(iou([a], [b])[0, 0]), float(iou([b], [a])[0, 0])
    assert there == back and 0 <= there <= 1
    assert (there == 1) == (a == b)


@given(BOX, st.floats(0, 1))
def test_clipped_and_padded_boxes_stay_inside(box, share):
    clipped = clip_box(*box, 100, 80)
    if clipped is None:
        assert box[0] >= 100 or box[1] >= 80 or box[0] + box[2] <= 0 or box[1] + box[3] <= 0
        return
    for x, y, w, h in (clipped, pad_box(clipped, share, 100, 80)):
        assert x >= 0 and y >= 0 and w > 0 and h > 0 and x + w <= 100 and y + h <= 80
    assert float(iou([clipped], [pad_box(clipped, 0, 100, 80)])[0, 0]) == 1


def test_cut_takes_rows_and_columns():
    image = np.arange(12).reshape(3, 4)
    assert cut(image, (1, 0, 2, 2)).tolist() == [[1, 2], [5, 6]]
    assert cut(image, whole_box(image)).tolist() == image.tolist()


def test_each_box_is_paired_once_for_the_most_overlap():
    found = [(0, 0, 10, 10), (2, 0, 10, 10)]
    assert [(i, j) for i, j, _ in pair_boxes(found, [(2, 0, 10, 10), (0, 0, 10, 10)])] == [(0, 1), (1, 0)]
    assert pair_boxes(found, [(100, 100, 5, 5)]) == []
    assert pair_boxes([], [(0, 0, 1, 1)]) == []


def test_covered_by_hand():
    a, b = np.array([[0, 0, 10, 10], [0, 0, 0, 5]]), np.array([[5, 0, 100, 100], [0, 0, 10, 2]])
    assert covered(a, b) == pytest.approx(np.array([[0.5, 0.2], [0, 0]]))
