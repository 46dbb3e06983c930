"""Face: where in an animal's box a face looks at the camera.

Two detectors, the surer one wins: a template of oriented gradients (Dalal and Triggs, CVPR 2005; made by
`face_training.py`) and OpenCV's cascade for cat faces (J. Howse, after Viola and Jones, CVPR 2001), which also knows
lions. Neither finds a face in profile. Where the silhouette is known, a judge asks of each window of the template where
in the silhouette it lies: a face is thick where a tail is thin, sits on top or at an end, and has a head's size.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pelage.common.files import sha256_bytes
from pelage.common.params import read_yaml
from pelage.preprocess.boxes import Box, cut, iou
from pelage.preprocess.judge import Judge
from pelage.preprocess.orientation import measure_silhouette

TEMPLATE = Path(__file__).with_name("face.yaml")
WINDOW = 48  # pixels of the template's side
SIDE = 448  # pixels of the longer side of the region that the template searches
LEAST = 0.95  # weight from which on a window is a face by the template
CANDIDATE = 0.0  # weight from which on a window in a known silhouette is judged
CANDIDATES = 5  # windows that are judged at most
SHAPE = 256  # pixels of the longer side of the silhouette that they are judged in
ROOM = 4.0  # square windows beyond which silhouette around a window counts no more
MEASURES = (
    *("weight", "rival", "size", "size_in_height", "elongation", "thickness", "trunk", "cover", "core"),
    *("off_middle", "depth", "from_top", "above", "below", "less_beside", "more_beside", "at_head"),
)
"""What a window is judged by: see `measure_window`."""
CASCADE = "haarcascade_frontalcatface.xml"
CASCADE_SIDE = 256  # pixels of the longer side of the region that the cascade searches
CASCADE_SMALLEST = 0.25  # share of that side which a face has at least: in smaller windows it sees faces everywhere
CASCADE_NEIGHBOURS = 2  # agreeing windows that make a face
CASCADE_SCORE = 0.5  # the cascade gives no comparable weight
CASCADE_COVER = 0.6  # share of its window that a known silhouette covers at least


@dataclass(frozen=True)
class Face:
    """A face: x, y, width, height in pixels of the image that was searched, and a score in 0..1."""

    box: Box
    score: float


def read_template(path: Path = TEMPLATE) -> np.ndarray:
    """Read the template: HOG weights and, last, the bias, float32."""
    return np.frombuffer(base64.b64decode(read_yaml(path)["template"].replace(" ", "")), "<f2").astype(np.float32)


def new_hog() -> cv2.HOGDescriptor:
    """Return the description that the template is made of: 8 px cells in blocks of 2 x 2, 9 directions."""
    return cv2.HOGDescriptor((WINDOW, WINDOW), (16, 16), (8, 8), (8, 8), 9)


class FaceFinder:
    """Both detectors as a function of an image; each thread has its own, since OpenCV's keep state.

    Args:
        template: Weights and bias; those of `face.yaml` by default.
        judge: The judge of windows in a silhouette; that of `face.yaml` by default. `sha256` of both is kept for memo
            keys.
    """

    def __init__(self, template: np.ndarray | None = None, judge: Judge | None = None) -> None:
        self._template = read_template() if template is None else template
        self._judge = Judge.read(TEMPLATE, "judge") if judge is None else judge
        self.sha256 = sha256_bytes(self._template.tobytes() + self._judge.sha256.encode())
        self._local = threading.local()

    def __call__(self, image: np.ndarray, mask: np.ndarray | None = None) -> Face | None:
        """Return the surest face in an RGB image `(H, W, 3)`, or None.

        Args:
            image: An animal and some room around it.
            mask: Its silhouette `(H, W)` bool, where it is known.
        """
        if mask is not None and mask.any():
            judged = [(self._judge(measures), box) for box, measures in self.candidates(image, mask)]
            score, box = max(judged, default=(0.0, None))
            if box is not None and score >= self._judge.least:
                return Face(box, round(score, 4))
        elif by_template := self.windows(image, LEAST):
            box, weight = by_template[0]
            return Face(box, round(float(1 / (1 + np.exp(-weight))), 4))
        box = self._by_cascade(image)
        if box is None or (mask is not None and mask.any() and cut(mask, box).mean() < CASCADE_COVER):
            return None
        return Face(box, CASCADE_SCORE)

    def windows(self, image: np.ndarray, least: float) -> list[tuple[Box, float]]:
        """Return windows that the template takes for faces with at least a weight, best first, without overlaps."""
        grey, scale = _searchable(image, SIDE)
        if min(grey.shape) < WINDOW:
            return []
        if not hasattr(self._local, "hog"):
            self._local.hog = new_hog()
            self._local.hog.setSVMDetector(self._template)
        boxes, weights = self._local.hog.detectMultiScale(
            grey, hitThreshold=least, winStride=(4, 4), scale=1.08, groupThreshold=0
        )
        boxes, weights = np.reshape(boxes, (-1, 4)), np.ravel(weights)
        waiting = np.lexsort((*boxes.T, -weights))
        kept = []
        while len(waiting):
            best = waiting[0]
            kept.append((_unscaled(tuple(boxes[best].tolist()), scale, image), float(weights[best])))
            waiting = waiting[iou(boxes[best], boxes[waiting])[0] < 0.3]
        return kept

    def candidates(self, image: np.ndarray, mask: np.ndarray) -> Iterator[tuple[Box, dict[str, float]]]:
        """Yield the windows that might be a face in a silhouette that is not empty, and what they are judged by."""
        windows = self.windows(image, CANDIDATE)[:CANDIDATES]
        scale = min(1.0, SHAPE / max(mask.shape))
        size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
        small = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_AREA)
        if not windows or not small.any():
            return
        thickness = cv2.distanceTransform(np.pad(small, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        head = measure_silhouette(small > 0).head
        for number, (box, weight) in enumerate(windows):
            rival = max((other for place, (_, other) in enumerate(windows) if place != number), default=-1.0)
            x, y, w, h = (value * scale for value in box)
            yield box, measure_window(thickness, (x, y, w, h), head) | {"weight": weight, "rival": rival}

    def _by_cascade(self, image: np.ndarray) -> Box | None:
        if not hasattr(self._local, "cascade"):
            self._local.cascade = cv2.CascadeClassifier(cv2.data.haarcascades + CASCADE)
        grey, scale = _searchable(image, CASCADE_SIDE)
        least = round(CASCADE_SMALLEST * CASCADE_SIDE)
        found = self._local.cascade.detectMultiScale(grey, 1.05, CASCADE_NEIGHBOURS, minSize=(least, least))
        boxes = sorted(map(tuple, np.reshape(found, (-1, 4)).tolist()), key=lambda box: (-box[2] * box[3], box))
        return _unscaled(boxes[0], scale, image) if boxes else None


def measure_window(thickness: np.ndarray, window: tuple[float, float, float, float], head: float) -> dict[str, float]:
    """Measure where a window lies in a silhouette.

    Args:
        thickness: `(H, W)`: distance of each of the silhouette's pixels from its outline, 0 outside; somewhere more.
        window: x, y, width and height, pixels.
        head: `Silhouette.head`: at which end the head is, -1 to 1.
    """
    inside, radius = thickness > 0, float(thickness.max())
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    x, y, w, h = window
    left, top, right, bottom = (max(0, round(value)) for value in (x, y, x + w, y + h))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    within = thickness[top:bottom, left:right]
    edge = round(0.15 * w)
    core = inside[top + edge : bottom - edge, left + edge : right - edge]
    middle = inside[:, max(0, round(x + 0.4 * w)) : round(x + 0.6 * w) + 1].any(1)
    highest = int(middle.argmax()) if middle.any() else rows[-1]
    beside = sorted(float(side.sum()) / w**2 for side in (inside[top:bottom, :left], inside[top:bottom, right:]))
    off = (x + w / 2 - (columns[0] + columns[-1]) / 2) / width * 2
    return {
        "size": float(np.log(w / radius)),
        "size_in_height": float(np.log(w / height)),
        "elongation": float(np.log(width / height)),
        "thickness": float(within.max(initial=0)) / w,
        "trunk": float(within.max(initial=0)) / radius,
        "cover": float((within > 0).sum()) / (w * h),
        "core": float(core.mean()) if core.size else 0.0,
        "off_middle": abs(off),
        "depth": (y + h / 2 - rows[0]) / height,
        "from_top": (y - highest) / w,
        "above": min(float(inside[:top, left:right].sum()) / w**2, ROOM),
        "below": min(float(inside[bottom:, left:right].sum()) / w**2, ROOM),
        "less_beside": min(beside[0], ROOM),
        "more_beside": min(beside[1], ROOM),
        "at_head": head * float(np.sign(off)),
    }


def _searchable(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = side / max(grey.shape)
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), scale


def _unscaled(box: Box, scale: float, image: np.ndarray) -> Box:
    x, y, w, h = (round(value / scale) for value in box)
    x, y = max(0, x), max(0, y)
    return x, y, min(w, image.shape[1] - x), min(h, image.shape[0] - y)
