"""Saliency: how much each pixel belongs to the thing that a photo shows, by U^2-Net (small), on the CPU.

Qin et al., "U^2-Net: going deeper with nested U-structure for salient object detection", Pattern Recognition 106,
2020. Prepared as rembg does, so that both give the same map.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from PIL import Image

from pelage.common.errors import PelageError
from pelage.common.files import sha256_file

SIDE = 320
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


class Saliency:
    """U^2-Net as a function of an image. One may serve many threads: each call uses one core.

    Args:
        model: ONNX file of U^2-Net; `sha256` of it is kept for memo keys.

    Raises:
        PelageError: The file is missing or no ONNX network.
    """

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self.sha256 = sha256_file(model)
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except FileNotFoundError as error:
            raise PelageError(f"{model} is missing: run the stage weights.") from error
        except Exception as error:  # onnxruntime's own errors share no base class
            raise PelageError(f"{model} is no readable ONNX network ({error}). Run the stage weights again.") from error
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the saliency map `(320, 320)` in 0..1, float32, of an RGB image `(H, W, 3)` squeezed to a square."""
        square = np.array(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        scaled = (square / max(square.max(), 1e-6) - MEAN) / STD
        batch = scaled.transpose(2, 0, 1)[None].astype(np.float32)
        return self._session.run([self._output], {self._input: batch})[0][0, 0]


def stretch(saliency: np.ndarray) -> np.ndarray:
    """Stretch a map to the whole range 0..1, as rembg does (a flat one becomes 0)."""
    low, high = float(saliency.min()), float(saliency.max())
    return (saliency - low) / (high - low) if high > low else np.zeros_like(saliency)


def resize_map(saliency: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize a map to `(height, width)` bilinearly."""
    return cv2.resize(saliency, (width, height), interpolation=cv2.INTER_LINEAR)
