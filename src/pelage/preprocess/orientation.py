"""Orientation: which flank a silhouette shows, from where the head is. Any four-legged mammal seen from the side.

The trunk is the part of the silhouette that a large disc can reach (a morphological opening). What sticks out of its
two ends, above its lower edge, is head or tail: a head is thick and a tail is thin.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pelage.common.tables import UNKNOWN
from pelage.preprocess.boxes import Box

SIDE = 128  # pixels of the silhouette's longer side: the rule is one of proportions
TRUNK = 0.8  # radius of the disc that makes the trunk, in the silhouette's largest inscribed radius
PAD = 2  # pixels around the scaled silhouette, so that its border is a border
FLANK = 0.6  # the same for the box of the flank: small enough that a narrow waist does not divide it
POWER = 3  # of the thickness by which a pixel counts: high enough that a long tail weighs less than a head

NARROW = 1.0  # elongation below which a silhouette shows no flank
PLAIN = 1.25  # elongation from which on it shows one
LONG = 2.0  # length of a trunk, in its thickness, from which on one between the two does: long legs make it high
WIDE = 1.2  # elongation from which on a side may be decided
BODY = 0.45  # as TRUNK, for the box of the trunk with neck and head: tail and lower legs are thinner
STRETCHED = 2.5  # length of such a body, in the trunk's thickness, from which on a side is decided
SURE = 0.5  # |head| from which on the side is decided
HEAD = (0.4, 0.9)  # how thick a head may be, in the trunk's thickness: a tail is thinner, what is thicker is no head
TAIL = 0.5  # how thick the other end may be at most


@dataclass(frozen=True)
class Silhouette:
    """What the shape of an animal tells.

    Attributes:
        elongation: Width of the silhouette over its height.
        head: -1 (the head is surely on the left) to 1 (surely on the right): thickness beyond the right end of the
            trunk less that beyond its left end, over their sum.
        left: Largest thickness beyond the left end of the trunk, in the trunk's own.
        right: The same beyond its right end.
        length: Width of the trunk in its thickness: about 1 of an animal that comes or goes, 2 and more from the side.
        body: Width of trunk, neck and head in the same: neither tail nor legs count.
        trunk: Box of the trunk in the mask: what is left of the animal without head, tail and lower legs.
    """

    elongation: float
    head: float
    left: float
    right: float
    length: float
    body: float
    trunk: Box


def judge_side(shape: Silhouette, looked: bool = False) -> str:
    """Return `left`, `right` or `unknown`: the side that a silhouette shows, if it tells.

    It does if it is clearly wider than high with a long body, and one end weighs at least three times the other
    (|head| >= 0.5) and is as thick as a head, while the other end is not. So an animal whose head is cut off by the
    photo's edge, one that comes or goes, and two in one silhouette are mostly `unknown`. What comes or goes may look
    to one side; the body's length silences six in seven of those whose side would be told, and 2 % of the flanks.

    Args:
        shape: Of the animal.
        looked: Somebody has seen that it shows a flank; its body may be short then.
    """
    head, tail = (shape.right, shape.left) if shape.head > 0 else (shape.left, shape.right)
    if shape.elongation < WIDE or abs(shape.head) < SURE or not (looked or shape.body >= STRETCHED):
        return UNKNOWN
    if not HEAD[0] <= head < HEAD[1] or tail >= TAIL:
        return UNKNOWN
    return "right" if shape.head > 0 else "left"


def shows_flank(shape: Silhouette) -> bool:
    """Return whether a silhouette may be that of a flank; else the animal comes or goes.

    It may if it is clearly wider than high, or at least as wide as high with a long trunk. Of silhouettes in drawn
    surveys other than the demo's, this takes 9 % of the ends for flanks (21 % by the width alone) and loses 1 % of the
    flanks.
    """
    return shape.elongation >= NARROW and (shape.elongation >= PLAIN or shape.length >= LONG)


def measure_silhouette(mask: np.ndarray) -> Silhouette:
    """Measure the largest component of a mask `(H, W)` bool that is not empty."""
    small, (left_edge, top_edge, width, height), scale = scale_silhouette(mask)
    thickness = cv2.distanceTransform(small, cv2.DIST_L2, 5)
    trunk = _largest(opened(thickness, TRUNK))
    flank = _largest(opened(thickness, FLANK))
    left, right = np.flatnonzero(trunk.any(0))[[0, -1]]
    bottom = np.flatnonzero(trunk.any(1))[-1]
    ends = np.where((small > 0) & ~trunk, thickness / thickness.max(), 0.0)[: bottom + 1]
    at_left, at_right = ends[:, :left], ends[:, right + 1 :]
    left_weight, right_weight = float((at_left**POWER).sum()), float((at_right**POWER).sum())
    total = left_weight + right_weight
    return Silhouette(
        elongation=width / height,
        head=(right_weight - left_weight) / total if total > 0 else 0.0,
        left=float(at_left.max(initial=0.0)),
        right=float(at_right.max(initial=0.0)),
        length=_width(flank) / float(2 * thickness.max()),
        body=_width(opened(thickness, BODY)) / float(2 * thickness.max()),
        trunk=_enclose(flank, (left_edge, top_edge), scale),
    )


def scale_silhouette(mask: np.ndarray) -> tuple[np.ndarray, Box, float]:
    """Cut out the largest component of a mask and scale it to `SIDE` pixels, so that shapes can be compared.

    Args:
        mask: `(H, W)` bool, not empty.

    Returns:
        The component, uint8, padded by `PAD`; its box in the mask; and pixels of the scaled one in one of the mask's.
    """
    shape = _largest(mask)
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    shape = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = shape.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.pad(cv2.resize(shape.astype(np.uint8), size, interpolation=cv2.INTER_AREA), PAD)
    return small, (int(columns[0]), int(rows[0]), width, height), scale


def opened(thickness: np.ndarray, share: float) -> np.ndarray:
    """Return what a disc reaches whose radius is `share` of the largest thickness, as bool.

    Args:
        thickness: `(H, W)`, each pixel's distance from the outline (0 outside).
        share: 0..1.
    """
    radius = share * float(thickness.max())
    reached = cv2.distanceTransform((thickness < radius).astype(np.uint8), cv2.DIST_L2, 5) <= radius
    return reached & (thickness > 0)


def _width(mask: np.ndarray) -> int:
    columns = np.flatnonzero(mask.any(0))
    return int(columns[-1] - columns[0]) + 1


def _enclose(trunk: np.ndarray, corner: tuple[int, int], scale: float) -> Box:
    """Return the box of a padded, scaled mask in the pixels of the mask that it was cut from at `corner`."""
    rows, columns = np.flatnonzero(trunk.any(1)) - PAD, np.flatnonzero(trunk.any(0)) - PAD
    x, y = (int(start + part[0] / scale) for start, part in zip(corner, (columns, rows), strict=True))
    w, h = (max(1, round(len(part) / scale)) for part in (columns, rows))
    return x, y, w, h


def _largest(mask: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if count > 1 else mask.astype(bool)
