"""Images: the one reader and the one lossless writer. Arrays are RGB (or RGBA), `(H, W, C)`, uint8."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")

import cv2
import numpy as np

from pelage.common.errors import PelageError
from pelage.common.files import write_bytes
from pelage.common.image_header import read_header

_TO_RGB = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}
PNG_OPTIONS = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG]
"""One filter for all rows takes two thirds of the time of choosing one by row, and files stay as small."""


def decode_image(data: bytes, name: str = "image") -> np.ndarray:
    """Decode JPEG, PNG, TIFF, BMP or WebP bytes once, by content whatever the file is called, and turn them upright.

    Of several pictures in a file the first is read. Pixels of 16 bits give their upper byte, so that photos of one
    camera stay comparable; floats are shares of white (0..1), or grey values (0..255), which are rounded.

    Returns:
        `(H, W)` uint8 for a grey image, `(H, W, 3)` RGB or `(H, W, 4)` RGBA, upright as EXIF (or TIFF) tells, so that
        `(W, H)` is what `image_size` tells.

    Raises:
        PelageError: `data` is no image, or one whose pixels have no known scale (`name` is used in the message).
    """
    header = read_header(data, name)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise PelageError(f"{name} is not a readable image: the {header.kind.upper()} cannot be decoded.") from error
    if image is None:
        raise PelageError(f"{name} is not a readable image: the {header.kind.upper()} cannot be decoded.")
    image = _as_bytes(image, name)
    if image.ndim == 3:
        if image.shape[2] not in _TO_RGB:
            raise PelageError(f"{name} is not a readable image: it has {image.shape[2]} channels, not 1, 3 or 4.")
        image = cv2.cvtColor(image, _TO_RGB[image.shape[2]])
    if header.kind != "tiff":  # which OpenCV has turned, as libtiff asks for it
        image = turn_upright(image, header.orientation)
    if image.shape[1::-1] != header.upright:
        raise PelageError(
            f"{name} is not a readable image: its header tells {' x '.join(map(str, header.upright))} pixels, and "
            f"{image.shape[1]} x {image.shape[0]} were decoded."
        )
    return image


def turn_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return an image as EXIF's orientation (1..8) says that it is to be looked at."""
    if orientation >= 5:
        image = cv2.transpose(image)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else cv2.flip(image, flip)


def _as_bytes(image: np.ndarray, name: str) -> np.ndarray:
    """Return pixels as uint8, by a scale that does not depend on what is on the picture."""
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    if image.dtype not in (np.float32, np.float64):
        raise PelageError(
            f"{name}: its pixels are numbers of type {image.dtype}, of which nobody knows what is white. Save it with "
            "8 or 16 bits a channel."
        )
    low, high = float(image.min()), float(image.max())  # NaN if any pixel is
    if not (low >= 0.0 and high <= 255.0):
        raise PelageError(
            f"{name}: its pixels are floats from {low:g} to {high:g}; they may be shares of white (0 to 1) or grey "
            "values (0 to 255). Save it with 8 or 16 bits a channel."
        )
    return np.rint(image * 255.0 if high <= 1.0 else image).astype(np.uint8)


def read_image(path: Path) -> np.ndarray:
    """Read an image as its channels are: `(H, W)`, `(H, W, 3)` RGB or `(H, W, 4)` RGBA, uint8."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PelageError(f"{path} cannot be read: {error.strerror}.") from error
    return decode_image(data, str(path))


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Return an RGB image `(H, W, 3)` of a grey, RGB or RGBA one (a fourth channel is dropped)."""
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(image[:, :, :3])


def encode_png(image: np.ndarray) -> bytes:
    """Encode a grey, RGB or RGBA image losslessly, with the same bytes every time."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return cv2.imencode(".png", image, PNG_OPTIONS)[1].tobytes()


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a PNG atomically."""
    write_bytes(path, encode_png(image))
