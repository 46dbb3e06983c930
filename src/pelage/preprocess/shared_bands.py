"""Shared bands: what all photos of a camera show at the same place is printed by the camera, and no animal.

Strips with logo, date and moon at the top or the bottom, and logos that stand in the picture. Photos of different
encounters are compared pixel by pixel: what is printed has the same grey value by day and by night, the scene has not.
A fixed scene that hardly changes tells nothing, nor do few encounters: then nothing is cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from pelage.common.images import decode_image, encode_png, read_image, to_rgb
from pelage.common.memo import Memo
from pelage.common.parallel import parallel_map
from pelage.common.tables import read_table
from pelage.preprocess.boxes import Box, cut, overlap
from pelage.preprocess.crop import Window, shrink

VERSION = 1
SIDE = 512
"""Pixels of the longer side at which photos are compared."""

LEAST, MOST = 6, 24
"""Encounters without which nothing is told, and encounters that are looked at, one photo each."""

SAME = 10
"""Grey values by which a printed pixel may differ from its median, after compression."""

OFTEN = 0.9
"""Share of photos in which a printed pixel is the same."""

ROW = 0.6
"""Share of the pixels of a row of a strip that are the same: the others belong to digits."""

STRIP, OBJECT = 0.25, 0.05
"""Largest share of the photo's height that a strip has, and of its area that an object has."""

LEAST_SIDE = 32
"""Pixels of the shorter side below which nothing that is printed could be read."""

STRAIGHT = 0.8
"""Share of the columns in which a strip ends at one row."""

PRINT = 40
"""Least difference of neighbouring pixels that are printed and paper."""

LIVELY = 0.1
"""Largest share of the scene that may be the same if an object is to stand out from it."""

SHOWN = 0.75
"""Share of the pixels of a band of all cameras that look the same at one of them, if it has the band, too."""

KINDS = ("strip", "object")
GROUP = ["width", "height", "station", "camera"]
BAND_COLUMNS = [*GROUP, "kind", "x", "y", "w", "h", "photos"]
BAND_NUMBERS = dict.fromkeys(["width", "height", "x", "y", "w", "h", "photos"], int)


@dataclass(frozen=True)
class Sight:
    """What photos of one size have in common, at most `SIDE` pixels a side.

    Attributes:
        median: Median grey value of each pixel `(H, W)` uint8.
        same: Share of the photos that are within `SAME` of it, in 255ths `(H, W)` uint8.
        photos: How many there are.
    """

    median: np.ndarray
    same: np.ndarray
    photos: int


def find_shared_bands(photos: pd.DataFrame, folder: Path, memo_root: Path | None = None) -> pd.DataFrame:
    """Find what the photos of each camera share, and what all photos of one size do.

    What all photos of a size share counts for each camera that shows it too, so that cameras with few photos have their
    bands, and photos of which no camera is told. A camera with enough encounters may have bands of its own.

    Args:
        photos: Rows of `data/clean.csv` (path, sha256, width, height, station, camera, encounter, phash).
        folder: Folder of the photos.
        memo_root: Folder of memos, see `Memo`.

    Returns:
        One row a band and camera, `BAND_COLUMNS`: size of its photos, `strip` or `object`, its box in pixels, and how
        many photos told. Sorted.
    """
    shown = photos.loc[photos["phash"] != ""].sort_values("sha256").drop_duplicates([*GROUP, "encounter"])
    shown = shown.assign(turn=shown.groupby(GROUP, sort=False).cumcount()).sort_values(["turn", "sha256"])
    memo = Memo("shared_bands", VERSION, [SIDE, MOST, SAME], memo_root)

    def looks(groups: Mapping[tuple, pd.DataFrame]) -> Iterator[Sight]:
        return parallel_map(lambda rows: _look(rows, folder, memo), groups.values())

    sizes = {size: rows.head(MOST) for size, rows in shown.groupby(GROUP[:2], sort=True) if len(rows) >= LEAST}
    of_size = {
        size: [(*band, sight) for band in find_bands(sight)] for size, sight in zip(sizes, looks(sizes), strict=True)
    }
    cameras = {group: rows.head(MOST) for group, rows in shown.groupby(GROUP, sort=True) if group[:2] in of_size}
    asked = {
        group: rows for group, rows in cameras.items() if any(group[2:]) and (len(rows) >= LEAST or of_size[group[:2]])
    }
    looked, found = looks(asked), []
    for group in cameras:
        bands = of_size[group[:2]]
        if group in asked:
            own = next(looked)
            bands = [band for band in bands if _shows(own, *band[1:])]
            others = [(*band, own) for band in find_bands(own)]
            bands = bands + [band for band in others if not any(_meet(band[1], box) for _, box, _ in bands)]
        for kind, box, sight in bands:
            found.append((*group, kind, *_in_photo(box, sight.median.shape, *group[:2]), sight.photos))
    return pd.DataFrame(found, columns=BAND_COLUMNS).sort_values(BAND_COLUMNS, ignore_index=True)


