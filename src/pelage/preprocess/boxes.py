"""Boxes: x, y, width and height in whole pixels of a photo, and how they overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

Box = tuple[int, int, int, int]

HIT = 0.5
"""Intersection over union from which on a found box is that of a true animal."""


def clip_box(x: float, y: float, w: float, h: float, width: int, height: int) -> Box | None:
    """Return the whole pixels of a box that lie in a photo of `width` by `height`, or None if there are none."""
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(width, round(x + w)), min(height, round(y + h))
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def whole_box(image: np.ndarray) -> Box:
    """Return the box of a whole image."""
    return 0, 0, image.shape[1], image.shape[0]


def pad_box(box: Box, share: float, width: int, height: int) -> Box:
    """Return `box` grown on each side by `share` of its longer side, within the photo."""
    x, y, w, h = box
    margin = share * max(w, h)
    grown = clip_box(x - margin, y - margin, w + 2 * margin, h + 2 * margin, width, height)
    return grown or box


def cut(image: np.ndarray, box: Box) -> np.ndarray:
    """Return the pixels of `box`, `(h, w)` or `(h, w, C)`, without copying."""
    x, y, w, h = box
    return image[y : y + h, x : x + w]


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the area that boxes `(N, 4)` and `(M, 4)` share, as `(N, M)` in square pixels."""
    a, b = np.asarray(a, float).reshape(-1, 1, 4), np.asarray(b, float).reshape(1, -1, 4)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    return np.prod(np.clip(high - low, 0, None), axis=-1)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return intersection over union of boxes `(N, 4)` and `(M, 4)` as `(N, M)` in 0..1."""
    both = overlap(a, b)
    union = _areas(a)[:, None] + _areas(b)[None] - both
    return np.divide(both, union, out=np.zeros_like(union), where=union > 0)


def covered(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return which share of each of the boxes `(N, 4)` lies in each of `(M, 4)`, as `(N, M)` in 0..1."""
    both, areas = overlap(a, b), np.broadcast_to(_areas(a)[:, None], (len(a), len(b)))
    return np.divide(both, areas, out=np.zeros_like(both), where=areas > 0)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.prod(np.asarray(boxes, float).reshape(-1, 4)[:, 2:], axis=-1)


def pair_boxes(found: Sequence[Box], true: Sequence[Box]) -> list[tuple[int, int, float]]:
    """Return `(index of found, index of true, IoU)` of the pairs overlapping most in total, each box in at most one."""
    overlaps = iou(np.array(found), np.array(true))
    pairs = zip(*linear_sum_assignment(-overlaps), strict=True)
    return [(int(i), int(j), float(overlaps[i, j])) for i, j in pairs if overlaps[i, j] > 0]
