"""Detect: from photos to animals, and from an animal to the parts by which it is known (flank, face).

Backends give animals: `saliency` (U^2-Net, helped by the camera's median background), `megadetector`, `columns` (boxes
in the table) and `whole` (the photo is a crop already). Side and face come from the silhouette (`orientation.py`) and
from a face detector (`face.py`), unless the table tells.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.files import inside
from pelage.common.images import decode_image, encode_png, read_image, to_rgb
from pelage.common.memo import Memo
from pelage.common.parallel import parallel_map
from pelage.common.params import choose
from pelage.common.progress import track
from pelage.common.tables import UNKNOWN, rejected_table
from pelage.preprocess.background_model import Background, departure, learn_background, light, thumbnail
from pelage.preprocess.boxes import Box, clip_box, cut, pad_box
from pelage.preprocess.face import FaceFinder
from pelage.preprocess.megadetector import MegaDetector
from pelage.preprocess.orientation import judge_orientation
from pelage.preprocess.saliency import Saliency, resize_map

BACKENDS = ("saliency", "megadetector", "columns", "whole")
PARTS = ("flank", "face")
COLUMNS = ["crop_id", "image_id", "part", "x", "y", "w", "h", "score", "orientation", "animal"]
BACKGROUND_PHOTOS = 60  # of one camera in one light, evenly over its photos: enough for a median, few for memory
MARGIN = 0.1  # share of a box's longer side that is added before a silhouette or a face is looked for


@dataclass(frozen=True)
class Settings:
    """What `detect` and `parts` of params.yaml and the data set's entry ask for."""

    backend: str
    part: str | None
    parts: tuple[str, ...]
    threshold: float
    min_score: float
    min_area: float
    median_background_from: int
    megadetector_model: str
    megadetector_min_score: float


@dataclass(frozen=True)
class Animal:
    """One animal of a photo: its box, how sure it is (0..1), and its silhouette `(h, w)` bool if the backend has one."""

    box: Box
    score: float
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class Sighting:
    """What one photo shows.

    Attributes:
        animals: Animals, surest first, and the `orientations` that they were judged to have.
        rows: `(part, x, y, w, h, score, orientation, animal)` of each part that is wanted and seen.
        alone: What saliency finds without the camera's background (to measure what that brings).
        reason: Why there are no rows (`detail` says more), else empty.
    """

    animals: Sequence[Animal] = ()
    orientations: Sequence[str] = ()
    rows: Sequence[tuple] = ()
    alone: Sequence[Animal] = ()
    reason: str = ""
    detail: str = ""


def read_settings(detect: Mapping[str, Any], dataset: Mapping[str, Any], parts: Sequence[str]) -> Settings:
    """Combine the sections `detect` and `parts` with a data set's entry, and check them.

    Raises:
        PelageError: An unknown backend or part, or a data set of crops that does not say which part they show.
    """
    backend = detect["backend"] if detect["backend"] != "auto" else dataset.get("boxes", "saliency")
    choose(backend, BACKENDS, "detect.backend (auto: the data set's `boxes`)")
    for part in parts:
        choose(part, PARTS, "parts")
    if backend in ("columns", "whole"):
        choose(dataset.get("part"), PARTS, f"`part` of the data set (needed as its boxes are {backend!r})")
    return Settings(
        backend=backend,
        part=dataset.get("part"),
        parts=tuple(part for part in parts if part in dataset.get("parts", parts)),
        threshold=detect["threshold"],
        min_score=detect["min_score"],
        min_area=detect["min_area"],
        median_background_from=detect["median_background_from"],
        megadetector_model=detect["megadetector"]["model"],
        megadetector_min_score=detect["megadetector"]["min_score"],
    )


def detect(photos: pd.DataFrame, root: Path, settings: Settings, model: Path) -> list[Sighting]:
    """Look at each photo of a table of clean photos.

    Args:
        photos: Rows of `clean.csv`.
        root: Folder that the table's paths start from.
        settings: See `Settings`.
        model: ONNX file of U^2-Net.

    Returns:
        One `Sighting` a row, in the order of the table.
    """
    backgrounds = learn_backgrounds(photos, root, settings) if settings.backend == "saliency" else {}
    detector = Detector(root, settings, model, backgrounds)
    rows = list(photos.itertuples(index=False))
    workers = 1 if settings.backend == "megadetector" else None  # torch has its own threads
    return list(track(parallel_map(detector, rows, workers), "detect", len(rows)))


