"""Sheet of detections: a page of photos with their boxes, those first on which the detector is wrong or in doubt.

Which photos are shown is decided from boxes and scores alone, so that of a large survey only those few are opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pelage.catalogue.look_alikes import WIDTH, hash_values
from pelage.common.errors import PelageError
from pelage.common.files import inside
from pelage.common.images import read_image, to_rgb
from pelage.common.parallel import parallel_map
from pelage.common.tables import UNKNOWN
from pelage.preprocess.boxes import HIT, clip_box, cut, pad_box, pair_boxes
from pelage.report.camera_counts import CAMERA, camera_page, with_people
from pelage.report.sheets import BOX
from pelage.report.template import data_uri, fill
from pelage.report.thumbnails import small_picture

ANIMAL = "animal"
MOST_PHOTOS, MOST_SURE, MOST_BOXES = 60, 6, 24
"""Photos of a page, those among them about which there is no doubt, and boxes drawn on a photo."""

SIDE, CLOSE_SIDE = 480, 180
"""Longer side of a photo on the page, and of the closer look at an animal that is small on it, pixels."""

MOST_BYTES, MOST_CLOSE_BYTES = 28_000, 6_000
"""Bytes of their JPEGs; 60 of both are 2.7 MB in a page."""

SMALL = 0.25
"""Share of the photo's side below which an animal is small."""

FEW = 5
"""Photos of a camera below which nobody can say what it usually shows."""

