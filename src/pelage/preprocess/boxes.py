"""Boxes: x, y, width and height in whole pixels of a photo, and how they overlap."""

from __future__ import annotations

import numpy as np

Box = tuple[int, int, int, int]


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


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return intersection over union of boxes `(N, 4)` and `(M, 4)` as `(N, M)` in 0..1."""
    a, b = np.asarray(a, float).reshape(-1, 1, 4), np.asarray(b, float).reshape(1, -1, 4)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    overlap = np.prod(np.clip(high - low, 0, None), axis=-1)
    union = np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1) - overlap
    return np.divide(overlap, union, out=np.zeros_like(union), where=union > 0)
