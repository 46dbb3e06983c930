"""Orientation: which flank a silhouette shows, from where the head is. Any four-legged mammal seen from the side.

The trunk is the part of the silhouette that a large disc can reach (a morphological opening). What sticks out of its
two ends, above its lower edge, is head or tail: a head is thick and a tail is thin.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pelage.common.tables import UNKNOWN

SIDE = 128  # pixels of the silhouette's longer side: the rule is one of proportions
TRUNK = 0.8  # radius of the disc that makes the trunk, in the silhouette's largest inscribed radius
POWER = 3  # of the thickness by which a pixel counts: high enough that a long tail weighs less than a head

WIDE = 1.15  # elongation from which on a silhouette may be a flank
SURE = 0.7  # |head| from which on the side is decided


@dataclass(frozen=True)
class Silhouette:
    """What the shape of an animal tells.

    Attributes:
        elongation: Width of the silhouette over its height.
        head: -1 (the head is surely on the left) to 1 (surely on the right): thickness beyond the right end of the
            trunk less that beyond its left end, over their sum.
    """

    elongation: float
    head: float


def judge_orientation(mask: np.ndarray) -> str:
    """Return `left`, `right` or `unknown` for the silhouette `(H, W)` bool of an animal.

    A side is told only of a silhouette wider than high, one end of which is at least 5.7 times as thick as the other
    (|head| >= 0.7). An animal that comes or goes cannot be told from its outline alone.
    """
    if not mask.any():
        return UNKNOWN
    shape = measure_silhouette(mask)
    if shape.elongation < WIDE or abs(shape.head) < SURE:
        return UNKNOWN
    return "right" if shape.head > 0 else "left"


def measure_silhouette(mask: np.ndarray) -> Silhouette:
    """Measure the largest component of a mask `(H, W)` bool that is not empty."""
    shape = _largest(mask)
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    shape = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = shape.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.pad(cv2.resize(shape.astype(np.uint8), size, interpolation=cv2.INTER_AREA), 2)
    thickness = cv2.distanceTransform(small, cv2.DIST_L2, 5)
    radius = TRUNK * float(thickness.max())
    trunk = (cv2.distanceTransform((thickness < radius).astype(np.uint8), cv2.DIST_L2, 5) <= radius) & (small > 0)
    trunk = _largest(trunk)
    left, right = np.flatnonzero(trunk.any(0))[[0, -1]]
    bottom = np.flatnonzero(trunk.any(1))[-1]
    ends = np.where((small > 0) & ~trunk, thickness**POWER, 0.0)[: bottom + 1].sum(0)
    at_left, at_right = float(ends[:left].sum()), float(ends[right + 1 :].sum())
    total = at_left + at_right
    return Silhouette(width / height, (at_right - at_left) / total if total > 0 else 0.0)


def _largest(mask: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if count > 1 else mask.astype(bool)
