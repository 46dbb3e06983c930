"""Background model: what a fixed camera sees when nothing is there, and how far a photo departs from it.

The median over a camera's photos (per light: colour or infrared), the oldest trick of video surveillance; photos are
compared by the logarithm of brightness, in which another exposure or flash is a constant that the median takes away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 320
COLOUR = 6.0  # mean spread of a pixel's channels from which on a photo counts as colour, in grey values


def thumbnail(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Squeeze an RGB image to `(side, side, 3)` uint8."""
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def light(thumb: np.ndarray) -> str:
    """Return `grey` for an infrared (colourless) thumbnail, else `colour`."""
    spread = thumb.max(2).astype(np.float32) - thumb.min(2)
    return "colour" if float(spread.mean()) >= COLOUR else "grey"


def log_brightness(thumb: np.ndarray) -> np.ndarray:
    """Return the logarithm of a thumbnail's smoothed channels less their median, `(S, S, 3)` float32."""
    logarithm = np.log(cv2.GaussianBlur(thumb, (0, 0), 1.5).astype(np.float32) + 8.0)
    return logarithm - np.median(logarithm, axis=(0, 1))


@dataclass(frozen=True)
class Background:
    """Median and spread of `log_brightness` over photos of one camera in one light, each `(S, S, 3)` float32."""

    median: np.ndarray
    spread: np.ndarray


def learn_background(thumbs: Sequence[np.ndarray]) -> Background:
    """Learn the background from thumbnails `(S, S, 3)` of one camera in one light."""
    stack = np.stack([log_brightness(thumb) for thumb in thumbs])
    median = np.median(stack, axis=0)
    spread = 1.4826 * np.median(np.abs(stack - median, out=stack), axis=0)
    return Background(median, spread)


def departure(thumb: np.ndarray, background: Background) -> np.ndarray:
    """Return by how many standard deviations each pixel departs from the background, `(S, S)` float32."""
    difference = log_brightness(thumb) - background.median
    difference -= np.median(difference, axis=(0, 1))
    return np.sqrt(np.mean(np.square(difference / (background.spread + 0.08)), axis=2))