SECTIONS = {
    "missed": ("Missed animals", "True animals that no box fits; the largest first."),
    "false": ("False alarms", "Boxes that fit no true animal, beside animals; the surest first."),
    "blank": ("Animals in blank photos", "Boxes on photos that are known to show none; the surest first."),
    "unlike": (
        "No animal found, unlike the camera's other photos",
        "The most unlike first, by the hash of the picture.",
    ),
    "least": ("Least sure", "The lowest score first."),
    "shared": ("Probably several animals in one box", "The surest first."),
    "surest": ("Surest", "The highest score first."),
}
"""Headings of the page in their order, and what stands below each."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Found:
    """A box that was found: `x, y, w, h` in pixels of the upright photo, and how sure it is (0..1).

    Attributes:
        part: `animal`, or the part of one: `flank`, `face`. Only animals are judged.
        orientation: The side that it shows, or empty.
        shared: Whether it probably holds another animal too.
        missed: Whether only the source has this box: an animal that the detector has not found.
    """

    box: Box
    score: float
    part: str = ANIMAL
    orientation: str = ""
    shared: bool = False
    missed: bool = False


@dataclass(frozen=True)
class Photo:
    """A photo that may be shown.

    Attributes:
        title: Its name.
        load: Reads it: `(H, W)`, `(H, W, 3)` or `(H, W, 4)` uint8, upright; raises `PelageError` if that is impossible.
        found: What was found on it.
        true: Boxes of the animals that are there; empty if it is known to show none, None if nobody knows.
        note: A second line, such as where and when it was taken.
        reason: Why it was rejected, if it was.
        group: Photos of one group (a camera, a burst) resemble each other; each group has its turn before any has two.
        unlike: How much it differs from its camera's other photos, 0 to 1; 0 where that is not known.
    """

    title: str
    load: Callable[[], np.ndarray]
    found: Sequence[Found] = ()
    true: Sequence[Box] | None = None
    note: str = ""
    reason: str = ""
    group: str = ""
    unlike: float = 0.0

    @property
    def animals(self) -> list[Found]:
        """Animals that the detector has found."""
        return [one for one in self.found if one.part == ANIMAL and not one.missed]


def judged(photo: Photo) -> tuple[list[Box], list[Found]]:
    """Return the true animals of a photo that no found one meets by an IoU of `HIT`, and the found ones that meet none.

    Where the truth is not known, no box is wrong, and only those are missed that the source has.
    """
    if photo.true is None:
        return [one.box for one in photo.found if one.missed], []
    pairs = pair_boxes([one.box for one in photo.animals], photo.true)
    hit = [(i, j) for i, j, overlap in pairs if overlap >= HIT]
    right, met = {i for i, _ in hit}, {j for _, j in hit}
    missed = [box for j, box in enumerate(photo.true) if j not in met]
    return missed, [one for i, one in enumerate(photo.animals) if i not in right]


def standings(photo: Photo) -> dict[str, float]:
    """Return the sections that a photo may stand in, and its rank there: the highest comes first."""
    missed, wrong = judged(photo)
    if missed:
        return {"missed": max(w * h for _, _, w, h in missed)}
    if wrong:
        return {"false" if photo.true else "blank": max(one.score for one in wrong)}
    scores = [one.score for one in photo.animals]
    if not scores:
        return {"unlike": photo.unlike} if photo.true is None and photo.unlike > 0 else {}
    shared = [one.score for one in photo.found if one.shared]
    return {"least": -min(scores), **({"shared": max(shared)} if shared else {}), "surest": max(scores)}


def choose_photos(photos: Sequence[Photo], most: int = MOST_PHOTOS) -> dict[str, tuple[list[int], int]]:
    """Choose the photos of a sheet.

    Sections take turns, in the order of `SECTIONS`, so that each has its share and the others get what one leaves;
    within a section groups take turns.

    Args:
        photos: N photos.
        most: Photos that are chosen at most.

    Returns:
        For each section with photos: positions of those shown, by rank, and how many there are. None is shown twice.
    """
    ranked: dict[str, list[tuple[float, int]]] = {name: [] for name in SECTIONS}
    for position, photo in enumerate(photos):
        for name, rank in standings(photo).items():
            ranked[name].append((-rank, position))
    for places in ranked.values():
        places.sort()
    waiting = {name: iter(_groups_in_turn(photos, places)) for name, places in ranked.items()}
    shown: dict[str, list[tuple[float, int]]] = {name: [] for name in SECTIONS}
    taken: set[int] = set()
    while waiting and len(taken) < most:
        for name in list(waiting):
            place = next((place for place in waiting[name] if place[1] not in taken), None)
            if place is None or (name == "surest" and len(shown[name]) == MOST_SURE):
                del waiting[name]
            elif len(taken) < most:
                shown[name].append(place)
                taken.add(place[1])
    return {
        name: ([position for _, position in sorted(places)], len(ranked[name]))
        for name, places in shown.items()
        if places
    }


def _groups_in_turn(photos: Sequence[Photo], places: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return the first place of each group, then the second of each, and so on."""
    seen: dict[str, int] = {}
    turns = []
    for place in places:
        group = photos[place[1]].group
        turns.append(seen.get(group, 0))
        seen[group] = turns[-1] + 1
    return [places[i] for i in np.argsort(turns, kind="stable")]


def draw_sheet(
    name: str, photos: Sequence[Photo], lead: str = "", cameras: pd.DataFrame | None = None, most: int = MOST_PHOTOS
) -> str:
    """Return a page (HTML) that shows `most` of the photos with their boxes; only those are loaded.

    Args:
        name: Of the data set.
        photos: Those that may be shown.
        lead: Words below the heading.
        cameras: What `camera_counts` returns, for a table below the photos.
        most: Photos shown at most.
    """
    chosen = choose_photos(photos, most)
    order = [(section, position) for section, (positions, _) in chosen.items() for position in positions]
    drawn = parallel_map(lambda place: _tile(photos[place[1]], place[0]), order)
    tiles: dict[str, list[dict[str, Any]]] = {section: [] for section in chosen}
    for (section, _), tile in zip(order, drawn, strict=True):
        tiles[section].append(tile)
    return fill(
        "detection_sheet.html",
        dataset=name,
        lead=lead,
        most=most,
        sections=[
            {"id": section, "heading": SECTIONS[section][0], "told": SECTIONS[section][1], "tiles": shown}
            | {"count": f"{len(shown)} of {chosen[section][1]:,} photos"}
            for section, shown in tiles.items()
        ],
        truth=any(photo.true is not None for photo in photos) or any(one.missed for p in photos for one in p.found),
        parts=sorted({one.part for photo in photos for one in photo.found} - {ANIMAL}),
        shared=any(one.shared for photo in photos for one in photo.found),
        cameras=None if cameras is None else camera_page(cameras),
    )


