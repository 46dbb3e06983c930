"""Detect: from photos to animals, and from an animal to the parts by which it is known (flank, face).

Backends give animals: `embedded` (two networks and the camera's median background), `megadetector` (a results file, or
the network itself), `columns` (boxes in the table) and `whole` (the photo is a crop already). Side and face come from
the silhouette (`orientation.py`) and from a face detector (`face.py`), unless the table tells.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import cache, partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.files import inside, sha256_bytes
from pelage.common.images import decode_image, encode_png, read_image, to_rgb
from pelage.common.memo import Memo
from pelage.common.parallel import cores, parallel_map
from pelage.common.params import choose
from pelage.common.progress import track
from pelage.common.tables import PARTS, UNKNOWN, rejected_table
from pelage.common.workers import Ahead
from pelage.preprocess.animals import (
    Claim,
    claimed_boxes,
    name_animals,
    owners,
    pooled_scores,
    shared_boxes,
    told_orientations,
    unusual_score,
)
from pelage.preprocess.background_model import LIGHTS, Background, departure, learn_background, light, thumbnail
from pelage.preprocess.bodies import BodyJudge, split_silhouette
from pelage.preprocess.boxes import Box, clip_box, cut, pad_box, whole_box
from pelage.preprocess.crop import Window
from pelage.preprocess.detectors.animal import Animal
from pelage.preprocess.detectors.embedded import LEVELS, choose_animals, propose, shrunk
from pelage.preprocess.detectors.onnx_network import Found
from pelage.preprocess.detectors.results import Told
from pelage.preprocess.detectors.scorer import read_scorer
from pelage.preprocess.detectors.wanted import other_species, read_backend
from pelage.preprocess.face import Face, FaceFinder
from pelage.preprocess.orientation import judge_side, measure_silhouette, shows_flank
from pelage.preprocess.saliency import MARGIN, SaliencyMaps, cut_map, resize_map
from pelage.preprocess.shared_bands import SharedBands

ANIMAL_COLUMNS = [
    "image_id", "animal", "x", "y", "w", "h", "score", "found_by", "species", "orientation", "identity", "claimed",
    "shared", "shared_score", "outline",
]  # fmt: skip
COLUMNS = ["crop_id", "image_id", "part", "x", "y", "w", "h", "score", "orientation", "animal", "shared"]
BACKGROUND_PHOTOS = 120  # of one camera, evenly over its photos: enough for a median, few enough for memory
VERSION = 4
"""Raised by hand whenever something else would be seen in the same photo."""

NETWORKS_AT_ONCE = 4  # photos in MegaDetector at once: each may need some GiB
SHOWN = 0.9  # share of a silhouette that is salient at least where saliency shows it
CUT = 0.5  # score from which on a silhouette is cut in two where the cut is plain


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
    people: str = "set_aside"
    people_score: float = 0.5


@dataclass(frozen=True)
class Sighting:
    """What one photo shows. It holds no pixels, so that those of a large survey fit into memory.

    Attributes:
        size: Width and height of the photo, pixels.
        animals: Animals, surest first, and the `orientations` that they were judged to have.
        rows: `(part, x, y, w, h, score, orientation, animal)` of each part that is wanted and seen.
        alone: What saliency finds without the camera's background (to measure what that brings).
        reason: Why there are no rows (`detail` says more), else empty.
        shared_scores: How probably the silhouette of each animal holds another one, 0..1.
    """

    size: tuple[int, int] = (0, 0)
    animals: Sequence[Animal] = ()
    orientations: Sequence[str] = ()
    rows: Sequence[tuple] = ()
    alone: Sequence[Animal] = ()
    reason: str = ""
    detail: str = ""
    shared_scores: Sequence[float] = ()

    def to_json(self) -> bytes:
        """Return all of it as JSON."""
        animals, alone = (
            [(one.box, one.score, one.found_by, None, one.species, one.outline) for one in kind]
            for kind in (self.animals, self.alone)
        )
        told = self.reason, self.detail, self.shared_scores
        fields = [self.size, animals, self.orientations, self.rows, alone, *told]
        return json.dumps(fields).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Sighting:
        """Return what `to_json` wrote."""
        size, animals, orientations, rows, alone, *told = json.loads(data)
        kinds = ([Animal(tuple(box), *more) for box, *more in kind] for kind in (animals, alone))
        return cls(tuple(size), next(kinds), orientations, [tuple(row) for row in rows], next(kinds), *told)


def read_settings(detect: Mapping[str, Any], dataset: Mapping[str, Any], parts: Sequence[str]) -> Settings:
    """Combine the sections `detect` and `parts` with a data set's entry, and check them.

    Raises:
        PelageError: An unknown backend or part, or a data set of crops that does not say which part they show.
    """
    backend = read_backend(detect, dataset)
    for part in parts:
        choose(part, PARTS, "parts")
    if backend in ("columns", "whole"):
        choose(dataset.get("part"), PARTS, f"`part` of the data set (needed as its boxes are {backend!r})")
    return Settings(
        backend=backend,
        part=dataset.get("part"),
        parts=tuple(part for part in parts if part in dataset.get("parts", parts)),
        threshold=detect["threshold"],
        min_score=detect["megadetector"]["min_score"] if backend == "megadetector" else detect["min_score"],
        min_area=detect["min_area"],
        median_background_from=detect["median_background_from"],
        people=detect["people"],
        people_score=detect["people_score"],
    )


def detect(
    photos: pd.DataFrame,
    claims: Mapping[str, Sequence[Claim]],
    root: Path,
    settings: Settings,
    saliency: Callable[[np.ndarray], np.ndarray],
    network: Callable[[np.ndarray], list[Found]] | None = None,
    results: Mapping[str, Sequence[Told]] | None = None,
    bands: SharedBands | None = None,
) -> list[Sighting]:
    """Look at each photo of a table of clean photos.

    What a photo shows is remembered by its content, the settings, what is claimed of it and its camera's background,
    so that new photos and corrected names cost only themselves.

    Args:
        photos: Rows of `clean.csv`.
        claims: What the source says of the animals of each photo, by image_id.
        root: Folder that the table's paths start from.
        settings: See `Settings`.
        saliency: U^2-Net (`pelage.preprocess.saliency.Saliency`); its `sha256` is part of what is remembered.
        network: MegadetectorLite of the backend `embedded`, MegaDetector of `megadetector`; with its `sha256`, too.
        results: What a results file has of each photo, by image_id, instead of MegaDetector.
        bands: What cameras print on their photos; no animal to the embedded detector.

    Returns:
        One `Sighting` a row, in the order of the table.
    """
    detector = Detector(root, settings, saliency, claims, network, results, bands)
    sightings: list[Sighting] = [Sighting()] * len(photos)

    def look() -> Iterator[tuple[int, Sighting]]:
        for taken in _by_camera(photos, settings):  # one camera's backgrounds in memory at a time
            its = photos.iloc[taken]
            yield from ((taken[i], sighting) for i, sighting in detector.look_at(its, Camera(its, settings)))

    for position, sighting in track(look(), "detect", len(photos)):
        sightings[position] = sighting
    return sightings


def detect_ahead(
    ahead: Ahead,
    photos: pd.DataFrame,
    claims: Mapping[str, Sequence[Claim]],
    root: Path,
    settings: Settings,
    saliency: Callable[[np.ndarray], np.ndarray],
    network: Callable[[np.ndarray], list[Found]] | None = None,
    results: Mapping[str, Sequence[Told]] | None = None,
    bands: SharedBands | None = None,
) -> None:
    """Have workers look at photos, so that `detect` with the same arguments recalls what they show.

    First at those from which backgrounds are learnt: all blocks of a camera need them.

    Args:
        ahead: See `workers`.
    """
    tools = {"root": root, "settings": settings, "saliency": saliency, "network": network}
    by_camera = _by_camera(photos, settings)
    cameras = [Camera(photos.iloc[taken], settings) for taken in by_camera]
    learnt_from = [camera.taken for camera in cameras if camera.fingerprint]
    if learnt_from:
        ahead(partial(_glance_at, tools), pd.concat(learnt_from), "backgrounds")

    def pack(block: Sequence[tuple[int, int]]) -> list[tuple]:
        """Add to places in the table, each with the number of its camera, what is known of these photos."""
        packed = []
        for number, pairs in groupby(block, itemgetter(0)):
            its = photos.iloc[[place for _, place in pairs]]
            told = ({i: table[i] for i in its["image_id"] if i in table} for table in (claims, results or {}))
            packed.append((its, cameras[number], *told))
        return packed

    places = [(number, place) for number, taken in enumerate(by_camera) for place in taken.tolist()]
    ahead(partial(_look_at, tools, results is not None, bands), places, "detect", pack)


def _glance_at(tools: Mapping[str, Any], photos: pd.DataFrame) -> None:
    detector = Detector(**tools, claims={})
    for photo in photos.itertuples(index=False):
        detector.glance(photo)


def _look_at(tools: Mapping[str, Any], with_results: bool, bands: SharedBands | None, block: Sequence[tuple]) -> None:
    for photos, camera, claims, results in block:
        detector = Detector(**tools, claims=claims, results=results if with_results else None, bands=bands)
        deque(detector.look_at(photos, camera), maxlen=0)


def _by_camera(photos: pd.DataFrame, settings: Settings) -> list[np.ndarray]:
    """Return the positions of each camera's photos; all together where backgrounds are not asked for."""
    if settings.backend != "embedded" or not settings.median_background_from:
        return [np.arange(len(photos))]
    return list(photos.groupby(["place", "camera"], sort=True).indices.values())


