"""Augmentation: one warp and one colour matrix a crop, on uint8 at the network's size.

Geometry moves the edge channel along with the colours; colour leaves it alone. A flank is never mirrored, because a
mirrored left flank looks like another animal's right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from pelage.common.params import choose
from pelage.common.seeds import generator

FLIPS = ("auto", "always", "never")
GREY = np.array([0.299, 0.587, 0.114])
"""Luminance of RGB (Rec. 601)."""


def augment(image: np.ndarray, part: str, config: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Return a changed copy of a crop.

    Args:
        image: `(H, W, 3)` RGB or `(H, W, 4)` RGB and edges, uint8.
        part: `flank` or `face`.
        config: Section `augment` of the parameters.
        rng: Source of everything random.
    """
    mirrored = flips(part, config["flip"]) and rng.random() < 0.5
    height, width = image.shape[:2]
    warp = geometry(width, height, config["rotation"], config["crop"], mirrored, rng)
    image = cv2.warpAffine(image, warp, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    image = recolour(image, colour_matrix(image, config["colour"], config["grey"], rng))
    if rng.random() < config["erase"]:
        erase(image, rng)
    return image


def augment_batch(
    images: np.ndarray, part: str, config: Mapping[str, Any], seed: int, epoch: int, first: int
) -> np.ndarray:
    """Augment a batch `(B, H, W, C)` whose first crop is the `first`-th of its epoch.

    The result depends on the arguments alone, whichever worker computes it and in whatever order.
    """
    return np.stack(
        [
            augment(image, part, config, generator(seed, "augment", epoch, first + place))
            for place, image in enumerate(images)
        ]
    )


def flips(part: str, flip: str) -> bool:
    """Tell whether crops of a part may be mirrored: faces only, unless `flip` says `always` or `never`."""
    return choose(flip, FLIPS, "augment.flip") == "always" or (flip == "auto" and part == "face")


def geometry(
    width: int, height: int, rotation: float, crop: float, mirrored: bool, rng: np.random.Generator
) -> np.ndarray:
    """Return the `(2, 3)` warp of a random rotation and crop, stretched back to the whole size.

    Args:
        width: Pixels.
        height: Pixels.
        rotation: Largest angle in degrees, either way.
        crop: Largest share of each side that is cut off.
        mirrored: Mirror left and right.
        rng: Source of angle, size and place.
    """
    kept = 1 - crop * rng.random(2)
    corner = (1 - kept) * rng.random(2) * (width, height)
    scale = 1 / kept
    zoom = np.array([[scale[0], 0, -scale[0] * corner[0]], [0, scale[1], -scale[1] * corner[1]], [0, 0, 1]])
    turn = np.eye(3)
    turn[:2] = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rotation * rng.uniform(-1, 1), 1)
    mirror = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1.0]]) if mirrored else np.eye(3)
    return (mirror @ zoom @ turn)[:2]


def colour_matrix(image: np.ndarray, strength: float, grey: float, rng: np.random.Generator) -> np.ndarray:
    """Return the `(3, 4)` matrix of a random brightness, contrast and saturation for `recolour`.

    Args:
        image: `(H, W, >= 3)`; contrast is about its mean luminance.
        strength: Largest relative change of each of the three.
        grey: Probability that no colour stays, as in an infrared photo.
        rng: Source of the three factors.
    """
    brightness, contrast, saturation = 1 + strength * rng.uniform(-1, 1, 3)
    if rng.random() < grey:
        saturation = 0.0
    luminance = float(np.array(cv2.mean(image)[:3]) @ GREY)
    colours = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * np.outer(np.ones(3), GREY))
    return np.column_stack([colours, np.full(3, brightness * (1 - contrast) * luminance)])


def recolour(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a `(3, 4)` matrix to the colours of each pixel, cut to 0..255; a fourth channel stays as it is."""
    channels = image.shape[2]
    whole = np.eye(channels, channels + 1)
    whole[:3, :3], whole[:3, -1] = matrix[:, :3], matrix[:, 3]
    return cv2.transform(image, whole)


def erase(image: np.ndarray, rng: np.random.Generator) -> None:
    """Hide a random rectangle of 2 to 20 % of the area, in place: mean colour, no edges (Zhong et al., AAAI 2020)."""
    height, width = image.shape[:2]
    share, aspect = rng.uniform(0.02, 0.2), np.exp(rng.uniform(-1, 1))
    tall = min(height, max(1, round(height * np.sqrt(share * aspect))))
    wide = min(width, max(1, round(width * np.sqrt(share / aspect))))
    top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    fill = np.zeros(image.shape[2])
    fill[:3] = np.round(cv2.mean(image)[:3])
    image[top : top + tall, left : left + wide] = fill
