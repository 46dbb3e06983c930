"""The embedded detector: two networks propose boxes, and one small scorer judges each by what both saw.

MegadetectorLite (YOLOX-tiny, taught by MegaDetector's boxes of camera-trap photos; zamba, DrivenData 2022) knows real
animals, small ones too, and nothing of drawings. U^2-Net finds whatever stands out, animal or not, if it is large. A
box that both agree on is sure; one that only one of them has is judged by how the photo looks to the other
(`scorer.py`, trained by `scorer_training.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pelage.preprocess.boxes import Box, clip_box, covered, iou
from pelage.preprocess.detectors.animal import Animal
from pelage.preprocess.detectors.onnx_network import Found

NETWORK_SIDE = 448
"""Pixels of the longer side of what the network is shown (the input of `model/yolox.py`)."""

NETWORK_LEAST = 0.01
"""Score from which on a box of the network is looked at: the scorer wants to know of unsure ones."""

LEVELS = (0.3, 0.5, 0.7)
"""Saliencies at which connected components become proposals."""

SMALLEST = 0.003
"""Share of the photo that a component has at least: in smaller ones saliency sees animals everywhere."""

SAME = 0.5
"""Overlap (IoU) from which on two boxes mean one thing."""

TWICE = 0.45
"""Overlap (IoU) above which the less sure of two animals is one found twice."""

WITHIN = 0.8
"""Share of a box within another from which on it is a fragment of it, unless the network is sure that it is not."""

SURE = 0.5
"""The network's score from which on a box within another is an animal of its own, such as a cub."""

OUTLINE, OUTLINED = 0.5, 0.6
"""Level of the components that outline an animal, and the overlap (IoU) with the network's box from which on one does:
the network draws boxes wide, and a silhouette is had for nothing."""

PRINTED = 0.5
"""Share of a box within what the camera prints above which it is no animal."""

RING = 0.25
"""Share of a box's sides by which its surroundings reach beyond it."""

FEATURES = (
    "network",  # log odds of the network's surest box that means this one
    "saliency_within",  # mean over the box
    "saliency_around",  # mean over its surroundings
    "component_overlap",  # best IoU with a component
    "component_saliency",  # mean saliency of the surest component that means this box
    "log_area",  # of its share of the photo
    "elongation",  # |log(width / height)|
    "from_network",  # who proposed it
    "network_in_photo",  # log odds of the surest box of the photo
    "log_undecided",  # log of the share of the photo that is half salient, in what is salient
    "undecided_within",  # share of the box that is half salient
    "salient",  # share of the photo
)


@dataclass(frozen=True)
class Proposals:
    """N boxes of a photo that may be animals.

    Attributes:
        boxes: `(N, 4)` x, y, width and height, pixels of the photo.
        features: `(N, F)` in the order of `FEATURES`.
        network: `(N,)` score of the network's surest box that means each, 0 without.
        masks: The component `(h, w)` of each that is one, else None.
        levels: `(N,)` saliency from which on the component was taken, 0 for the network's boxes.
    """

    boxes: np.ndarray
    features: np.ndarray
    network: np.ndarray
    masks: Sequence[np.ndarray | None]
    levels: np.ndarray


def shrunk(image: np.ndarray) -> np.ndarray:
    """Return what the network is shown of an RGB image: no side longer than `NETWORK_SIDE`, averaged over areas."""
    height, width = image.shape[:2]
    scale = NETWORK_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def propose(
    found: Sequence[Found],
    seen: tuple[int, int],
    saliency: np.ndarray,
    width: int,
    height: int,
    printed: Sequence[Box] = (),
) -> Proposals:
    """Return what may be animals of a photo, the network's boxes first.

    Args:
        found: What the network sees in the shrunk photo.
        seen: Width and height of the shrunk photo.
        saliency: `(S, S)` in 0..1 of the photo squeezed to a square.
        width, height: Of the photo, pixels.
        printed: Boxes in the photo that the camera prints: nothing there is salient, and no box lies mostly in one.
    """
    scale = np.array([width / seen[0], height / seen[1]] * 2)
    stretch = np.array([width, height] * 2) / saliency.shape[0]
    theirs = np.array([one.box for one in found], float).reshape(-1, 4) * scale
    sure = np.array([one.score for one in found], float)
    if len(printed):
        beside = covered(theirs, np.array(printed, float)).sum(axis=1) <= PRINTED
        theirs, sure, saliency = theirs[beside], sure[beside], saliency.copy()
        for x, y, w, h in np.rint(np.array(printed) / stretch).astype(int):
            saliency[y : y + h, x : x + w] = 0
    components = _components(saliency)
    ours = np.array([box for box, *_ in components], float).reshape(-1, 4) * stretch
    means = np.array([mean for _, mean, *_ in components], float)
    boxes = np.concatenate([theirs, ours])
    network = _best(boxes, theirs, sure)
    half = ((saliency > 0.1) & (saliency < 0.9)).astype(np.float32)
    solid = float((saliency >= 0.5).mean())
    sums, halves = cv2.integral(saliency.astype(np.float32)), cv2.integral(half)
    squeezed = boxes / stretch
    around = np.concatenate([squeezed[:, :2] - RING * squeezed[:, 2:], squeezed[:, 2:] * (1 + 2 * RING)], axis=1)
    within, area = _sum(sums, squeezed)
    beyond, wider = _sum(sums, around)
    features = np.column_stack([
        _odds(network),
        within / area,
        (beyond - within) / np.maximum(wider - area, 1),
        iou(boxes, ours).max(axis=1, initial=0.0),
        _best(boxes, ours, means),
        np.log(boxes[:, 2] * boxes[:, 3] / (width * height) + 1e-4),
        np.abs(np.log(np.maximum(boxes[:, 2], 1) / np.maximum(boxes[:, 3], 1))),
        np.arange(len(boxes)) < len(theirs),
        np.full(len(boxes), _odds(sure.max(initial=0.0))),
        np.full(len(boxes), np.log(float(half.mean()) / (solid + 0.002) + 0.01)),
        _sum(halves, squeezed)[0] / area,
        np.full(len(boxes), solid),
    ])  # fmt: skip
    masks, levels = [mask for _, _, mask, _ in components], [level for *_, level in components]
    return Proposals(boxes, features, network, [None] * len(theirs) + masks, np.array([0.0] * len(theirs) + levels))


