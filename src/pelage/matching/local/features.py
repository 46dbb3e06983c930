"""Keypoints of a crop by OpenCV, limited to the animal by its mask: RootSIFT, ORB or BRISK.

SIFT after Lowe (IJCV 2004), its square-root form after Arandjelović and Zisserman (CVPR 2012), ORB after Rublee et al.
and BRISK after Leutenegger et al. (both ICCV 2011); upright as in HotSpotter (Crall et al., WACV 2013): animals stand
on their feet, so gravity gives the direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.matching.features import read_features

DESCRIPTOR_DIM = 128
DESCRIPTOR_NORM = 512.0
"""Length of a descriptor: that of HotSpotter's and OpenCV's 8-bit SIFT."""

VERSION = 1
"""Raised whenever `extract` computes something else."""

DETECTORS = {
    "sift": lambda keypoints, contrast: cv2.SIFT_create(contrastThreshold=contrast),
    "orb": lambda keypoints, contrast: cv2.ORB_create(keypoints, fastThreshold=round(255 * contrast)),
    "brisk": lambda keypoints, contrast: cv2.BRISK_create(thresh=round(255 * contrast)),
}
"""OpenCV's detectors by name. A contrast is a share of the range of grey values, as in Lowe's threshold."""


@dataclass(frozen=True, eq=False)  # a crop equals itself alone: galleries are told apart by their crops
class LocalFeatures:
    """Keypoints of one crop, strongest first.

    Attributes:
        xy: `(N, 2)` float32, positions in pixels of the resized crop.
        scale: `(N,)` float32, diameters of the keypoints in the same pixels.
        angle: `(N,)` float32, directions in radians; 0 for upright ones.
        weight: `(N,)` float32 in [0, 1], share of the keypoint's neighbourhood that lies on the animal.
        descriptors: `(N, 128)` uint8 RootSIFT, or the bits of ORB `(N, 32)` or BRISK `(N, 64)`.
        size: Width and height of the resized crop in pixels.
    """

    xy: np.ndarray
    scale: np.ndarray
    angle: np.ndarray
    weight: np.ndarray
    descriptors: np.ndarray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def diagonal(self) -> float:
        """Length of the resized crop's diagonal in pixels."""
        return float(np.hypot(*self.size))


def root_sift(descriptors: np.ndarray) -> np.ndarray:
    """Return `512 * sqrt(d / |d|_1)` rounded to 8 bits.

    Rows have length 512 up to rounding, so squared distances are integers of at most about 2^19. In float32 every sum
    that leads to one is then exact (integers below 2^24 are), and the nearest neighbours are the same whatever the
    blocking, number of threads or instruction set of the matrix product.

    Args:
        descriptors: `(N, 128)` SIFT, not negative.

    Returns:
        `(N, 128)` uint8; a row of zeros stays one.
    """
    descriptors = descriptors.astype(np.float64)
    total = np.maximum(descriptors.sum(axis=1, keepdims=True), 1.0)
    return np.minimum(np.rint(DESCRIPTOR_NORM * np.sqrt(descriptors / total)), 255).astype(np.uint8)


def scaled_grey(image: np.ndarray, mask: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a crop in grey and its animal, both with a longer side of `side` pixels.

    Args:
        image: `(H, W, 3)` RGB uint8.
        mask: `(H, W)` uint8, not zero on the animal.
        side: Pixels.

    Returns:
        `(h, w)` uint8 each; the second is 1 on the animal.
    """
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=way)
    return grey, cv2.resize((mask > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)


def extract(
    image: np.ndarray,
    mask: np.ndarray,
    side: int,
    keypoints: int,
    contrast: float,
    upright: bool,
    detector: str = "sift",
) -> LocalFeatures:
    """Find keypoints on the animal and describe them.

    Args:
        image: `(H, W, 3)` RGB uint8.
        mask: `(H, W)` uint8, not zero on the animal.
        side: Pixels that the longer side is scaled to.
        keypoints: Most keypoints that are kept, by strength.
        contrast: Least strength of a keypoint (Lowe's contrast threshold).
        upright: Take all keypoints as upright, instead of turning each to its strongest gradient. BRISK turns them
            in any case.
        detector: A key of `DETECTORS`.

    Returns:
        The features; none for a blank image or an empty mask.
    """
    grey, animal = scaled_grey(image, mask, side)
    finder = DETECTORS[detector](keypoints, contrast)
    found = finder.detect(grey, animal)
    if upright:  # OpenCV repeats a point for each of its directions
        found = list({(point.pt, point.size): point for point in found}.values())
        for point in found:
            point.angle = 0.0
    found = sorted(found, key=lambda point: (-point.response, point.pt, point.size, point.angle))
    descriptors = np.zeros((0, finder.descriptorSize()), np.uint8)
    if found:  # all are described, because the blur of OpenCV's descriptors depends on the finest keypoint given
        found, described = finder.compute(grey, found)
        found, descriptors = found[:keypoints], descriptors if described is None else described[:keypoints]
    xy = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    scale = np.array([point.size for point in found], np.float32)
    angle = np.radians(np.array([point.angle for point in found], np.float32))
    descriptors = root_sift(descriptors) if detector == "sift" else descriptors
    return LocalFeatures(xy, scale, angle, _cover(animal, xy, scale), descriptors, animal.shape[::-1])


def read_local_features(
    crops: Packs, masks: Packs, files: Sequence[str], detector: str = "sift", **settings: float
) -> list[LocalFeatures]:
    """Extract the features of crops in files, or recall them from the memo.

    Args:
        crops: Crops of one part.
        masks: Their masks, of the same names.
        files: Names that are in both.
        detector: A key of `DETECTORS`.
        **settings: As in `extract`.
    """
    memo = Memo(detector, VERSION, {**settings, "opencv": cv2.__version__})
    return read_features(LocalFeatures, partial(extract, detector=detector, **settings), memo, crops, masks, files)


def _cover(animal: np.ndarray, xy: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the mean of `animal` over a square of three diameters a side around each keypoint, `(N,)`."""
    integral = cv2.integral(animal)
    top = np.array(animal.shape[::-1])
    low = np.clip(np.floor(xy - 1.5 * scale[:, None]).astype(int), 0, top - 1)
    high = np.clip(np.ceil(xy + 1.5 * scale[:, None]).astype(int), low + 1, top)
    inside = (
        integral[high[:, 1], high[:, 0]]
        - integral[low[:, 1], high[:, 0]]
        - integral[high[:, 1], low[:, 0]]
        + integral[low[:, 1], low[:, 0]]
    )
    return (inside / (high - low).prod(axis=1)).astype(np.float32)