class Camera:
    """What one camera sees when nothing is there: a background a light, learnt when photos of it are new.

    Two cameras of one name at two places are two. `taken` are the photos from which backgrounds are learnt.

    Args:
        photos: Its photos, rows of `clean.csv`.
        settings: A background takes `median_background_from` photos, and a camera that has a name.
    """

    def __init__(self, photos: pd.DataFrame, settings: Settings) -> None:
        self._least = settings.median_background_from
        self.backgrounds: dict[str, Background] = {}
        self.fingerprint = ""
        few = len(photos) < max(self._least, 1)
        if settings.backend == "embedded" and self._least and not few and (photos["camera"] != "").all():
            even = np.linspace(0, len(photos) - 1, BACKGROUND_PHOTOS).round().astype(int)
            self.taken = photos.iloc[np.unique(even)]
            self._bursts = pd.factorize(self.taken["encounter"])[0].tolist()
            self.fingerprint = sha256_bytes(json.dumps([self.taken["sha256"].tolist(), self._bursts]).encode())

    def learn(self, detector: Detector) -> None:
        """Work out the backgrounds of those lights that have photos enough."""
        if not self.fingerprint:
            return

        def look_at(photo: Any) -> tuple[str, np.ndarray, np.ndarray] | None:
            look = detector.glance(photo)
            return None if look is None else (light(look[0]), *look)

        looks = list(parallel_map(look_at, self.taken.itertuples(index=False)))
        pairs = zip(looks, self._bursts, strict=True)
        seen = [(look[0], (*look[1:], burst)) for look, burst in pairs if look is not None]
        for kind in LIGHTS:
            alike = [row for its, row in seen if its == kind]
            if len(alike) >= self._least:
                self.backgrounds[kind] = learn_background(*zip(*alike, strict=True))


