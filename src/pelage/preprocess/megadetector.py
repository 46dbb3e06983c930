"""MegaDetector: animal boxes by the optional `megadetector` package, weights from a file that the user supplies.

Beery, Morris and Yang, "Efficient pipeline for camera trap image review", 2019, arXiv:1907.06772.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pelage.common.errors import PelageError
from pelage.common.files import cache_root, sha256_file

ANIMAL = "1"  # MegaDetector's category; 2 is a person, 3 a vehicle


class MegaDetector:
    """MegaDetector as a function of an image.

    Args:
        model: Weights: a path, or the name of a file in the folder `PELAGE_WEIGHTS` or in `.pelage/weights`.

    Raises:
        PelageError: The package or the weights are missing; says what to install and where to put them.
    """

    def __init__(self, model: str) -> None:
        try:
            from megadetector.detection.run_detector import load_detector
        except ImportError as error:
            raise PelageError(
                "detect.backend is megadetector, but the package `megadetector` is not installed: run "
                "`pip install megadetector` in the project's environment, or choose the backend saliency."
            ) from error
        path = find_model(model)
        self.sha256 = sha256_file(path)
        self._detector = load_detector(str(path))

    def __call__(self, image: np.ndarray) -> list[tuple[float, float, float, float, float]]:
        """Return animals in an RGB image `(H, W, 3)` as `(x, y, w, h, confidence)`, pixels, best first.

        Raises:
            PelageError: The package could not work on this image.
        """
        height, width = image.shape[:2]
        found = self._detector.generate_detections_one_image(image, detection_threshold=0.05)
        if found.get("failure"):
            raise PelageError(f"MegaDetector failed: {found['failure']}.")
        animals = [
            (box[0] * width, box[1] * height, box[2] * width, box[3] * height, float(detection["conf"]))
            for detection in found["detections"]
            if str(detection["category"]) == ANIMAL
            for box in [detection["bbox"]]
        ]
        return sorted(animals, key=lambda animal: (-animal[4], animal))


def find_model(model: str) -> Path:
    """Return the weights' file, looked for as a path, in `PELAGE_WEIGHTS` and in `.pelage/weights`."""
    own = os.environ.get("PELAGE_WEIGHTS")
    places = [Path(model), *([Path(own) / model] if own else []), cache_root() / "weights" / model]
    for place in places:
        if place.is_file():
            return place
    raise PelageError(
        f"params.yaml: detect.megadetector.model is {model!r}, and there is no such file. Download MegaDetector's "
        f"weights (such as md_v5a.0.0.pt), put them at {places[-1]} or into the folder that PELAGE_WEIGHTS names, or "
        "give the full path."
    )
