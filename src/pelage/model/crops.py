"""Crops: read once, brought to the network's size, and kept as one uint8 array in memory or in a file.

A crop is stretched to width x height, as in the leopard paper (512 x 256), so that the whole flank is always seen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from pelage.common.errors import PelageError
from pelage.common.files import cache_root, sha256_bytes
from pelage.common.images import decode_image, to_rgb
from pelage.common.parallel import parallel_map
from pelage.common.params import choose
from pelage.common.progress import track
from pelage.common.tables import crop_file

VIEWS = {"crop": 3, "nobg": 3, "crop_edge": 4, "nobg_edge": 4}
"""Channels of each view: RGB, or RGB and edges."""

MEMORY_LIMIT = 4 * 2**30
"""Bytes of crops that are kept in memory; more are kept in a file that disappears with the process."""


def present(crop_ids: Sequence[str], folder: Path) -> list[str]:
    """Return the ids whose crop is in `folder`; a crop that an earlier stage rejected is not.

    Raises:
        PelageError: There is no such folder.
    """
    if not folder.is_dir():
        raise PelageError(f"The folder {folder} is missing: run the stages that make this view.")
    files = {path.name for path in folder.iterdir()}
    return [crop_id for crop_id in crop_ids if crop_file(crop_id) in files]


def read_crops(
    crop_ids: Sequence[str], folder: Path, channels: int, width: int, height: int
) -> tuple[np.ndarray, list[str]]:
    """Read crops of one view, all cores at once, stretched to `width` x `height` pixels.

    Returns:
        `(N, H, W, C)` uint8, and the SHA-256 of each file.

    Raises:
        PelageError: A file is no image, or has no edge channel and `channels` is 4.
    """

    def read(crop_id: str) -> tuple[np.ndarray, str]:
        path = folder / crop_file(crop_id)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PelageError(f"{path} cannot be read: {error.strerror}.") from error
        return fit(decode_image(data, str(path)), channels, width, height, str(path)), sha256_bytes(data)

    return _collect(read, crop_ids, (len(crop_ids), height, width, channels), folder)


def read_masks(crop_ids: Sequence[str], folder: Path, width: int, height: int) -> tuple[np.ndarray, list[str]]:
    """Read the masks of crops; where there is none, the whole crop counts as the animal.

    Returns:
        `(N, H, W)` uint8, 255 on the animal, and the SHA-256 of each file (empty where there is none).
    """

    def read(crop_id: str) -> tuple[np.ndarray, str]:
        path = folder / crop_file(crop_id)
        if not path.exists():
            return np.full((height, width), 255, np.uint8), ""
        data = path.read_bytes()
        return cv2.resize(decode_image(data, str(path)), (width, height), interpolation=cv2.INTER_AREA), sha256_bytes(
            data
        )

    return _collect(read, crop_ids, (len(crop_ids), height, width), folder)


def _collect(
    read: Callable[[str], tuple[np.ndarray, str]], crop_ids: Sequence[str], shape: tuple[int, ...], folder: Path
) -> tuple[np.ndarray, list[str]]:
    images = _room_for(shape)
    digests = []
    results = parallel_map(read, crop_ids)
    for place, (image, digest) in enumerate(track(results, f"read {folder}", len(crop_ids))):
        images[place] = image
        digests.append(digest)
    return images, digests


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
