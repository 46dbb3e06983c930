"""Face: where an animal's face is, by OpenCV's cascade for cat faces, looked for inside the animal's box.

The cascade was trained by J. Howse on frontal faces of house cats (Viola and Jones, "Rapid object detection using a
boosted cascade of simple features", CVPR 2001); it also knows those of big cats. A face in profile is not found.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np

CASCADE = "haarcascade_frontalcatface.xml"
SIDE = 320  # pixels of the longer side of the region that is searched
NEIGHBOURS = 3


@dataclass(frozen=True)
class Face:
    """A face: x, y, width, height in pixels of the image that was searched, and a score in 0..1."""

    box: tuple[int, int, int, int]
    score: float


class FaceFinder:
    """The cascade as a function of an image; each thread has its own, since OpenCV's keeps state."""

    def __init__(self) -> None:
        self._local = threading.local()

    def __call__(self, image: np.ndarray) -> Face | None:
        """Return the surest face in an RGB image `(H, W, 3)`, or None."""
        if not hasattr(self._local, "cascade"):
            self._local.cascade = cv2.CascadeClassifier(cv2.data.haarcascades + CASCADE)
        height, width = image.shape[:2]
        scale = SIDE / max(height, width)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, (max(1, round(width * scale)), max(1, round(height * scale))))
        boxes, _, weights = self._local.cascade.detectMultiScale3(
            cv2.equalizeHist(grey), scaleFactor=1.05, minNeighbors=NEIGHBOURS, minSize=(24, 24), outputRejectLevels=True
        )
        if len(boxes) == 0:
            return None
        weight, box = max((float(weight), tuple(map(int, box))) for weight, box in zip(weights, boxes, strict=True))
        x, y, w, h = (round(value / scale) for value in box)
        return Face((x, y, min(w, width - x), min(h, height - y)), round(weight / (1.0 + weight), 4))
