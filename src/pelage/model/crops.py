"""Crops: read once, brought to the network's size, and kept as one uint8 array in memory or in a file.

A crop is stretched to width x height, as in the leopard paper (512 x 256), so that the whole flank is always seen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from pelage.common.errors import PelageError
from pelage.common.files import cache_root
from pelage.common.images import to_rgb
from pelage.common.packs import Packs
from pelage.common.parallel import parallel_map
from pelage.common.params import choose
from pelage.common.progress import track
from pelage.common.tables import crop_file

VIEWS = {"crop": 3, "nobg": 3, "crop_edge": 4, "nobg_edge": 4}
"""Channels of each view: RGB, or RGB and edges."""

MEMORY_LIMIT = 4 * 2**30
"""Bytes of crops that are kept in memory; more are kept in a file that disappears with the process."""


def present(crop_ids: Sequence[str], crops: Packs) -> list[str]:
    """Return the ids of which there is a crop; of one that an earlier stage rejected there is none."""
    return [crop_id for crop_id in crop_ids if crop_file(crop_id) in crops]


def read_crops(
    crop_ids: Sequence[str], crops: Packs, channels: int, width: int, height: int
) -> tuple[np.ndarray, list[str]]:
    """Read crops of one view, all cores at once, stretched to `width` x `height` pixels.

    Returns:
        `(N, H, W, C)` uint8, and the SHA-256 of each.

    Raises:
        PelageError: A crop is missing, no image, or has no edge channel and `channels` is 4.
    """
    names = [crop_file(crop_id) for crop_id in crop_ids]

    def read(name: str) -> np.ndarray:
        return fit(crops.image(name), channels, width, height, f"{crops}/{name}")

    return _collect(read, names, (len(names), height, width, channels), crops), [crops.sha256(name) for name in names]


def read_masks(crop_ids: Sequence[str], masks: Packs, width: int, height: int) -> tuple[np.ndarray, list[str]]:
    """Read the masks of crops; where there is none, the whole crop counts as the animal.

    Returns:
        `(N, H, W)` uint8, 255 on the animal, and the SHA-256 of each (empty where there is none).
    """
    names = [crop_file(crop_id) for crop_id in crop_ids]

    def read(name: str) -> np.ndarray:
        if name not in masks:
            return np.full((height, width), 255, np.uint8)
        return cv2.resize(masks.image(name), (width, height), interpolation=cv2.INTER_AREA)

    digests = [masks.sha256(name) if name in masks else "" for name in names]
    return _collect(read, names, (len(names), height, width), masks), digests


def _collect(
    read: Callable[[str], np.ndarray], names: Sequence[str], shape: tuple[int, ...], folder: Packs
) -> np.ndarray:
    images = _room_for(shape)
    for place, image in enumerate(track(parallel_map(read, names), f"read {folder}", len(names))):
        images[place] = image
    return images


def fit(image: np.ndarray, channels: int, width: int, height: int, name: str = "image") -> np.ndarray:
    """Return `image` with `channels` channels, stretched to `(height, width, channels)`; areas are averaged."""
    if channels == 3:
        image = to_rgb(image)
    elif image.ndim != 3 or image.shape[2] != channels:
        raise PelageError(f"{name} has no edge channel: run the stage edges again.")
    shrinks = image.shape[0] >= height or image.shape[1] >= width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def view_channels(view: str, key: str) -> int:
    """Return the channels of a view, or say which views there are."""
    return VIEWS[choose(view, VIEWS, key)]


def _room_for(shape: tuple[int, ...]) -> np.ndarray:
    if np.prod(shape, dtype=np.int64) <= MEMORY_LIMIT:
        return np.empty(shape, np.uint8)
    cache_root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=cache_root()) as file:  # the map keeps the nameless file alive
        return np.memmap(file, np.uint8, "w+", shape=shape)