def find_bands(sight: Sight) -> list[tuple[str, Box]]:
    """Return the strips and objects of a sight, with their boxes in its pixels; none of fewer than `LEAST` photos."""
    if sight.photos < LEAST or min(sight.median.shape) < LEAST_SIDE:
        return []
    median, same = sight.median.astype(np.int16), sight.same >= OFTEN * 255
    height, width = same.shape
    top, bottom = _strip(median, same), _strip(median[::-1], same[::-1])
    strips = [("strip", (0, 0, width, top))] * (top > 0)
    strips += [("strip", (0, height - bottom, width, bottom))] * (bottom > 0)
    rows = slice(top, height - bottom)
    return strips + [("object", (x, y + top, w, h)) for x, y, w, h in _objects(median[rows], same[rows])]


def _strip(median: np.ndarray, same: np.ndarray) -> int:
    """Return how many rows from the top on are a strip: the same in most columns, with print, and a straight end.

    The end is where, in nearly all columns, pixels are no longer the same, or the median jumps.
    """
    height = len(same)
    run = int(np.argmin(np.append(same.mean(1) >= ROW, False)))
    best, straightest = 0, STRAIGHT
    for end in range(5, min(run + 2, int(STRIP * height), height - 3)):
        jumps = np.abs(median[end + 1] - median[end - 2]) >= 2 * SAME
        changes = same[end - 3 : end - 1].all(0) & ~same[end + 1 : end + 3].all(0)
        straight = float((jumps | changes).mean())
        if straight >= straightest:
            best, straightest = end, straight
    inner = _printed(median[: max(best - 3, 0)])  # not the end itself, as a sky may end at a level horizon
    return best if inner.sum() >= 0.005 * inner.size > 0 else 0


def _printed(median: np.ndarray) -> np.ndarray:
    """Return which pixels `(H, W)` differ from the next one, to the right or below, as print does from paper."""
    across = np.abs(np.diff(median, axis=1, append=median[:, -1:])) >= PRINT
    return across | (np.abs(np.diff(median, axis=0, append=median[-1:])) >= PRINT)