class Tables(NamedTuple):
    """What `detect` writes: animals, their parts, names that were claimed and not given, photos not used and why."""

    animals: pd.DataFrame
    detections: pd.DataFrame
    refused: pd.DataFrame
    rejected: pd.DataFrame


def animal_tables(
    photos: pd.DataFrame,
    sightings: Sequence[Sighting],
    claims: Mapping[str, Sequence[Claim]],
    padding: float,
    shared_score: float,
    wanted: Sequence[str] = (),
) -> Tables:
    """Return the tables of all sightings.

    Animals are all that were found; detections their parts, numbered within the photo. The flank is the trunk alone:
    head, tail and lower legs move from photo to photo and bring background along. A crop is `shared` where boxes or the
    source say so, or where its animal's silhouette is probably two: nobody can tell then whose part it is. An animal
    that is surely of a species that is not wanted is in neither, and no name is given to it; its photo has a row among
    those rejected.

    Args:
        photos: N rows of `clean.csv`.
        sightings: What `detect` returned for them.
        claims: As in `detect`.
        padding: Room around a crop (`crop.padding`), for which crops show another animal too.
        shared_score: Score of a silhouette, taken together with those of its encounter, above which it is two if
            that is unusual in the survey.
        wanted: Species that are of interest (`species` of the data set); none: all are.
    """
    animals, parts, refused, rejected = [], [], [], []
    pairs = zip(photos["image_id"], sightings, strict=True)
    seen = [of_species(sighting, claims.get(image_id, ()), wanted) for image_id, sighting in pairs]
    pooled = _shared_scores(photos, [sighting for sighting, _ in seen])
    scores, least = iter(pooled), unusual_score(pooled, shared_score)
    for image_id, path, (sighting, others) in zip(photos["image_id"], photos["path"], seen, strict=True):
        said = claims.get(image_id, ())
        if others or sighting.reason:
            reason = "other_species" if others else sighting.reason
            rejected.append((image_id, path, reason, f"It shows {others}." if others else sighting.detail))
        boxes = [animal.box for animal in sighting.animals]
        if others and not boxes:
            continue  # what is claimed is of them
        namings, reasons = name_animals(said, boxes)
        refused += [(image_id, path, reason, detail) for reason, detail in reasons]
        if not boxes:
            continue
        part_boxes = [(row[7], row[1:5]) for row in sighting.rows]
        shared = shared_boxes(boxes, [*part_boxes, *enumerate(boxes)], padding, sighting.size)
        score = [next(scores) for _ in boxes]
        crowded = [naming.crowded or score[n] > least for n, naming in enumerate(namings)]
        for n, (animal, naming) in enumerate(zip(sighting.animals, namings, strict=True)):
            told = (naming.species or animal.species, sighting.orientations[n], naming.identity, naming.claimed)
            both = shared[len(part_boxes) + n] or crowded[n]
            animals.append(
                (image_id, n, *animal.box, animal.score, animal.found_by, *told, both, score[n], animal.outline)
            )
        for n, row in enumerate(sighting.rows):
            parts.append((f"{image_id}#{n}", image_id, *row, shared[n] or crowded[row[7]]))
    return Tables(
        pd.DataFrame(animals, columns=ANIMAL_COLUMNS),
        pd.DataFrame(parts, columns=COLUMNS),
        rejected_table(refused),
        rejected_table(rejected),
    )


