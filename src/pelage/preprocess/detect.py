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
from pelage.preprocess.background_model import LIGHTS, Background, departure, learn_background, light, thumbnail
from pelage.preprocess.boxes import Box, clip_box, cut, pad_box, whole_box
from pelage.preprocess.face import Face, FaceFinder
from pelage.preprocess.megadetector import MegaDetector
from pelage.preprocess.orientation import Silhouette, judge_side, measure_silhouette, shows_flank
from pelage.preprocess.saliency import Saliency, resize_map

BACKENDS = ("saliency", "megadetector", "columns", "whole")
PARTS = ("flank", "face")
COLUMNS = [
    "crop_id", "image_id", "part", "x", "y", "w", "h", "score", "orientation",
    "animal", "animal_x", "animal_y", "animal_w", "animal_h",
]  # fmt: skip
BACKGROUND_PHOTOS = 120  # of one camera, evenly over its photos: enough for a median, few enough for memory
FRAGMENT = 0.2  # share of the largest component's area below which a component is no animal of its own
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
    """One animal of a photo: its box, how sure it is (0..1), and its silhouette `(h, w)` bool if the backend tells."""

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
    detector = Detector(root, settings, model)
    if settings.backend == "saliency" and settings.median_background_from:
        detector.learn_backgrounds(photos)
    rows = list(photos.itertuples(index=False))
    workers = 1 if settings.backend == "megadetector" else None  # torch has its own threads
    return list(track(parallel_map(detector, rows, workers), "detect", len(rows)))


def detection_table(photos: pd.DataFrame, sightings: Sequence[Sighting]) -> pd.DataFrame:
    """Return `detections.csv`: one row a part of an animal, numbered within its photo, and the box of that animal.

    The flank is the trunk alone: head, tail and lower legs move from photo to photo and bring background along.
    """
    rows = [
        (f"{image_id}#{number}", image_id, part, *box, score, orientation, animal, *sighting.animals[animal].box)
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


def find_animals(evidence: np.ndarray, width: int, height: int, settings: Settings) -> list[Animal]:
    """Return the animals in a map of evidence `(S, S)` in 0..1 of a photo squeezed to a square, surest first.

    A component of at least `min_area` of the photo is an animal if the mean evidence within it reaches `min_score`,
    unless it is so much smaller than another that it must be a fragment.
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
    largest = max((int(animal.mask.sum()) for animal in animals), default=0)
    whole = [animal for animal in animals if animal.mask.sum() >= FRAGMENT * largest]
    return sorted(whole, key=lambda animal: (-animal.score, animal.box))


class Detector:
    """What turns a row of the photo table into a `Sighting`; one serves many threads.

    Args:
        root: Folder that the table's paths start from.
        settings: See `Settings`.
        model: ONNX file of U^2-Net.
    """

    def __init__(self, root: Path, settings: Settings, model: Path) -> None:
        self._root, self._settings = root, settings
        self._backgrounds: dict[tuple[str, str], Background] = {}
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

    def learn_backgrounds(self, photos: pd.DataFrame) -> None:
        """Learn the background of each camera and light that has at least `median_background_from` photos."""

        def look(photo: Any) -> tuple[np.ndarray, np.ndarray] | None:
            try:
                image = read_photo(self._root, photo)
            except PelageError:
                return None
            return thumbnail(image), self._saliency_of(image, photo, whole_box(image))

        least = self._settings.median_background_from
        cameras = [(str(camera), taken) for camera, taken in photos.groupby("camera", sort=True)]
        for camera, taken in track(cameras, "backgrounds"):
            if not camera or len(taken) < least:
                continue
            chosen = taken.iloc[np.unique(np.linspace(0, len(taken) - 1, BACKGROUND_PHOTOS).round().astype(int))]
            looks = list(zip(chosen["encounter"], parallel_map(look, chosen.itertuples(index=False)), strict=True))
            seen = [(light(look[0]), *look, burst) for burst, look in looks if look is not None]
            for kind in LIGHTS:
                alike = [row[1:] for row in seen if row[0] == kind]
                if len(alike) >= least:
                    self._backgrounds[camera, kind] = learn_background(*zip(*alike, strict=True))

    def _by_whole(self, image: np.ndarray, photo: Any) -> tuple[list[Animal], list[Animal]]:
        return [Animal(whole_box(image), 1.0)], []

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
        saliency = self._saliency_of(image, photo, whole_box(image))
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

    def _silhouette(self, image: np.ndarray, photo: Any, animal: Animal) -> Silhouette | None:
        mask = animal.mask
        if mask is None:
            box = pad_box(animal.box, MARGIN, image.shape[1], image.shape[0])
            saliency = resize_map(self._saliency_of(image, photo, box), box[2], box[3])
            x, y, w, h = animal.box
            mask = cut(saliency, (x - box[0], y - box[1], w, h)) >= self._settings.threshold
        return measure_silhouette(mask) if mask.any() else None

    def _parts(self, image: np.ndarray, photo: Any, animal: Animal) -> tuple[str, list[tuple[str, Box, float]]]:
        """Return the orientation of an animal, and the wanted parts that it shows, with box and score."""
        wanted, told = self._settings.parts, photo.orientation or UNKNOWN
        if self._settings.backend in ("whole", "columns"):
            part = self._settings.part
            if told == UNKNOWN and part == "flank":
                shape = self._silhouette(image, photo, animal)
                told = judge_side(shape) if shape else UNKNOWN
            return told, [(part, animal.box, animal.score)] if part in wanted else []
        face = self._face(image, animal) if "face" in wanted else None
        shape = self._silhouette(image, photo, animal)
        sideways = told in ("left", "right")
        if told == UNKNOWN:
            sideways = shape is None or shows_flank(shape)
            if shape is not None and sideways:
                told = judge_side(shape)
            elif face is not None:
                told = "front"
        flank = animal.box
        if shape is not None:
            x, y, w, h = shape.trunk
            flank = animal.box[0] + x, animal.box[1] + y, w, h
        parts = [("flank", flank, animal.score)] if sideways and "flank" in wanted else []
        return told, parts + ([("face", face.box, face.score)] if face else [])

    def _face(self, image: np.ndarray, animal: Animal) -> Face | None:
        x, y, w, h = pad_box(animal.box, MARGIN, image.shape[1], image.shape[0])
        face = self._find_face(np.ascontiguousarray(cut(image, (x, y, w, h))))
        return face and Face((x + face.box[0], y + face.box[1], face.box[2], face.box[3]), face.score)


def combine(saliency: np.ndarray, departure: np.ndarray) -> np.ndarray:
    """Raise what is only half salient where a photo departs from its camera's background.

    Args:
        saliency: `(S, S)` in 0..1.
        departure: What `background_model.departure` returns, of any size.

    Returns:
        Evidence `(S, S)` in 0..1: the saliency, or its geometric mean with the departure (from 1 to 3) if that is more.
    """
    moved = np.clip((cv2.GaussianBlur(departure, (0, 0), 2.0) - 1) / 2, 0, 1)
    moved = resize_map(moved, saliency.shape[1], saliency.shape[0])
    return np.maximum(saliency, np.sqrt(saliency * moved))
