"""Bodies: whether a silhouette is that of one animal or of two, and where the cut between two is plain.

All measures are proportions in the radius of the largest disc that fits into the silhouette (half a trunk's height), so
that neither the camera nor the animal's size matters. They hold for any four-legged mammal: two bodies are longer than
one, have legs and humps where one has none, a second trunk far from the first, and are cut off by the photo's edge at
full thickness beyond a whole body. The weights are made by `body_training.py`.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.signal import find_peaks
from skimage.segmentation import watershed

from pelage.preprocess.boxes import Box
from pelage.preprocess.judge import Judge
from pelage.preprocess.orientation import PAD, opened, scale_silhouette

JUDGE = Path(__file__).with_name("bodies.yaml")
NOTCH = 0.35  # depth of a hollow of the outline that counts, in radii
AT_EDGE = 2  # pixels from the photo's edge within which a silhouette is cut off by it
NECK = 0.35  # radius of a neck between two animals at most, in the largest radius: a cat's own neck has 0.5
BODY = 0.2  # share of a silhouette that an animal has at least
TRUNK_TOO = 0.6  # radius of the second trunk at least, in the largest: heads and legs are thinner

TWO = (
    *("elongation", "area", "length", "height", "solidity", "notches", "far", "farther"),
    *("trunk_80", "trunk_60", "trunk_45", "second_80", "valley_top", "valley_height", "legs", "cut", "cut_thickness"),
    *("thin_end", "thick_end", "peak_30", "third_peak_30", "hump_30", "peak_45", "third_peak_45", "hump_45"),
    *("feet", "feet_apart"),
)
"""The measures that the judge goes by."""


def measure_body(mask: np.ndarray, box: Box, size: tuple[int, int]) -> dict[str, float]:
    """Measure the largest component of a silhouette.

    Args:
        mask: `(h, w)` bool, not empty.
        box: Where it lies in the photo.
        size: Width and height of the photo.

    Returns:
        Measures by name; lengths in radii of the largest disc that fits in.
    """
    small, (x, _, w, _), _ = scale_silhouette(mask)
    thickness = cv2.distanceTransform(small, cv2.DIST_L2, 5)
    inside, radius = small > 0, float(thickness.max())
    height, width = inside.shape[0] - 2 * PAD, inside.shape[1] - 2 * PAD
    return {
        "elongation": float(np.log(width / height)),
        "area": float(np.log(inside.sum() / radius**2)),
        "length": float(np.log(width / radius)),
        "height": float(np.log(height / radius)),
        **_hollows(small, radius),
        **_trunks(thickness, radius),
        **_ends(thickness, radius),
        **_profile(thickness, radius),
        **_legs(inside, radius),
        **_cut(inside, radius, box[0] + x <= AT_EDGE, box[0] + x + w >= size[0] - AT_EDGE),
    }


class BodyJudge:
    """How probably a silhouette holds more than one animal; `sha256` of the weights is kept for memo keys."""

    def __init__(self) -> None:
        self._two = Judge.read(JUDGE, "two")
        self.sha256 = self._two.sha256

    def __call__(self, mask: np.ndarray, box: Box, size: tuple[int, int]) -> float:
        """Return the probability, 0..1, of what `measure_body` measures, to 4 decimals."""
        return round(self._two(measure_body(mask, box, size)), 4)


def split_silhouette(mask: np.ndarray) -> list[np.ndarray]:
    """Divide a silhouette where the cut between two animals is plain: between components, or at a narrow neck.

    Two trunks are two if what joins them is thinner than `NECK` and each has a body's area and thickness; so neither
    a head nor a tail is ever cut off.

    Args:
        mask: `(H, W)` bool.

    Returns:
        Masks `(H, W)` bool, largest first, that do not overlap; only the given one where no cut is plain.
    """
    if not mask.any():
        return [mask]
    height, width = mask.shape
    scale = min(1.0, 256 / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.pad(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_AREA), 1)
    thickness = cv2.distanceTransform(small, cv2.DIST_L2, 5)
    count, cores = cv2.connectedComponents((thickness > NECK * thickness.max()).astype(np.uint8))
    radii = [float(thickness[cores == core].max()) for core in range(1, count)]
    trunks = [core for core, radius in enumerate(radii, 1) if radius >= TRUNK_TOO * thickness.max()]
    if len(trunks) < 2:
        return [mask]
    seeds = np.where(np.isin(cores, trunks), cores, 0)
    parts = watershed(-thickness, seeds, mask=small > 0)[1:-1, 1:-1]
    parts = cv2.resize(parts.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    found = sorted((mask & (parts == trunk) for trunk in trunks), key=lambda part: -int(part.sum()))
    if any(part.sum() < BODY * mask.sum() for part in found):
        return [mask]
    return found


def _hollows(small: np.ndarray, radius: float) -> dict[str, float]:
    """Return how much of its convex hull a shape fills, and how many deep hollows its outline has."""
    outline = max(cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea)
    hull = cv2.convexHull(outline, returnPoints=False)
    try:
        hollows = cv2.convexityDefects(outline, np.sort(hull, axis=0)[::-1])
    except cv2.error:  # a hull that crosses itself, of a shape of few pixels
        hollows = None
    deep = 0 if hollows is None else int((hollows[:, 0, 3] / 256 > NOTCH * radius).sum())
    area = cv2.contourArea(cv2.convexHull(outline))
    return {"solidity": cv2.contourArea(outline) / max(area, 1.0), "notches": float(deep)}


def _trunks(thickness: np.ndarray, radius: float) -> dict[str, float]:
    """Return how wide the parts are that discs of three sizes reach, and the thickness far from the thickest place."""
    row, column = np.unravel_index(int(thickness.argmax()), thickness.shape)
    rows, columns = np.ogrid[: thickness.shape[0], : thickness.shape[1]]
    away = np.hypot(rows - row, columns - column) / radius
    measures = {
        "far": float(thickness[away > 4.5].max(initial=0)) / radius,
        "farther": float(thickness[away > 6].max(initial=0)) / radius,
    }
    for share in (0.8, 0.6, 0.45):
        reached = opened(thickness, share)
        measures[f"trunk_{share * 100:.0f}"] = float(np.log(_extent(reached.any(0)) / radius))
        if share == 0.8:
            count, _, stats, _ = cv2.connectedComponentsWithStats(reached.astype(np.uint8))
            areas = np.sort(stats[1:, cv2.CC_STAT_AREA])
            measures["second_80"] = float(areas[-2] / areas[-1]) if count > 2 else 0.0
    return measures


def _ends(thickness: np.ndarray, radius: float) -> dict[str, float]:
    """Return the thickness beyond both ends of the trunk, above its lower edge."""
    trunk = opened(thickness, 0.8)
    left, right = np.flatnonzero(trunk.any(0))[[0, -1]]
    bottom = np.flatnonzero(trunk.any(1))[-1] + 1
    outside = np.where(trunk, 0.0, thickness / radius)[:bottom]
    ends = float(outside[:, :left].max(initial=0)), float(outside[:, right + 1 :].max(initial=0))
    return {"thin_end": min(ends), "thick_end": max(ends)}


def _profile(thickness: np.ndarray, radius: float) -> dict[str, float]:
    """Return peaks and valleys of the upper outline, without tails and ears, and of the height at each column."""
    measures = {}
    for share in (0.3, 0.45):
        reached = opened(thickness, share)
        columns = np.flatnonzero(reached.any(0))
        solid = reached[:, columns[0] : columns[-1] + 1]
        top = _smooth((thickness.shape[0] - solid.argmax(0)) / radius, 0.8)
        places, found = find_peaks(np.pad(top, 1), prominence=0.05)
        heights = found["prominences"]
        most = np.pad(np.sort(heights)[::-1], (0, 3))
        middle = (places > 0.2 * (len(top) + 2)) & (places < 0.8 * (len(top) + 2))
        name = f"{share * 100:.0f}"
        measures[f"peak_{name}"], measures[f"third_peak_{name}"] = float(most[1]), float(most[2])
        measures[f"hump_{name}"] = min(float(heights[middle].max(initial=0)), 3.0)
        if share == 0.3:
            measures["valley_top"] = _valley(_smooth(top, 0.6))
            measures["valley_height"] = _valley(_smooth(solid.sum(0) / radius, 2.0))
    return measures


def _legs(inside: np.ndarray, radius: float) -> dict[str, float]:
    """Return how many legs rows cross in the lowest 30 %, how many feet the lower outline has and how far apart."""
    height = inside.shape[0]
    low = inside[int(0.7 * height) : height - PAD].astype(np.int8)
    starts = (np.diff(np.pad(low, ((0, 0), (1, 1))), axis=1) == 1).sum(1)
    lowest = np.where(inside.any(0), height - 1 - inside[::-1].argmax(0), 0) / radius
    feet, _ = find_peaks(np.pad(_smooth(lowest, 0.8), 1), prominence=0.35)
    apart = float(np.ptp(feet)) / radius if len(feet) > 1 else 0.0
    return {"legs": float(starts.mean()) if len(starts) else 0.0, "feet": float(len(feet)), "feet_apart": apart}


def _cut(inside: np.ndarray, radius: float, at_left: bool, at_right: bool) -> dict[str, float]:
    """Return at how many sides the photo's edge cuts a shape off, and how thick it is there."""
    left = inside[:, PAD : PAD + 3].any(1).sum() / radius if at_left else 0.0
    right = inside[:, -PAD - 3 : -PAD].any(1).sum() / radius if at_right else 0.0
    return {"cut": float(at_left) + float(at_right), "cut_thickness": float(max(left, right))}


def _extent(line: np.ndarray) -> int:
    places = np.flatnonzero(line)
    return int(places[-1] - places[0] + 1)


def _smooth(line: np.ndarray, spread: float) -> np.ndarray:
    return cv2.GaussianBlur(line.astype(np.float32)[None], (0, 0), spread)[0]


def _valley(line: np.ndarray) -> float:
    """Return the depth of the deepest valley of a line between higher places on both its sides."""
    rim = np.minimum(np.maximum.accumulate(line), np.maximum.accumulate(line[::-1])[::-1])
    return float((rim - line).max())