def of_species(sighting: Sighting, claims: Sequence[Claim], wanted: Sequence[str]) -> tuple[Sighting, str]:
    """Leave out of a sighting what is surely of a species that is not wanted, and say in words what that is."""
    if not wanted or not sighting.animals:
        return sighting, ""
    namings, _ = name_animals(claims, [animal.box for animal in sighting.animals])
    told = [naming.species or animal.species for naming, animal in zip(namings, sighting.animals, strict=True)]
    other = other_species(told, wanted)
    if not any(other):
        return sighting, ""
    kept = [n for n, is_other in enumerate(other) if not is_other]
    number = {old: new for new, old in enumerate(kept)}
    left = replace(
        sighting,
        animals=[sighting.animals[n] for n in kept],
        orientations=[sighting.orientations[n] for n in kept],
        rows=[(*row[:7], number[row[7]]) for row in sighting.rows if row[7] in number],
        shared_scores=[sighting.shared_scores[n] for n in kept],
    )
    return left, " and ".join(sorted({word for word, is_other in zip(told, other, strict=True) if is_other}))


def _shared_scores(photos: pd.DataFrame, sightings: Sequence[Sighting]) -> list[float]:
    """Return the score of each animal of all sightings, in their order, with those of its encounter."""
    pairs = zip(photos["encounter"], sightings, strict=True)
    scores = [(score, encounter) for encounter, sighting in pairs for score in sighting.shared_scores]
    return pooled_scores([score for score, _ in scores], [encounter for _, encounter in scores]).tolist()


def read_photo(root: Path, photo: Any) -> np.ndarray:
    """Read the RGB image of a row of the photo table."""
    return to_rgb(read_image(inside(root, photo.path, f"clean.csv, image_id {photo.image_id}")))