def _objects(median: np.ndarray, same: np.ndarray) -> list[Box]:
    """Return boxes of connected pixels that are the same in a scene that is not, and that are printed sharply."""
    if not same.size or same.mean() > LIVELY:
        return []
    reach = max(3, round(0.015 * same.shape[1]))
    closed = cv2.morphologyEx(same.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    edges, boxes = _printed(median) & same, []
    for label in range(1, count):
        x, y, w, h, area = map(int, stats[label])
        part = slice(y, y + h), slice(x, x + w)
        own = labels[part] == label
        if min(w, h) >= 4 and w * h <= OBJECT * same.size and own.mean() >= 0.3 and same[part][own].mean() >= 0.5:
            boxes += [(x, y, w, h)] * bool(edges[part][own].sum() >= max(12, 0.04 * area))
    return boxes


def _look(rows: pd.DataFrame, folder: Path, memo: Memo) -> Sight:
    """Compare photos of one size; the memo keeps median and share, one above the other."""
    key = memo.key(*sorted(rows["sha256"]))
    known = memo.get(key)
    if known is None:
        greys = np.stack([_grey(folder / path) for path in rows["path"]])
        median = np.median(greys, axis=0).astype(np.uint8)
        same = sum(cv2.absdiff(grey, median) <= SAME for grey in greys) / len(greys)
        known = encode_png(np.concatenate([median, np.round(same * 255).astype(np.uint8)]))
        memo.put(key, known)
    median, same = np.split(decode_image(known), 2)
    return Sight(median, same, len(rows))


def _grey(path: Path) -> np.ndarray:
    return shrink(cv2.cvtColor(to_rgb(read_image(path)), cv2.COLOR_RGB2GRAY), SIDE)


def _shows(own: Sight, box: Box, every: Sight) -> bool:
    """Tell whether a camera shows a band of all photos of its size."""
    return float((cv2.absdiff(cut(own.median, box), cut(every.median, box)) <= 2 * SAME).mean()) >= SHOWN


def _meet(box: Box, other: Box) -> bool:
    return bool(overlap(np.array([box]), np.array([other]))[0, 0])


def _in_photo(box: Box, shape: tuple[int, int], width: int, height: int) -> Box:
    """Return a box of a sight in the photo's pixels, grown by a pixel of the sight if that is smaller."""
    (x, y, w, h), across, down = box, width / shape[1], height / shape[0]
    grow = int(width > shape[1])
    left, top = max(0, math.floor((x - grow) * across)), max(0, math.floor((y - grow) * down))
    right, bottom = min(width, math.ceil((x + w + grow) * across)), min(height, math.ceil((y + h + grow) * down))
    return left, top, right - left, bottom - top


class SharedBands:
    """The table of shared bands, to be asked for a photo.

    Args:
        table: `data/shared_bands.csv`.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._boxes: dict[tuple, list[Box]] = {}
        for *group, _, x, y, w, h, _ in table[BAND_COLUMNS].itertuples(index=False, name=None):
            self._boxes.setdefault(tuple(group), []).append((x, y, w, h))

    def of(self, photo: Any) -> list[Box]:
        """Return the boxes, in pixels, that are no animal on a photo (a row of `data/clean.csv`)."""
        return self._boxes.get((int(photo.width), int(photo.height), photo.station, photo.camera), [])


def read_bands(path: Path) -> SharedBands:
    """Read `data/shared_bands.csv`."""
    return SharedBands(read_table(path, BAND_NUMBERS, BAND_COLUMNS))


def pixels_within(boxes: Sequence[Box], window: Window, shape: tuple[int, int]) -> np.ndarray:
    """Return which pixels of a crop lie in boxes, `(H, W)` bool; a pixel that is partly in one does.

    Args:
        boxes: In pixels of the photo.
        window: The crop's place in the photo.
        shape: Height and width of the crop, which may have been scaled down.
    """
    inside = np.zeros(shape, bool)
    across, down = shape[1] / (window.right - window.left), shape[0] / (window.bottom - window.top)
    for x, y, w, h in boxes:
        left, top = max(0, math.floor((x - window.left) * across)), max(0, math.floor((y - window.top) * down))
        right, bottom = math.ceil((x + w - window.left) * across), math.ceil((y + h - window.top) * down)
        inside[top : max(bottom, 0), left : max(right, 0)] = True
    return inside


def without_bands(image: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, Window] | None:
    """Return the largest part of an RGB image whose border rows and columns are no bands, and its place.

    What else lies in bands is filled from around, so that nothing printed is left to be seen.

    Args:
        image: `(H, W, 3)`.
        inside: `(H, W)` bool, what lies in bands.

    Returns:
        None if all of it does.
    """
    rows, columns = np.flatnonzero(~inside.all(1)), np.flatnonzero(~inside.all(0))
    if not len(rows):
        return None
    window = Window(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    left = window.of(inside).astype(np.uint8)
    part = np.ascontiguousarray(window.of(image))
    return (cv2.inpaint(part, left, 3, cv2.INPAINT_TELEA) if left.any() else part), window
