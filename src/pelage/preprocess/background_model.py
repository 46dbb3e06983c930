"""Background model: what a fixed camera sees when nothing is there, and how far a photo departs from it.

The median over a camera's photos (per light: day, flash or infrared), the oldest trick of video surveillance, with two
twists for camera traps: a burst counts as one photo, and a pixel that saliency gives to an animal hardly counts.
Photos are compared by the logarithm of brightness, in which another exposure is a constant that a median takes away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pelage.common.parallel import parallel_map

SIDE = 160
LIGHTS = ("day", "flash", "infrared")
COLOUR = 6.0  # mean spread of a pixel's channels from which on a photo counts as colour, in grey values
DARK = 60.0  # median grey value of a photo's upper half below which the light is a flash
HARDLY = 0.02  # weight of a pixel that surely shows an animal
AT_ONCE = 8192  # places whose median is taken at once: few enough for a processor's own memory
NOISE = 0.1  # departure in log brightness that is never news


@dataclass(frozen=True)
class Background:
    """Median and spread of `log_brightness` of one camera in one light `(S, S, 3)`, and where they can be trusted.

    `seen` `(S, S)` is the number of bursts that showed the background at a pixel.
    """

    median: np.ndarray
    spread: np.ndarray
    seen: np.ndarray


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Squeeze an RGB image to `(S, S, 3)` uint8."""
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def light(thumb: np.ndarray) -> str:
    """Return `infrared` for a colourless thumbnail, `flash` for one whose upper half is dark, else `day`."""
    spread = thumb.max(2).astype(np.float32) - thumb.min(2)
    if float(spread.mean()) < COLOUR:
        return "infrared"
    return "flash" if float(np.median(thumb[: SIDE // 2].mean(2))) < DARK else "day"


def log_brightness(thumb: np.ndarray) -> np.ndarray:
    """Return the logarithm of a thumbnail's channels less their median, `(S, S, 3)` float32."""
    logarithm = np.log(cv2.GaussianBlur(thumb, (0, 0), 1.0).astype(np.float32) + 8.0)
    return logarithm - np.median(logarithm, axis=(0, 1))


def learn_background(
    thumbs: Sequence[np.ndarray], saliencies: Sequence[np.ndarray], bursts: Sequence[str]
) -> Background:
    """Learn the background from photos of one camera in one light.

    Args:
        thumbs: Thumbnails `(S, S, 3)` uint8.
        saliencies: Their saliency maps in 0..1, of any size.
        bursts: Name of the burst that each belongs to.
    """
    stack = np.stack([log_brightness(thumb) for thumb in thumbs])
    weights = np.stack([_shows_background(saliency) for saliency in saliencies])
    sizes = Counter(bursts)
    weights /= np.array([sizes[burst] for burst in bursts], np.float32)[:, None, None]
    median = weighted_median(stack, weights[..., None])
    spread = 1.4826 * weighted_median(np.abs(stack - median), weights[..., None])
    return Background(median, spread, weights.sum(0))


def _shows_background(saliency: np.ndarray) -> np.ndarray:
    small = cv2.resize(saliency, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.where(cv2.dilate(small, np.ones((9, 9), np.uint8)) > 0.2, np.float32(HARDLY), np.float32(1.0))


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted median over the first axis of `(N, ...)`: the first value that half of the weight reaches."""
    places = values.reshape(len(values), -1)
    weights = np.broadcast_to(weights, values.shape).reshape(places.shape)
    blocks = [slice(first, first + AT_ONCE) for first in range(0, places.shape[1], AT_ONCE)]
    medians = parallel_map(lambda block: _medians(places[:, block], weights[:, block]), blocks)
    return np.concatenate(list(medians)).reshape(values.shape[1:])


def _medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted median of each column of `(N, P)`, whose numbers are laid side by side first."""
    values, weights = np.ascontiguousarray(values.T), np.ascontiguousarray(weights.T)
    order = np.argsort(values, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    total = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    middle = np.argmax(total >= 0.5 * total[:, -1:] * (1 - 1e-6), axis=1)
    return values[np.arange(len(values)), middle]


def departure(thumb: np.ndarray, background: Background) -> np.ndarray:
    """Return how far each pixel departs from the background `(S, S)` float32: 1 is what the spread explains.

    Where fewer than two bursts showed the background, nothing is known and the departure is 0.
    """
    difference = log_brightness(thumb) - background.median
    difference -= np.median(difference, axis=(0, 1))
    far = np.sqrt(np.mean(np.square(difference / (background.spread + NOISE)), axis=2))
    far /= max(1.0, 1.5 * float(np.median(far)))
    return np.where(background.seen >= 2, far, 0.0).astype(np.float32)
