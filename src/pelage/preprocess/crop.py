"""Crop: each detected animal part is cut out of its photo, with some room around it, and large ones are scaled down.

Boxes are clipped to the photo; one that is empty or lies outside becomes a row of the rejected table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.files import inside
from pelage.common.images import encode_png, read_image, to_rgb
from pelage.common.packs import Packer
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.common.tables import crop_file


@dataclass(frozen=True)
class Window:
    """Whole pixels of a photo: columns `left..right - 1` and rows `top..bottom - 1`."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """Return this part of `image` `(H, W, ...)`, without copying."""
        return image[self.top : self.bottom, self.left : self.right]


def crop_window(box: tuple[float, float, float, float], padding: float, width: int, height: int) -> Window | None:
    """Return the window of a padded box, clipped to the photo.

    Args:
        box: `x, y, w, h` in pixels.
        padding: Room on each side, as a share of the box's longer side.
        width: Width of the photo in pixels.
        height: Height of the photo in pixels.

    Returns:
        The window, at least one pixel wide and high; None if the box itself is empty or outside the photo.
    """
    x, y, w, h = box
    if not all(map(math.isfinite, box)) or w <= 0 or h <= 0 or x >= width or y >= height or x + w <= 0 or y + h <= 0:
        return None
    room = padding * max(w, h)
    return Window(
        max(math.floor(x - room), 0),
        max(math.floor(y - room), 0),
        min(math.ceil(x + w + room), width),
        min(math.ceil(y + h + room), height),
    )


def shrink(image: np.ndarray, max_side: int) -> np.ndarray:
    """Scale an image down by area averaging until no side is longer than `max_side`; smaller ones stay as they are."""
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def crop_photos(
    detections: pd.DataFrame, paths: dict[str, str], root: Path, crops: Packer, padding: float, max_side: int
) -> list[tuple[str, str, str, str]]:
    """Write each detection's crop, as an RGB PNG named by `crop_file`.

    A photo is decoded once; once a crop if its id is so long that `crop_file` shortens it, which parts its crops.

    Args:
        detections: Rows of `data/detections.csv` (crop_id, image_id, x, y, w, h).
        paths: Path of each photo, relative to `root`, by image_id.
        root: Folder of the photos.
        crops: Takes the crops.
        padding: See `crop_window`.
        max_side: Longest side of a crop, pixels.

    Returns:
        Rejected rows `(image_id, path, reason, detail)` in the order of `detections`.

    Raises:
        PelageError: A detection's photo is not in `paths`, or its path leaves `root`.
    """
    unknown = detections.loc[~detections.image_id.isin(paths.keys()), "crop_id"]
    if len(unknown):
        raise PelageError(
            f"data/detections.csv: the photo of {unknown.iloc[0]!r} is not in data/clean.csv. "
            "Run the stage detect again."
        )

    columns = [detections[name] for name in ("crop_id", "image_id", "x", "y", "w", "h")]
    named = sorted((crop_file(row[0]), place, *row) for place, row in enumerate(zip(*columns, strict=True)))
    photos = [list(rows) for _, rows in groupby(named, lambda row: row[3])]

    def crop_photo(rows: list[tuple]) -> list[tuple[str, int, bytes | tuple[str, str, str, str]]]:
        """Return file name and place in `detections` of each row, and the PNG or the rejected row."""
        image_id = rows[0][3]
        path = paths[image_id]
        file = inside(root, path, f"data/clean.csv, image_id {image_id}")
        try:
            photo = to_rgb(read_image(file))
        except PelageError as error:
            return [(name, place, (image_id, path, "unreadable", f"{crop}: {error}")) for name, place, crop, *_ in rows]
        height, width = photo.shape[:2]
        done = []
        for name, place, crop_id, _, *box in rows:
            window = crop_window(box, padding, width, height)
            if window is None:
                told = " ".join(f"{value:g}" for value in box)
                detail = f"{crop_id}: the box {told} is empty or outside the photo of {width} x {height} pixels."
                done.append((name, place, (image_id, path, "box", detail)))
            else:
                done.append((name, place, encode_png(shrink(window.of(photo), max_side))))
        return done

    rejected = {}
    for done in track(parallel_map(crop_photo, photos), "crop", len(photos)):
        for name, place, result in done:
            if isinstance(result, bytes):
                crops.put(name, result)
            else:
                rejected[place] = result
    return [rejected[place] for place in sorted(rejected)]
