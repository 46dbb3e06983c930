"""Face: where in an animal's box a face looks at the camera.

Two detectors, the surer one wins: a template of oriented gradients (Dalal and Triggs, CVPR 2005; made by
`face_training.py`) and OpenCV's cascade for cat faces (J. Howse, after Viola and Jones, CVPR 2001), which also knows
lions. Neither finds a face in profile.
"""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pelage.common.files import sha256_bytes
from pelage.common.params import read_yaml
from pelage.preprocess.boxes import Box, iou

TEMPLATE = Path(__file__).with_name("face.yaml")
WINDOW = 48  # pixels of the template's side
SIDE = 448  # pixels of the longer side of the region that the template searches
LEAST = 0.95  # weight from which on a window is a face by the template
CASCADE = "haarcascade_frontalcatface.xml"
CASCADE_SIDE = 256  # pixels of the longer side of the region that the cascade searches
CASCADE_SMALLEST = 0.25  # share of that side which a face has at least: in smaller windows it sees faces everywhere
CASCADE_NEIGHBOURS = 2  # agreeing windows that make a face
CASCADE_SCORE = 0.5  # the cascade gives no comparable weight


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
        template: Weights and bias; those of `face.yaml` by default. `sha256` of it is kept for memo keys.
    """

    def __init__(self, template: np.ndarray | None = None) -> None:
        self._template = read_template() if template is None else template
        self.sha256 = sha256_bytes(self._template.tobytes())
        self._local = threading.local()

    def __call__(self, image: np.ndarray) -> Face | None:
        """Return the surest face in an RGB image `(H, W, 3)`, or None."""
        by_template = self.windows(image, LEAST)
        if by_template:
            box, weight = by_template[0]
            return Face(box, round(float(1 / (1 + np.exp(-weight))), 4))
        by_cascade = self._by_cascade(image)
        return Face(by_cascade, CASCADE_SCORE) if by_cascade else None

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

    def _by_cascade(self, image: np.ndarray) -> Box | None:
        if not hasattr(self._local, "cascade"):
            self._local.cascade = cv2.CascadeClassifier(cv2.data.haarcascades + CASCADE)
        grey, scale = _searchable(image, CASCADE_SIDE)
        least = round(CASCADE_SMALLEST * CASCADE_SIDE)
        found = self._local.cascade.detectMultiScale(grey, 1.05, CASCADE_NEIGHBOURS, minSize=(least, least))
        boxes = sorted(map(tuple, np.reshape(found, (-1, 4)).tolist()), key=lambda box: (-box[2] * box[3], box))
        return _unscaled(boxes[0], scale, image) if boxes else None


def _searchable(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = side / max(grey.shape)
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), scale


def _unscaled(box: Box, scale: float, image: np.ndarray) -> Box:
    x, y, w, h = (round(value / scale) for value in box)
    x, y = max(0, x), max(0, y)
    return x, y, min(w, image.shape[1] - x), min(h, image.shape[0] - y)
