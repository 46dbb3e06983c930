"""Saliency: how much each pixel belongs to the thing that a photo shows, by U^2-Net (small), on the CPU.

Qin et al., "U^2-Net: going deeper with nested U-structure for salient object detection", Pattern Recognition 106,
2020. Prepared as rembg does, so that both give the same map.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from PIL import Image

from pelage.common.errors import PelageError
from pelage.common.files import sha256_file
from pelage.common.images import decode_image, encode_png
from pelage.common.memo import Memo
from pelage.preprocess.boxes import Box, cut
from pelage.preprocess.crop import Window

SIDE = 320
MARGIN = 0.1
"""Share of a box's longer side that is added before an animal's silhouette is looked for in it."""

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
        self._model = model
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

    def __reduce__(self) -> tuple:
        return Saliency, (self._model,)  # another process opens the file itself

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the saliency map `(320, 320)` in 0..1, float32, of an RGB image `(H, W, 3)` squeezed to a square."""
        square = np.array(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        scaled = (square / max(square.max(), 1e-6) - MEAN) / STD
        batch = scaled.transpose(2, 0, 1)[None].astype(np.float32)
        return self._session.run([self._output], {self._input: batch})[0][0, 0]


class SaliencyMaps:
    """Maps of parts of photos, to 8 bits; each is made once, whoever asks for it.

    Args:
        saliency: U^2-Net, with its `sha256`.
        root: Folder of memos, see `Memo`.
    """

    def __init__(self, saliency: Callable[[np.ndarray], np.ndarray], root: Path | None = None) -> None:
        self._saliency, self._memo = saliency, Memo("saliency", 1, saliency.sha256, root)

    def __call__(self, sha256: str, box: Box, read: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the map `(320, 320)` in 0..1, float32, of `box` in the photo of a hash that `read` gives as RGB."""
        key = self._memo.key(sha256, json.dumps(box))
        known = self._memo.get(key)
        if known is None:
            saliency = self._saliency(np.ascontiguousarray(cut(read(), box)))
            self._memo.put(key, known := encode_png(np.round(saliency * 255).astype(np.uint8)))
        return decode_image(known).astype(np.float32) / 255


def stretch(saliency: np.ndarray) -> np.ndarray:
    """Stretch a map to the whole range 0..1, as rembg does (a flat one becomes 0)."""
    low, high = float(saliency.min()), float(saliency.max())
    return (saliency - low) / (high - low) if high > low else np.zeros_like(saliency)


def resize_map(saliency: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize a map to `(height, width)` bilinearly."""
    return cv2.resize(saliency, (width, height), interpolation=cv2.INTER_LINEAR)


def cut_map(saliency: np.ndarray, box: Box, window: Window, shape: tuple[int, int]) -> np.ndarray:
    """Return a crop `(H, W)` of the map of a part of a photo, bilinearly.

    Args:
        saliency: `(S, S)`, the part squeezed to a square.
        box: The part, in pixels of the photo.
        window: The crop's place in the photo; where it reaches beyond the part, the part's border goes on.
        shape: Height and width of the crop, which may have been scaled.
    """
    across, down = saliency.shape[1] / box[2], saliency.shape[0] / box[3]
    step_x, step_y = (window.right - window.left) / shape[1], (window.bottom - window.top) / shape[0]
    to_map = np.array([
        [step_x * across, 0, (step_x / 2 + window.left - box[0]) * across - 0.5],
        [0, step_y * down, (step_y / 2 + window.top - box[1]) * down - 0.5],
    ])  # fmt: skip
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(saliency, to_map, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