def _tile(photo: Photo, section: str) -> dict[str, Any]:
    """Return what the page tells of a photo: its picture, boxes in percent of it, and words."""
    missed, wrong = judged(photo)
    told = {"title": photo.title, "note": photo.note, "reason": photo.reason, "error": "", "close": None}
    told |= {"summary": _summary(photo, missed, wrong), "boxes": []}
    try:
        image = to_rgb(photo.load())
    except PelageError as error:
        return told | {"error": str(error)}
    height, width = image.shape[:2]
    told |= {"picture": data_uri(small_picture(image, SIDE, MOST_BYTES), "jpeg"), "shape": f"{width / height:.4f}"}
    told["boxes"] = list(_boxes(photo, missed, wrong, width, height))[:MOST_BOXES]
    subject = _subject(photo, section, missed, wrong)
    box = clip_box(*subject, width, height) if subject else None
    if box and max(box[2] / width, box[3] / height) < SMALL:
        close = cut(image, pad_box(box, 0.5, width, height))
        told["close"] = data_uri(small_picture(close, CLOSE_SIDE, MOST_CLOSE_BYTES), "jpeg")
    return told


def _subject(photo: Photo, section: str, missed: Sequence[Box], wrong: Sequence[Found]) -> Box | None:
    """Return the box for which a photo stands in its section."""
    if missed:
        return max(missed, key=lambda box: box[2] * box[3])
    shared = [one for one in photo.found if one.shared] if section == "shared" else []
    boxes = sorted(wrong or shared or photo.animals, key=lambda one: one.score)
    return boxes[0 if section == "least" else -1].box if boxes else None


def _boxes(
    photo: Photo, missed: Sequence[Box], wrong: Sequence[Found], width: int, height: int
) -> Iterator[dict[str, str | bool]]:
    """Yield the boxes of a photo as the page draws them: what matters most first."""
    for box in missed:
        yield _placed(box, "missed", "✗ missed", width, height)
    for box in photo.true or ():
        if box not in missed:
            yield _placed(box, "true", "", width, height)
    for one in sorted((one for one in photo.found if not one.missed), key=lambda one: (one.part != ANIMAL, -one.score)):
        is_wrong = any(one is other for other in wrong)
        kind = " ".join(["found" if one.part == ANIMAL else "part"] + ["shared"] * one.shared + ["wrong"] * is_wrong)
        label = ("✗ " if is_wrong else "") + ("" if one.part == "flank" else _described(one))
        yield _placed(one.box, kind, label, width, height)


def _placed(box: Box, kind: str, label: str, width: int, height: int) -> dict[str, str | bool]:
    (x, y, w, h) = (share * 100 for share in (box[0] / width, box[1] / height, box[2] / width, box[3] / height))
    style = ";".join(f"{side}:{value:.2f}%" for side, value in (("left", x), ("top", y), ("width", w), ("height", h)))
    inside = kind.startswith("found") and y < 8  # others have their label within or below
    return {"kind": kind, "label": label, "style": style, "inside": inside, "right": x > 60}


def _described(one: Found) -> str:
    """Return a box in words, such as `0.97 left, shared` or `face 0.83`."""
    name = "" if one.part == ANIMAL else f"{one.part} "
    return f"{name}{one.score:.2f} {one.orientation}".strip() + (", shared" if one.shared else "")


def _summary(photo: Photo, missed: Sequence[Box], wrong: Sequence[Found]) -> str:
    """Return in words what was found on a photo and, where the truth is known, what is wrong with that."""
    found = sorted(photo.animals, key=lambda one: -one.score)
    words = [_described(one) for one in found[:8]] + ([f"{len(found) - 8} more"] if len(found) > 8 else [])
    parts = [one for one in photo.found if one.part != ANIMAL]
    for part in sorted({one.part for one in parts}):
        count = sum(one.part == part for one in parts)
        words.append(part if count == 1 else f"{count} {part}s")
    told = "found: " + " · ".join(words) if found else "nothing found"
    if missed:
        told += f"; {len(missed)} missed"
    if wrong:
        told += f"; {len(wrong)} fits no animal" if len(wrong) == 1 else f"; {len(wrong)} fit no animal"
    drawn = len(photo.found) + len(photo.true or ())
    return told + (f"; {MOST_BOXES} of {drawn} boxes are drawn" if drawn > MOST_BOXES else "")


