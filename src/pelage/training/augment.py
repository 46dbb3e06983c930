"""Augmentation: one warp and one colour matrix a crop, on uint8 at the network's size.

Geometry moves the edge channel along with the colours; colour leaves it alone. A mirrored flank never keeps its label:
it looks like the other flank of another animal, and as such it may teach (`flip: others`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from pelage.common.params import choose

FLIPS = ("auto", "others", "always", "never")
GREY = np.array([0.299, 0.587, 0.114])
"""Luminance of RGB (Rec. 601)."""


def augment(image: np.ndarray, config: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Return a changed copy of a crop.

    Args:
        image: `(H, W, 3)` RGB or `(H, W, 4)` RGB and edges, uint8.
        config: Section `augment` of the parameters: `rotation`, `perspective`, `crop`, `colour`, `grey`, `blur`,
            `erase`.
        rng: Source of everything random.
    """
    height, width = image.shape[:2]
    warp = geometry(width, height, config["rotation"], config["perspective"], config["crop"], rng)
    image = cv2.warpPerspective(image, warp, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    image = recolour(image, colour_matrix(image, config["colour"], config["grey"], rng))
    if rng.random() < config["blur"]:
        image[:, :, :3] = cv2.GaussianBlur(image[:, :, :3], (0, 0), rng.uniform(0.005, 0.02) * height)
    if rng.random() < config["erase"]:
        erase(image, rng)
    return image


def swap_background(image: np.ndarray, mask: np.ndarray, other: np.ndarray, other_mask: np.ndarray) -> np.ndarray:
    """Return the animal of one crop in front of what surrounds the animal of another.

    An animal is photographed by few cameras, so a network may learn the cameras' surroundings and not the coat.

    Args:
        image: `(H, W, C)` uint8; of the channels after RGB nothing is swapped.
        mask: `(H, W)` uint8, 255 on the animal.
        other: `(H, W, C)` uint8; its animal is painted over with the mean colour around it.
        other_mask: `(H, W)` uint8.
    """
    around = cv2.subtract(255, other_mask)
    colour = np.array(cv2.mean(other, (around > 127).astype(np.uint8))[:3], np.float32)
    scene = other[:, :, :3].copy()
    np.copyto(scene, np.round(colour).astype(np.uint8), where=(around == 0)[:, :, None])
    result = image.copy()
    result[:, :, :3] = cv2.copyTo(np.ascontiguousarray(image[:, :, :3]), (mask == 255).astype(np.uint8), scene)
    mixed = (mask < 255) & ((mask > 0) | ((around > 0) & (around < 255)))  # all other pixels show one thing
    row, column = np.nonzero(mixed)
    behind = _blend(other[row, column, :3], colour, around[row, column])
    result[row, column, :3] = np.round(_blend(image[row, column, :3], behind, mask[row, column]))
    return result


def _blend(front: np.ndarray, back: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    share = (opacity.astype(np.float32) / 255)[:, None]
    return share * front.astype(np.float32) + (1 - share) * back


def flips_at_random(part: str, flip: str) -> bool:
    """Tell whether a crop and its mirror image count as the same: faces do, unless `flip` is `always` or `never`."""
    return choose(flip, FLIPS, "augment.flip") == "always" or (flip in ("auto", "others") and part == "face")


def mirrors_are_others(part: str, flip: str) -> bool:
    """Tell whether mirror images are learnt as animals of their own: a mirrored flank is one that no animal has."""
    return choose(flip, FLIPS, "augment.flip") == "others" and part != "face"


def geometry(
    width: int, height: int, rotation: float, perspective: float, crop: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the `(3, 3)` homography of a random view of a crop.

    Args:
        width: Pixels.
        height: Pixels.
        rotation: Largest angle in degrees, either way.
        perspective: Largest move of each corner, as a share of the sides.
        crop: Largest share of each side that is cut off before the rest is stretched to the whole.
        rng: Source of angle, corners, size and place.
    """
    size = np.array([width, height])
    kept = 1 - crop * rng.random(2)
    start = (1 - kept) * rng.random(2)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    seen = start + kept * (corners + perspective * rng.uniform(-1, 1, (4, 2)))
    warp = cv2.getPerspectiveTransform((seen * size).astype(np.float32), (corners * size).astype(np.float32))
    turn = np.eye(3)
    turn[:2] = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rotation * rng.uniform(-1, 1), 1)
    return warp @ turn


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