def detection_table(photos: pd.DataFrame, sightings: Sequence[Sighting]) -> pd.DataFrame:
    """Return `detections.csv`: one row a part of an animal, numbered within its photo."""
    rows = [
        (f"{image_id}#{number}", image_id, part, *box, score, orientation, animal)
        for image_id, sighting in zip(photos["image_id"], sightings, strict=True)
        for number, (part, *box, score, orientation, animal) in enumerate(sighting.rows)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def undetected_table(photos: pd.DataFrame, sightings: Sequence[Sighting]) -> pd.DataFrame:
    """Return the rejected table: photos without a row in `detections.csv`, and why."""
    return rejected_table(
        (photo.image_id, photo.path, sighting.reason, sighting.detail)
        for photo, sighting in zip(photos.itertuples(), sightings, strict=True)
        if sighting.reason
    )


def read_photo(root: Path, photo: Any) -> np.ndarray:
    """Read the RGB image of a row of the photo table."""
    return to_rgb(read_image(inside(root, photo.path, f"clean.csv, image_id {photo.image_id}")))


def learn_backgrounds(photos: pd.DataFrame, root: Path, settings: Settings) -> dict[tuple[str, str], Background]:
    """Learn the background of each camera and light that has at least `median_background_from` photos."""

    def look(photo: Any) -> np.ndarray | None:
        try:
            return thumbnail(read_photo(root, photo))
        except PelageError:
            return None

    backgrounds: dict[tuple[str, str], Background] = {}
    least = settings.median_background_from
    for camera, taken in photos.groupby("camera", sort=True) if least else ():
        if not camera or len(taken) < least:
            continue
        chosen = taken.iloc[np.unique(np.linspace(0, len(taken) - 1, 2 * BACKGROUND_PHOTOS).round().astype(int))]
        thumbs = [thumb for thumb in parallel_map(look, list(chosen.itertuples(index=False))) if thumb is not None]
        for kind in ("colour", "grey"):
            alike = [thumb for thumb in thumbs if light(thumb) == kind][:: 1 + len(thumbs) // (2 * BACKGROUND_PHOTOS)]
            if len(alike) >= least:
                backgrounds[str(camera), kind] = learn_background(alike)
    return backgrounds


def find_animals(evidence: np.ndarray, width: int, height: int, settings: Settings) -> list[Animal]:
    """Return the animals in a map of evidence `(S, S)` in 0..1 of a photo squeezed to a square, surest first.

    A component of at least `min_area` of the photo is an animal if the mean evidence within it reaches `min_score`.
    """
    side = evidence.shape[0]
    solid = (evidence >= settings.threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid)
    animals = []
    for label in range(1, count):
        x, y, w, h, area = (int(value) for value in stats[label])
        component = labels[y : y + h, x : x + w] == label
        score = round(float(evidence[y : y + h, x : x + w][component].mean()), 4)
        if area < settings.min_area * side * side or score < settings.min_score:
            continue
        box = clip_box(x * width / side, y * height / side, w * width / side, h * height / side, width, height)
        if box is not None:
            mask = cv2.resize(component.astype(np.float32), box[2:], interpolation=cv2.INTER_LINEAR) >= 0.5
            animals.append(Animal(box, score, mask))
    return sorted(animals, key=lambda animal: (-animal.score, animal.box))


class Detector:
    """What turns a row of the photo table into a `Sighting`; one serves many threads.

    Args:
        root: Folder that the table's paths start from.
        settings: See `Settings`.
        model: ONNX file of U^2-Net.
        backgrounds: What `learn_backgrounds` returns.
    """

    def __init__(
        self, root: Path, settings: Settings, model: Path, backgrounds: Mapping[tuple[str, str], Background]
    ) -> None:
        self._root, self._settings, self._backgrounds = root, settings, backgrounds
        self._saliency = Saliency(model)
        self._saliency_memo = Memo("saliency", 1, self._saliency.sha256)
        self._find_face = FaceFinder()
        if settings.backend == "megadetector":
            self._megadetector = MegaDetector(settings.megadetector_model)
            self._megadetector_memo = Memo("megadetector", 1, self._megadetector.sha256)
        self._find = {
            "saliency": self._by_saliency,
            "megadetector": self._by_megadetector,
            "columns": self._by_columns,
            "whole": self._by_whole,
        }[settings.backend]

    def __call__(self, photo: Any) -> Sighting:
        """Look at one photo, a row of `clean.csv` as a named tuple."""
        try:
            image = read_photo(self._root, photo)
            animals, alone = self._find(image, photo)
        except PelageError as error:
            return Sighting(reason="unreadable", detail=str(error))
        if not animals:
            return Sighting(alone=alone, reason="no animal", detail=f"{self._settings.backend} found no animal.")
        parts = [self._parts(image, photo, animal) for animal in animals]
        rows = [
            (part, *box, score, orientation, number)
            for number, (orientation, shown) in enumerate(parts)
            for part, box, score in shown
        ]
        orientations = [orientation for orientation, _ in parts]
        reason = "" if rows else "no part"
        detail = "" if rows else f"No animal of the photo shows its {' or '.join(self._settings.parts)}."
        return Sighting(animals, orientations, rows, alone, reason, detail)

    def _by_whole(self, image: np.ndarray, photo: Any) -> tuple[list[Animal], list[Animal]]:
        return [Animal((0, 0, image.shape[1], image.shape[0]), 1.0)], []

    def _by_columns(self, image: np.ndarray, photo: Any) -> tuple[list[Animal], list[Animal]]:
        if not photo.bbox:
            return [], []
        try:
            x, y, w, h = (float(value) for value in photo.bbox.split())
            box = clip_box(x, y, w, h, image.shape[1], image.shape[0])
        except (ValueError, OverflowError):
            box = None
        if box is None:
            raise PelageError(f"its bbox {photo.bbox!r} is not `x y w h` in pixels of the photo.")
        return [Animal(box, 1.0)], []

    def _by_megadetector(self, image: np.ndarray, photo: Any) -> tuple[list[Animal], list[Animal]]:
        key = self._megadetector_memo.key(photo.sha256)
        known = self._megadetector_memo.get(key)
        found = json.loads(known) if known is not None else self._megadetector(image)
        if known is None:
            self._megadetector_memo.put(key, json.dumps(found).encode())
        boxes = [(clip_box(*box, image.shape[1], image.shape[0]), score) for *box, score in found]
        least = self._settings.megadetector_min_score
        return [Animal(box, round(score, 4)) for box, score in boxes if box is not None and score >= least], []

    def _by_saliency(self, image: np.ndarray, photo: Any) -> tuple[list[Animal], list[Animal]]:
        height, width = image.shape[:2]
        saliency = self._saliency_of(image, photo, (0, 0, width, height))
        alone = find_animals(saliency, width, height, self._settings)
        thumb = thumbnail(image)
        background = self._backgrounds.get((photo.camera, light(thumb)))
        if background is None:
            return alone, alone
        evidence = combine(saliency, departure(thumb, background))
        return find_animals(evidence, width, height, self._settings), alone

    def _saliency_of(self, image: np.ndarray, photo: Any, box: Box) -> np.ndarray:
        key = self._saliency_memo.key(photo.sha256, json.dumps(box))
        known = self._saliency_memo.get(key)
        if known is not None:
            return decode_image(known).astype(np.float32) / 255
        saliency = np.round(self._saliency(np.ascontiguousarray(cut(image, box))) * 255).astype(np.uint8)
        self._saliency_memo.put(key, encode_png(saliency))
        return saliency.astype(np.float32) / 255

    def _silhouette(self, image: np.ndarray, photo: Any, animal: Animal) -> np.ndarray:
        if animal.mask is not None:
            return animal.mask
        box = pad_box(animal.box, MARGIN, image.shape[1], image.shape[0])
        saliency = resize_map(self._saliency_of(image, photo, box), box[2], box[3])
        x, y, w, h = animal.box
        return cut(saliency, (x - box[0], y - box[1], w, h)) >= self._settings.threshold

    def _parts(self, image: np.ndarray, photo: Any, animal: Animal) -> tuple[str, list[tuple[str, Box, float]]]:
        """Return the orientation of an animal, and its parts with box and score."""
        told = photo.orientation if photo.orientation != UNKNOWN else ""
        if self._settings.backend in ("whole", "columns"):
            part = self._settings.part
            if not told and part == "flank":
                told = judge_orientation(self._silhouette(image, photo, animal))
            return told or UNKNOWN, [(part, animal.box, animal.score)] if part in self._settings.parts else []
        face = None
        if "face" in self._settings.parts:
            x, y, w, h = pad_box(animal.box, MARGIN, image.shape[1], image.shape[0])
            face = self._find_face(np.ascontiguousarray(cut(image, (x, y, w, h))))
        orientation = told or judge_orientation(self._silhouette(image, photo, animal))
        parts = []
        if "flank" in self._settings.parts and orientation not in ("front", "back"):
            parts.append(("flank", animal.box, animal.score))
        if face is not None:
            parts.append(("face", (x + face.box[0], y + face.box[1], *face.box[2:]), face.score))
        return orientation, parts


def combine(saliency: np.ndarray, departure: np.ndarray) -> np.ndarray:
    """Combine a saliency map with the departure from the background, both `(S, S)`, to evidence in 0..1."""
    near = cv2.GaussianBlur(np.clip((departure - 1.5) / 2.5, 0, 1).astype(np.float32), (0, 0), 4)
    return saliency * np.clip(2 * near, 0, 1)