def unlike_camera(clean: pd.DataFrame) -> np.ndarray:
    """Return which share of a photo's perceptual hash differs from that of most of its camera's photos, `(N,)` in 0..1.

    It is 0 for photos without a hash, and for cameras with fewer than `FEW` of them.

    Args:
        clean: N rows of `data/clean.csv`.
    """
    differs = np.zeros(len(clean))
    hashed = np.flatnonzero(clean["phash"] != "")
    values = hash_values(clean["phash"].iloc[hashed])
    bits = np.unpackbits(values.astype(">u8").view(np.uint8).reshape(-1, WIDTH // 8), axis=1).astype(bool)
    for mine in clean.iloc[hashed].groupby(CAMERA).indices.values():
        if len(mine) >= FEW:
            usual = bits[mine].mean(axis=0) >= 0.5
            differs[hashed[mine]] = (bits[mine] != usual).mean(axis=1)
    return differs


def survey_photos(
    folder: Path,
    clean: pd.DataFrame,
    animals: pd.DataFrame,
    detections: pd.DataFrame,
    rejected: pd.DataFrame,
    truth: pd.DataFrame,
) -> list[Photo]:
    """Return the photos of a survey that may be shown: all but those with people.

    Args:
        folder: Folder that `clean["path"]` is relative to.
        clean: Rows of `data/clean.csv`.
        animals, detections: Rows of `data/animals.csv` and `data/detections.csv`, with numbers.
        rejected: Rows of `data/rejected/detect.csv`.
        truth: Rows of `data/truth/truth.csv`, with numbers; empty if nothing is known.
    """
    by_table = animals["found_by"] == "claim"
    missed = by_table & ~by_table.all()  # where all boxes are the table's own, no detector was asked
    found: dict[str, list[Found]] = {}
    for one, only_claimed in zip(animals.itertuples(index=False), missed, strict=True):
        side = "" if one.orientation == UNKNOWN else one.orientation
        box = (one.x, one.y, one.w, one.h)
        found.setdefault(one.image_id, []).append(Found(box, one.score, ANIMAL, side, one.shared, only_claimed))
    for one in detections.itertuples(index=False):
        box = (one.x, one.y, one.w, one.h)
        found.setdefault(one.image_id, []).append(Found(box, one.score, one.part))
    there = _boxes_by_photo(truth)
    reasons = dict(zip(rejected["image_id"], zip(rejected["reason"], rejected["detail"], strict=True), strict=True))
    hidden = with_people(rejected)
    photos = []
    for one, unlike in zip(clean.itertuples(index=False), unlike_camera(clean), strict=True):
        if one.image_id in hidden:
            continue
        reason, detail = reasons.get(one.image_id, ("", ""))
        photos.append(
            Photo(
                title=one.image_id,
                load=partial(_read, folder, one.path, one.image_id),
                found=found.get(one.image_id, ()),
                true=there.get(one.image_id, ()) if len(truth) else None,
                note=" · ".join(filter(None, (one.path, one.date[:16].replace("T", " ")))),
                reason=f"{reason}: {detail}" if reason else "",
                group=f"{one.place}/{one.camera}",
                unlike=unlike if reason == "no animal" else 0.0,
            )
        )
    return photos


def _boxes_by_photo(truth: pd.DataFrame) -> Mapping[str, list[Box]]:
    boxes: dict[str, list[Box]] = {}
    for image_id, *box in truth[["image_id", *BOX]].itertuples(index=False):
        boxes.setdefault(image_id, []).append(tuple(box))
    return boxes


def _read(folder: Path, path: str, image_id: str) -> np.ndarray:
    return read_image(inside(folder, path, f"clean.csv, image_id {image_id}"))