class _SetAside(Exception):
    """A photo that is not looked at any further; `reason` and `detail` as in the rejected table."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Detector:
    """What turns a row of the photo table into a `Sighting`; one serves many threads.

    Args:
        root: Folder that the table's paths start from.
        settings: See `Settings`.
        saliency: U^2-Net, with its `sha256`.
        claims: What the source says of the animals of each photo, by image_id.
        network, results, bands: As in `detect`.
    """

    def __init__(
        self,
        root: Path,
        settings: Settings,
        saliency: Callable[[np.ndarray], np.ndarray],
        claims: Mapping[str, Sequence[Claim]],
        network: Callable[[np.ndarray], list[Found]] | None = None,
        results: Mapping[str, Sequence[Told]] | None = None,
        bands: SharedBands | None = None,
    ) -> None:
        self._root, self._settings, self._claims = root, settings, claims
        self._network, self._results, self._bands = network, results, bands
        self._maps = SaliencyMaps(saliency)
        self._glance_memo = Memo("glance", 1, {"opencv": cv2.__version__})
        self._find_face = FaceFinder()
        depends: dict[str, Any] = {"settings": asdict(settings), "saliency": saliency.sha256, "opencv": cv2.__version__}
        self._bodies = BodyJudge()
        depends["face"], depends["bodies"] = self._find_face.sha256, self._bodies.sha256
        if network is not None:
            depends["network"] = network.sha256
            self._network_memo = Memo("network", 1, network.sha256)
        if settings.backend == "embedded":
            self._score = read_scorer()
            depends["scorer"] = self._score.sha256
        self._memo = Memo("sighting", VERSION, depends)
        self._find = {
            "embedded": self._by_embedded,
            "megadetector": self._by_megadetector,
            "columns": self._by_columns,
            "whole": self._by_whole,
        }[settings.backend]

    def look_at(self, photos: pd.DataFrame, camera: Camera) -> Iterator[tuple[int, Sighting]]:
        """Yield place in the table and sighting of each of one camera's photos, those first that are remembered."""
        rows = list(photos.itertuples(index=False))
        known = [self.recall(photo, camera) for photo in rows]
        new = [i for i, sighting in enumerate(known) if sighting is None]
        if new:
            camera.learn(self)
        at_once = min(NETWORKS_AT_ONCE, cores()) if self._settings.backend == "megadetector" else None
        found = parallel_map(partial(self, camera=camera), (rows[i] for i in new), at_once)
        yield from ((i, sighting) for i, sighting in enumerate(known) if sighting is not None)
        yield from zip(new, found, strict=True)

    def recall(self, photo: Any, camera: Camera) -> Sighting | None:
        """Return what is remembered of a photo, a row of `clean.csv` as a named tuple, or None."""
        known = self._memo.get(self._key(photo, camera))
        return None if known is None else Sighting.from_json(known)

    def __call__(self, photo: Any, camera: Camera) -> Sighting:
        """Look at one photo, and remember what it shows."""
        try:
            sighting = self._look(read_photo(self._root, photo), photo, camera)
        except PelageError as error:
            return Sighting(reason="unreadable", detail=str(error))
        self._memo.put(self._key(photo, camera), data := sighting.to_json())
        return Sighting.from_json(data)

    def _key(self, photo: Any, camera: Camera) -> str:
        said = [(claim.box, claim.orientation) for claim in self._claims.get(photo.image_id, ())]
        told = None if self._results is None else self._results.get(photo.image_id)
        seen = None if told is None else [astuple(one) for one in told]
        return self._memo.key(photo.sha256, json.dumps([said, seen, self._printed(photo)]), camera.fingerprint)

    def _printed(self, photo: Any) -> list[Box]:
        return self._bands.of(photo) if self._bands is not None and self._settings.backend == "embedded" else []

    def glance(self, photo: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a photo's thumbnail and saliency map, or None if it cannot be read."""
        read = cache(lambda: read_photo(self._root, photo))
        key = self._glance_memo.key(photo.sha256)
        try:
            known = self._glance_memo.get(key)
            if known is None:
                self._glance_memo.put(key, known := encode_png(thumbnail(read())))
            saliency = self._maps(photo.sha256, (0, 0, int(photo.width), int(photo.height)), read)
        except PelageError:
            return None
        return decode_image(known), saliency

    def _look(self, image: np.ndarray, photo: Any, camera: Camera) -> Sighting:
        size, claims = (image.shape[1], image.shape[0]), self._claims.get(photo.image_id, ())
        try:
            animals, alone = self._find(image, photo, camera)
        except _SetAside as aside:
            return Sighting(size, reason=aside.reason, detail=aside.detail)
        animals = [part for animal in animals for part in self._divided(animal, size)]
        animals = [*animals, *self._missed(animals, claims, size)]
        if not animals:
            backend = self._settings.backend
            detail = "The table has no box of it." if backend == "columns" else f"{backend} found no animal."
            if any(claim.box for claim in claims):
                detail = f"The box of the table lies outside the photo of {size[0]} x {size[1]} pixels."
            return Sighting(size, alone=_without_masks(alone), reason="no animal", detail=detail)
        told = told_orientations(claims, [animal.box for animal in animals])
        parts = [self._parts(image, photo, *one) for one in zip(animals, told, strict=True)]
        rows = [
            (part, *box, score, orientation, number)
            for number, (orientation, shown, *_) in enumerate(parts)
            for part, box, score in shown
        ]
        orientations, _, shared_scores, outlines = (list(told) for told in zip(*parts, strict=True))
        animals = [replace(animal, outline=seen_in) for animal, seen_in in zip(animals, outlines, strict=True)]
        reason = "" if rows else "no part"
        detail = "" if rows else f"No animal of the photo shows its {' or '.join(self._settings.parts)}."
        seen = size, _without_masks(animals), orientations, rows, _without_masks(alone)
        return Sighting(*seen, reason, detail, shared_scores)

    def _missed(self, animals: Sequence[Animal], claims: Sequence[Claim], size: tuple[int, int]) -> list[Animal]:
        """Return the animals that have a box in the table and that the backend has not found."""
        owner = owners(claims, [animal.box for animal in animals])
        missed = [claim for claim, its in zip(claims, owner, strict=True) if its is None]
        boxes = [clip_box(*box, *size) for box in claimed_boxes(missed)]
        return [Animal(box, 1.0, "claim") for box in boxes if box is not None]

    def _divided(self, animal: Animal, size: tuple[int, int]) -> list[Animal]:
        """Return two animals where a silhouette is probably two and the cut between them is plain, else the one."""
        if animal.mask is None or not animal.mask.any() or self._bodies(animal.mask, animal.box, size) < CUT:
            return [animal]
        parts = []
        for mask in split_silhouette(animal.mask):
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x, y, w, h = int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1
            box = animal.box[0] + x, animal.box[1] + y, w, h
            parts.append(replace(animal, box=box, mask=cut(mask, (x, y, w, h))))
        return parts

    def _by_whole(self, image: np.ndarray, *_: Any) -> tuple[list[Animal], list[Animal]]:
        return [Animal(whole_box(image), 1.0, "whole")], []

    def _by_columns(self, *_: Any) -> tuple[list[Animal], list[Animal]]:
        return [], []  # those of the table are added to what any backend finds

    def _by_megadetector(self, image: np.ndarray, photo: Any, *_: Any) -> tuple[list[Animal], list[Animal]]:
        height, width = image.shape[:2]
        if self._results is None:
            seen = [Told(one.category, one.score, one.box) for one in self._network_sees(image, photo)]
        elif photo.image_id in self._results:
            seen = [one.of_photo(width, height) for one in self._results[photo.image_id]]
        else:
            raise _SetAside("no_result", "No results file has an entry of it that can be used.")
        people = [one.score for one in seen if one.category == "person" and one.score >= self._settings.people_score]
        if people and self._settings.people == "set_aside":
            raise _SetAside("people", f"It shows people (score {max(people):.2f}); it is shown nowhere.")
        animals = [
            Animal(box, round(one.score, 4), "megadetector", None, one.sure_species)
            for one in seen
            if one.category == "animal" and one.score >= self._settings.min_score
            for box in [clip_box(*one.box, width, height)]
            if box is not None
        ]
        return sorted(animals, key=lambda animal: (-animal.score, animal.box)), []

    def _by_embedded(self, image: np.ndarray, photo: Any, camera: Camera) -> tuple[list[Animal], list[Animal]]:
        seen = shrunk(image)
        found = self._network_sees(seen, photo)
        saliency = self._maps(photo.sha256, whole_box(image), lambda: image)
        (width, height), printed = (image.shape[1], image.shape[0]), self._printed(photo)

        def judge(evidence: np.ndarray) -> list[Animal]:
            proposals = propose(found, (seen.shape[1], seen.shape[0]), evidence, width, height, printed)
            animals = choose_animals(
                proposals, self._score(proposals.features), self._settings.min_score, width, height
            )
            large = [one for one in animals if one.box[2] * one.box[3] >= self._settings.min_area * width * height]
            return [replace(one, outline="photo") if _shown(one, saliency, (width, height)) else one for one in large]

        alone, thumb = judge(saliency), thumbnail(image)
        background = camera.backgrounds.get(light(thumb))
        return (alone if background is None else judge(combine(saliency, departure(thumb, background)))), alone

    def _network_sees(self, image: np.ndarray, photo: Any) -> list[Found]:
        key = self._network_memo.key(photo.sha256)
        known = self._network_memo.get(key)
        if known is None:
            found = [(one.category, one.score, one.box) for one in self._network(image)]
            self._network_memo.put(key, known := json.dumps(found).encode())
        return [Found(category, score, tuple(box)) for category, score, box in json.loads(known)]

    def _silhouette(self, image: np.ndarray, photo: Any, animal: Animal) -> np.ndarray | None:
        """Return the silhouette `(h, w)` in an animal's box, or None where nothing stands out."""
        mask = animal.mask
        if mask is None:
            box = pad_box(animal.box, MARGIN, image.shape[1], image.shape[0])
            saliency = resize_map(self._maps(photo.sha256, box, lambda: image), box[2], box[3])
            x, y, w, h = animal.box
            mask = cut(saliency, (x - box[0], y - box[1], w, h)) >= self._settings.threshold
        return mask if mask.any() else None

    def _parts(
        self, image: np.ndarray, photo: Any, animal: Animal, told: str
    ) -> tuple[str, list[tuple[str, Box, float]], float, str]:
        """Return an animal's orientation (`told`, or as it looks), the wanted parts, how probably it is two, and
        what its silhouette was seen in (see `Animal.outline`)."""
        wanted = self._settings.parts
        if self._settings.backend in ("whole", "columns"):  # somebody has looked: one animal a box
            part, mask = self._settings.part, None
            if told == UNKNOWN and part == "flank":
                mask = self._silhouette(image, photo, animal)
                told = UNKNOWN if mask is None else judge_side(measure_silhouette(mask), looked=True)
            shown = [(part, animal.box, animal.score)] if part in wanted else []
            return told, shown, 0.0, "" if mask is None else "box"
        mask = self._silhouette(image, photo, animal)
        outline = "" if mask is None else animal.outline or "box"
        face = self._face(image, animal, mask) if "face" in wanted else None
        sideways, flank, shared_score = told in ("left", "right"), animal.box, 0.0
        if mask is not None:
            shape = measure_silhouette(mask)
            shared_score = self._bodies(mask, animal.box, (image.shape[1], image.shape[0]))
            x, y, w, h = shape.trunk
            flank = animal.box[0] + x, animal.box[1] + y, w, h
        if told == UNKNOWN:
            sideways = mask is None or shows_flank(shape)
            if mask is not None and sideways:
                told = judge_side(shape)
            elif face is not None:
                told = "front"
        parts = [("flank", flank, animal.score)] if sideways and "flank" in wanted else []
        return told, parts + ([("face", face.box, face.score)] if face else []), shared_score, outline

    def _face(self, image: np.ndarray, animal: Animal, mask: np.ndarray | None) -> Face | None:
        x, y, w, h = pad_box(animal.box, MARGIN, image.shape[1], image.shape[0])
        around = None
        if mask is not None:
            left, top = animal.box[0] - x, animal.box[1] - y
            right, bottom = w - left - mask.shape[1], h - top - mask.shape[0]
            around = np.pad(mask, ((top, bottom), (left, right)))
        face = self._find_face(np.ascontiguousarray(cut(image, (x, y, w, h))), around)
        return face and Face((x + face.box[0], y + face.box[1], face.box[2], face.box[3]), face.score)


def _without_masks(animals: Sequence[Animal]) -> list[Animal]:
    return [replace(animal, mask=None) for animal in animals]


def _shown(animal: Animal, saliency: np.ndarray, size: tuple[int, int]) -> bool:
    """Tell whether an animal with a mask is salient itself, and not only moved before its camera's background."""
    if animal.mask is None or not animal.mask.any():
        return False
    x, y, w, h = animal.box
    seen = cut_map(saliency, (0, 0, *size), Window(x, y, x + w, y + h), (h, w))
    return bool((seen[animal.mask] >= LEVELS[0]).mean() >= SHOWN)


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