def choose_animals(proposals: Proposals, scores: np.ndarray, least: float, width: int, height: int) -> list[Animal]:
    """Return the proposals that are animals, surest first, each animal once.

    Args:
        proposals: N of them.
        scores: `(N,)` probability that each is an animal.
        least: Score from which on it is.
        width, height: Of the photo, pixels.
    """
    kept: list[int] = []
    boxes = proposals.boxes
    for one in np.argsort(-scores, kind="stable"):
        if scores[one] < least:
            break
        others = boxes[kept]
        if len(kept) and (iou(boxes[[one]], others) > TWICE).any():
            continue
        within = max(covered(boxes[[one]], others).max(initial=0.0), covered(others, boxes[[one]]).max(initial=0.0))
        if within > WITHIN and proposals.network[one] < SURE:
            continue
        kept.append(int(one))
    animals = []
    for one in kept:
        outline = _outlined(one, proposals)
        box = clip_box(*boxes[outline], width, height)
        if box is not None:
            mask = _unsqueezed(proposals.masks[outline], box)
            animals.append(Animal(box, round(float(scores[one]), 4), "embedded", mask))
    return animals


def _outlined(one: int, proposals: Proposals) -> int:
    """Return the component that means the same as a box of the network and fits tighter, or the box itself."""
    solid = np.flatnonzero(proposals.levels == OUTLINE)
    if proposals.masks[one] is not None or not len(solid):
        return one
    overlaps = iou(proposals.boxes[[one]], proposals.boxes[solid])[0]
    return int(solid[overlaps.argmax()]) if overlaps.max() >= OUTLINED else one


def _components(saliency: np.ndarray) -> list[tuple[tuple[int, int, int, int], float, np.ndarray, float]]:
    """Return box, mean saliency, mask `(h, w)` and level of each connected component, in the map's pixels."""
    found = []
    for level in LEVELS:
        count, labels, stats, _ = cv2.connectedComponentsWithStats((saliency >= level).astype(np.uint8))
        for label in range(1, count):
            x, y, w, h, area = (int(value) for value in stats[label])
            if area < SMALLEST * saliency.size:
                continue
            part = labels[y : y + h, x : x + w] == label
            found.append(((x, y, w, h), float(saliency[y : y + h, x : x + w][part].mean()), part, level))
    return found


def _best(boxes: np.ndarray, others: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return for each box the highest score of the others that mean the same, 0 without."""
    return np.where(iou(boxes, others) >= SAME, scores, 0.0).max(axis=1, initial=0.0)


def _odds(scores: np.ndarray | float) -> np.ndarray:
    clipped = np.clip(scores, 0.005, 0.995)
    return np.log(clipped / (1 - clipped))


def _sum(integral: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum over each box of a map, and how many of its pixels that are (at least 1)."""
    side = integral.shape[0] - 1
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    x0, y0, x1, y1 = np.clip(np.rint(corners), 0, side).astype(int).T
    total = integral[y1, x1] - integral[y0, x1] - integral[y1, x0] + integral[y0, x0]
    return total, np.maximum((x1 - x0) * (y1 - y0), 1)


def _unsqueezed(mask: np.ndarray | None, box: tuple[int, int, int, int]) -> np.ndarray | None:
    if mask is None:
        return None
    return cv2.resize(mask.astype(np.float32), box[2:], interpolation=cv2.INTER_LINEAR) >= 0.5
