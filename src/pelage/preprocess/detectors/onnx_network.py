"""Detection networks as ONNX: a photo is fitted to the input, the head's numbers become boxes in the photo's pixels.

Made for MegaDetector (Beery, Morris and Yang, 2019, arXiv:1907.06772) in its versions 5, 1000 and 6, which are YOLOv5,
YOLOv8 to v10 and RT-DETR networks, and for YOLOX. Which head it is follows from what the network returns, so that no
name has to be right. Arithmetic is that of the projects that train them: ultralytics' `LetterBox`, YOLOX's `preproc`,
torchvision's `nms`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from pelage.catalogue.words import detector_category
from pelage.common.errors import PelageError
from pelage.common.files import sha256_file

GREY = 114
"""What the rest of the input is filled with, as in training."""

OVERLAP = 0.45
"""Intersection over union from which on the less sure of two boxes of a class is left out (YOLOv5's default)."""

MOST = 300
"""Boxes of one photo at most, the surest."""

NAMES = ("animal", "person", "vehicle")
"""MegaDetector's classes in the order of its networks, which count from 0; its results files count from 1."""

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
"""Strides of the grids that a head looks at: a cell each, or three in YOLOv5."""

QUERIES = 1000
"""More boxes than any network returns that sorts them out itself; grids have more cells."""

PROBE = 256
"""Side of the empty image by which a network shows what it returns, where its file leaves that open."""

SIZES = {"yolov5": 1280, "yolov8": 1280, "end_to_end": 1280, "boxes": 1280, "detr": 640, "logits": 640, "yolox": 640}
"""The longer side, pixels, that a photo is given where the network takes any and its file does not say."""


@dataclass(frozen=True)
class Found:
    """One thing that a detector sees.

    Attributes:
        category: animal, person or vehicle, or the network's own word for another class.
        score: How sure it is, 0..1.
        box: x, y, width and height within the photo, pixels.
    """

    category: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Preparation:
    """How a photo becomes a network's input.

    Attributes:
        colour: Order of the channels, `rgb` or `bgr`.
        divisor: What values 0..255 are divided by.
        placing: `centre` and `corner` keep the aspect and leave grey around, or to the right and below; `stretch` does
            not keep it.
    """

    colour: str = "rgb"
    divisor: float = 255.0
    placing: str = "centre"


PREPARATIONS = {
    **dict.fromkeys(("yolov5", "yolov8", "end_to_end", "boxes"), Preparation()),
    **dict.fromkeys(("detr", "logits"), Preparation(placing="stretch")),
    "yolox": Preparation("bgr", 1.0, "corner"),
}
"""Heads, and how the input of each is prepared unless the file says otherwise."""

HEADS = {
    "yolov5": "YOLOv5 (1, N, 5 + C) with three boxes a cell",
    "yolox": "YOLOX (1, N, 5 + C) with one box a cell, decoded",
    "yolov8": "YOLOv8 and v9 (1, 4 + C, N)",
    "end_to_end": "YOLOv10 (1, N, 6)",
    "detr": "RT-DETR (1, N, 4 + C)",
    "boxes": "outputs named labels, boxes and scores",
    "logits": "outputs named logits and pred_boxes",
}
"""Heads that are read, in words; C are the classes."""

_SUPPRESSED = ("yolov5", "yolov8", "yolox")  # the others sort out what overlaps themselves
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_SIZE_INPUT = "orig_target_sizes"


@dataclass(frozen=True)
class Fitted:
    """A photo that was fitted to an input: `x * gain_x + left` is where x came to lie, and so with y."""

    width: int
    height: int
    gain_x: float
    gain_y: float
    left: int
    top: int

    def back(self, boxes: np.ndarray) -> np.ndarray:
        """Return corners `(N, 4)`, x1 y1 x2 y2 in the input's pixels, in the photo's, cut to the photo."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        gain = np.array([self.gain_x, self.gain_y] * 2, np.float32)
        return np.clip((boxes - offset) / gain, 0, np.array([self.width, self.height] * 2, np.float32))


def fit(image: np.ndarray, size: tuple[int, int], placing: str, stride: int | None = None) -> tuple[np.ndarray, Fitted]:
    """Fit an image to an input, bilinearly; only what comes out is new memory.

    Args:
        image: `(H, W, 3)` uint8.
        size: Height and width of the input, pixels.
        placing: See `Preparation`.
        stride: With the placing `centre`: leave only as much grey as makes both sides multiples of it, so that the
            input may be smaller than `size`.

    Returns:
        The input `(h, w, 3)` uint8, and how the image lies in it.
    """
    height, width = image.shape[:2]
    high, wide = size
    if placing == "stretch":
        fitted = Fitted(width, height, wide / width, high / height, 0, 0)
        return cv2.resize(image, (wide, high), interpolation=cv2.INTER_LINEAR), fitted
    gain = min(high / height, wide / width)
    whole = int if placing == "corner" else round
    new_width, new_height = max(1, whole(width * gain)), max(1, whole(height * gain))
    left = top = 0
    if placing == "centre":
        spare_x, spare_y = wide - new_width, high - new_height
        if stride:
            spare_x, spare_y = spare_x % stride, spare_y % stride
            wide, high = new_width + spare_x, new_height + spare_y
        left, top = round(spare_x / 2 - 0.1), round(spare_y / 2 - 0.1)
    canvas = np.full((high, wide, 3), GREY, np.uint8)
    resized = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    canvas[top : top + new_height, left : left + new_width] = resized
    return canvas, Fitted(width, height, gain, gain, left, top)


def suppress(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, overlap: float = OVERLAP) -> np.ndarray:
    """Return which boxes stay, surest first (of equally sure ones the first): non-maximum suppression a class.

    Args:
        boxes: Corners `(N, 4)` x1 y1 x2 y2, float32; all arithmetic is, as torchvision's is.
        scores: `(N,)` float32.
        classes: `(N,)`.
        overlap: Intersection over union above which the less sure one goes.
    """
    waiting, kept = np.argsort(-scores, kind="stable"), []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while len(waiting) and len(kept) < MOST:
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        sides = np.minimum(boxes[waiting, 2:], boxes[best, 2:]) - np.maximum(boxes[waiting, :2], boxes[best, :2])
        both = np.prod(np.maximum(sides, 0), axis=1)
        with np.errstate(invalid="ignore"):  # boxes without an area overlap nothing
            shares = (both / (areas[waiting] + areas[best] - both)).astype(float)
        waiting = waiting[~((shares > overlap) & (classes[waiting] == classes[best]))]
    return np.array(kept, int)


class OnnxDetector:
    """A detection network as a function of an image. One may serve many threads.

    What the file's metadata says counts: `names` of the classes, `stride` and `imgsz` as ultralytics writes them, and
    `head` (of `HEADS`), `colour`, `divisor` and `placing` (`Preparation`), where a head prepares photos another way.

    Args:
        path: ONNX file; `sha256` of it is kept for memo keys.
        min_score: Boxes that are less sure are left out.
        head: Which of `HEADS` it is, if what the network returns does not tell.
        size: The longer side that a photo is given, where the network takes any.
        threads: Cores that each call uses.

    Raises:
        PelageError: The file is missing or no ONNX network, or a network whose numbers nothing here can read; says
            what it returns and what is read.
    """

    def __init__(
        self,
        path: Path,
        min_score: float = 0.05,
        head: str | None = None,
        size: int | None = None,
        threads: int = 1,
    ) -> None:
        self._path, self._min_score = Path(path), min_score
        self._made_with = self._path, min_score, head, size, threads
        self._session = _open(self._path, threads)
        self.sha256 = sha256_file(self._path)
        told = self._session.get_modelmeta().custom_metadata_map
        self._names = _class_names(told.get("names"), self._path)
        self._read_inputs()
        fixed = None if None in self._shape[2:] else tuple(self._shape[2:])
        self._head = self._find_head(head or told.get("head"), fixed or (PROBE, PROBE))
        self._preparation = _preparation(self._head, told, self._path)
        longest = size or _number(told.get("imgsz")) or SIZES[self._head]
        self._stride = None if fixed else _number(told.get("stride")) or 64
        self._size = fixed or (-(-longest // self._stride) * self._stride,) * 2

    def __reduce__(self) -> tuple:
        return OnnxDetector, self._made_with  # another process opens the file itself

    def __call__(self, image: np.ndarray) -> list[Found]:
        """Return what the network sees in an RGB image `(H, W, 3)` uint8, surest first.

        Raises:
            PelageError: The network cannot work on it.
        """
        canvas, fitted = fit(image, self._size, self._preparation.placing, self._stride)
        corners, scores, classes = self._decode(self._run(canvas), canvas.shape[:2])
        sure = np.flatnonzero(scores > self._min_score)
        corners, scores, classes = corners[sure], scores[sure], classes[sure]
        if self._head in _SUPPRESSED:
            order = suppress(corners, scores, classes)
        else:
            order = np.argsort(-scores, kind="stable")[:MOST]
        found = []
        for (x1, y1, x2, y2), score, which in zip(
            fitted.back(corners[order]).tolist(), scores[order].tolist(), classes[order].tolist(), strict=True
        ):
            if x2 > x1 and y2 > y1:
                found.append(Found(self._names[which], min(score, 1.0), (x1, y1, x2 - x1, y2 - y1)))
        return found

    def _read_inputs(self) -> None:
        image, *more = self._session.get_inputs()
        shape = [side if isinstance(side, int) and side > 0 else None for side in image.shape]
        right = len(shape) == 4 and shape[0] in (1, None) and shape[1] in (3, None) and image.type in _FLOATS
        if not right or any(other.name != _SIZE_INPUT for other in more):
            takes = ", ".join(f"{one.name} {one.shape} {one.type}" for one in (image, *more))
            raise PelageError(
                f"{self._path} takes {takes}; what is read are networks that take one photo (1, 3, height, width) as "
                "float32 or float16. Export it so, with a batch of 1."
            )
        self._input, self._shape, self._type = image.name, shape, _FLOATS[image.type]
        self._sizes = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}[more[0].type] if more else None

    def _run(self, canvas: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by their names, of an input `(h, w, 3)` uint8."""
        if self._preparation.colour == "bgr":
            canvas = canvas[..., ::-1]
        batch = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]).astype(np.float32)
        batch /= np.float32(self._preparation.divisor)
        feed: dict[str, np.ndarray] = {self._input: batch.astype(self._type, copy=False)}
        if self._sizes:
            feed[_SIZE_INPUT] = np.array([[canvas.shape[1], canvas.shape[0]]], self._sizes)
        names = [output.name for output in self._session.get_outputs()]
        try:
            outputs = self._session.run(names, feed)
        except Exception as error:  # onnxruntime's own errors share no base class
            size = f"{canvas.shape[1]} x {canvas.shape[0]}"
            raise PelageError(f"{self._path} fails on an input of {size}: {' '.join(str(error).split())}") from error
        return dict(zip(names, outputs, strict=True))

    def _find_head(self, told: str | None, size: tuple[int, int]) -> str:
        """Return which of `HEADS` the network has."""
        if told is not None and told not in HEADS:
            raise PelageError(f"{self._path}: its head is said to be {told!r}; it must be one of {', '.join(HEADS)}.")
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        if any(not isinstance(side, int) for shape in shapes.values() for side in shape):
            self._preparation = Preparation()
            shapes = {name: output.shape for name, output in self._run(np.zeros((*size, 3), np.uint8)).items()}
        head = told or recognise(shapes, len(self._names), size)
        if head is None or (told and not _fits(told, shapes, len(self._names))):
            returns = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
            raise PelageError(
                f"{self._path} is a network of another kind: for {len(self._names)} classes "
                f"({', '.join(self._names[:5])}{', ...' if len(self._names) > 5 else ''}) and an input of "
                f"{size[1]} x {size[0]} it returns {returns}. What is read: {'; '.join(HEADS.values())}."
            )
        return head

    def _decode(
        self, outputs: Mapping[str, np.ndarray], size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return corners `(N, 4)` in the input's pixels, scores `(N,)` and classes `(N,)`."""
        high, wide = size
        if self._head == "boxes":
            corners, scores, classes = (outputs[name] for name in ("boxes", "scores", "labels"))
            corners, scores = corners.reshape(-1, 4).astype(np.float32), scores.reshape(-1).astype(np.float32)
            classes = classes.reshape(-1).astype(int)
        elif self._head == "logits":
            with np.errstate(over="ignore"):  # exp(100) is too much for float32, and 1 / inf is 0
                each = 1 / (1 + np.exp(-outputs["logits"][0].astype(np.float32)))
            corners = _corners(outputs["pred_boxes"][0].astype(np.float32)) * np.array([wide, high] * 2, np.float32)
            scores, classes = each.max(1), each.argmax(1)
        else:
            told = next(output for output in outputs.values() if output.ndim == 3)[0].astype(np.float32)
            if self._head == "end_to_end":
                corners, scores, classes = told[:, :4], told[:, 4], told[:, 5].astype(int)
            else:
                told = told.T if self._head == "yolov8" else told
                objectness = told[:, 4:5] if self._head in ("yolov5", "yolox") else np.float32(1)
                each = told[:, 5 if self._head in ("yolov5", "yolox") else 4 :] * objectness
                corners, scores, classes = _corners(told[:, :4]), each.max(1), each.argmax(1)
                if self._head == "detr":
                    corners = corners * np.array([wide, high] * 2, np.float32)
        known = (classes >= 0) & (classes < len(self._names)) & np.isfinite(corners).all(1)
        return corners[known], scores[known], classes[known]


def recognise(shapes: Mapping[str, Sequence[int]], classes: int, size: tuple[int, int]) -> str | None:
    """Return which of `HEADS` a network has, None if it is another.

    Args:
        shapes: Its outputs by their names.
        classes: How many classes it tells apart.
        size: Height and width of the input that they were returned for.

    With two classes the shape (1, N, 6) is taken for YOLOv10's, though it may be RT-DETR's; the metadata can say so.
    """
    for head in ("boxes", "logits"):
        if _fits(head, shapes, classes):
            return head
    heads = [tuple(shape) for shape in shapes.values() if len(shape) == 3]
    if len(heads) != 1 or heads[0][0] != 1:
        return None
    _, rows, columns = heads[0]
    cells = {sum((size[0] // stride) * (size[1] // stride) for stride in strides) for strides in STRIDES}
    if columns == 5 + classes and rows in {3 * number for number in cells}:
        return "yolov5"
    if columns == 5 + classes and rows in cells:
        return "yolox"
    if rows == 4 + classes and columns in cells:
        return "yolov8"
    if columns == 6 and rows <= QUERIES:
        return "end_to_end"
    return "detr" if columns == 4 + classes and rows <= QUERIES else None


def _fits(head: str, shapes: Mapping[str, Sequence[int]], classes: int) -> bool:
    """Tell whether outputs have the form that a head has, whatever the number of boxes."""
    if head == "boxes":
        return set(shapes) == {"labels", "boxes", "scores"} and shapes["boxes"][-1] == 4
    if head == "logits":
        return {"logits", "pred_boxes"} <= set(shapes) and shapes["logits"][-1] == classes
    heads = [shape for shape in shapes.values() if len(shape) == 3 and shape[0] == 1]
    wanted = {"yolov5": 5 + classes, "yolox": 5 + classes, "yolov8": 4 + classes, "end_to_end": 6, "detr": 4 + classes}
    return len(heads) == 1 and heads[0][1 if head == "yolov8" else 2] == wanted[head]


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Return corners x1 y1 x2 y2 of boxes `(N, 4)` given by centre, width and height."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if not path.is_file():
        raise PelageError(f"{path} is missing: there is no such ONNX network. Put it there, or give the right path.")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base class
        with open(path, "rb") as file:
            checkpoint = file.read(2) == b"PK"
        mend = (
            "It looks like a torch checkpoint, which is not read: export it as ONNX with the tool it was trained with "
            "(YOLOv5: python export.py --include onnx)."
            if checkpoint
            else "Fetch it again, or give another."
        )
        raise PelageError(f"{path} is no readable ONNX network ({' '.join(str(error).split())}). {mend}") from error


def _class_names(told: str | None, path: Path) -> list[str]:
    """Return the categories of the classes in their order, from metadata such as `{0: 'animal', 1: 'person'}`."""
    names = list(NAMES)
    if told:
        value = _literal(told)
        values = list(value.values()) if isinstance(value, Mapping) else value
        if isinstance(value, Mapping) and [str(key) for key in value] != [str(i) for i in range(len(value))]:
            values = None
        if not isinstance(values, (list, tuple)) or not all(isinstance(name, str) for name in values):
            raise PelageError(f"{path}: its metadata `names` is {told[:200]!r}; it must be the classes from 0 on.")
        names = [detector_category(name) or name.strip().lower() for name in values]
    if "animal" not in names:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise PelageError(
            f"{path} has no class animal; it tells apart {', '.join(names[:10])}{more}. Give a network such as "
            "MegaDetector that finds animals of any kind."
        )
    return names


def _preparation(head: str, told: Mapping[str, str], path: Path) -> Preparation:
    changes: dict[str, Any] = {}
    for key, allowed in (("colour", ("rgb", "bgr")), ("placing", ("centre", "corner", "stretch"))):
        if key in told:
            if told[key] not in allowed:
                raise PelageError(f"{path}: its metadata `{key}` is {told[key]!r}; it must be {' or '.join(allowed)}.")
            changes[key] = told[key]
    if "divisor" in told:
        value = _literal(told["divisor"])
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise PelageError(f"{path}: its metadata `divisor` is {told['divisor']!r}; it must be a number above 0.")
        changes["divisor"] = float(value)
    return replace(PREPARATIONS[head], **changes)


def _number(told: str | None) -> int | None:
    """Return the largest of the whole numbers that metadata tells, such as 32 or [1280, 1280]; None without any."""
    value = _literal(told) if told else None
    values = value if isinstance(value, (list, tuple)) else [value]
    numbers = [one for one in values if isinstance(one, int) and not isinstance(one, bool) and 0 < one <= 1 << 14]
    return max(numbers, default=None)


def _literal(text: str) -> Any:
    """Return the value that a text writes as JSON or as Python; nothing is run. None if it writes none."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
    return None
