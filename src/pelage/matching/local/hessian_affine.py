"""Keypoints of HotSpotter: Hessian-affine regions with 8-bit SIFT, each weighed by how much of it is animal.

The detector and descriptor of HotSpotter itself, by `pyhesaff` (Perdoch et al., CVPR 2009; Mikolajczyk et al., IJCV
2005; Lowe, IJCV 2004), under the gravity vector: regions keep their shape but are not turned. Difference-of-Gaussians
keypoints, which are round, can stand in for them; that is another method and has a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from types import ModuleType

import cv2
import numpy as np

from pelage.common.errors import PelageError
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.matching.features import read_features
from pelage.matching.local.features import DESCRIPTOR_DIM

PATCH = 41
"""Pixels of a region's normalised patch."""

MEASUREMENT = 3 * np.sqrt(3)
"""Radius of the region that is described, in that of the keypoint (`mrSize`)."""

CHUNK = 700
"""Patches sampled at a time: OpenCV's images have less than 2^15 rows."""

VERSION = 1
"""Raised whenever `extract` computes something else."""


@dataclass(frozen=True, eq=False)  # as `LocalFeatures`
class AffineFeatures:
    """Keypoints of one chip (the resized crop).

    Attributes:
        xy: `(N, 2)` float32, centres in pixels of the chip.
        shape: `(N, 3)` float32, numbers a, c, d of the matrix [[a, 0], [c, d]] that takes the unit circle to the
            region; a and d are positive, so gravity's direction stays.
        weight: `(N,)` float32 in [0, 1], how much of the region is animal.
        descriptors: `(N, 128)` uint8 SIFT.
        size: Width and height of the chip in pixels.
    """

    xy: np.ndarray
    shape: np.ndarray
    weight: np.ndarray
    descriptors: np.ndarray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.xy)

    def take(self, rows: np.ndarray) -> AffineFeatures:
        """Return the keypoints in `rows`, indices or booleans."""
        arrays = [field.name for field in fields(self) if field.name != "size"]
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})


@cache
def load_pyhesaff() -> ModuleType:
    """Import `pyhesaff`, or say why it cannot be used here."""
    try:
        import pyhesaff
    except ImportError as error:
        raise PelageError(
            f"HotSpotter's keypoints need the package pyhesaff, and its shared library does not load here ({error}). "
            "Install it (`pip install pyhesaff`; it has wheels for Linux and Windows on x86-64), or give the matcher "
            "the kind dog_sift in params.yaml, which needs OpenCV only."
        ) from error
    return pyhesaff


def make_chip(image: np.ndarray, chip: str, side: int) -> np.ndarray:
    """Scale a crop as HotSpotter does, by Lanczos.

    Args:
        image: `(H, W, 3)` or `(H, W)` uint8.
        chip: `longest`: the longer side becomes `side`; `area`: the area becomes `side` squared.
        side: Pixels.
    """
    height, width = image.shape[:2]
    factor = side / (max(height, width) if chip == "longest" else np.sqrt(height * width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_LANCZOS4)


def detect_hessian_affine(chip: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres `(N, 2)`, shapes `(N, 3)` and descriptors `(N, 128)` of an RGB chip, by `pyhesaff`'s defaults."""
    keypoints, descriptors = load_pyhesaff().detect_feats_in_image(np.ascontiguousarray(chip))
    return keypoints[:, :2], keypoints[:, 2:5], descriptors


def detect_dog(chip: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Do as `detect_hessian_affine` with OpenCV's SIFT: regions are circles."""
    grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
    sift = cv2.SIFT_create()
    found = list({(point.pt, point.size): point for point in sift.detect(grey, None)}.values())
    for point in found:  # OpenCV repeats a point for each of its directions
        point.angle = 0.0
    found, descriptors = sift.compute(grey, found) if found else ([], np.zeros((0, DESCRIPTOR_DIM)))
    radius = np.array([MEASUREMENT * point.size / 2 for point in found]).reshape(-1, 1)
    xy = np.array([point.pt for point in found]).reshape(-1, 2)
    return xy, radius * np.array([[1.0, 0.0, 1.0]]), descriptors.astype(np.uint8)  # whole numbers of 0..255


DETECTORS: dict[str, Callable] = {"hessian_affine": detect_hessian_affine, "dog": detect_dog}


def animal_weight(mask: np.ndarray, xy: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return how much of each region is animal: the mean of the mask over its patch, weighed by a Gaussian.

    WBIA's feature weights (`gaussian_average_patch`: standard deviation 0.95 radii), with a mask for its probability
    map. Outside of the mask's picture there is no animal.

    Args:
        mask: `(H, W)` float32 in [0, 1].
        xy: `(N, 2)`.
        shape: `(N, 3)`.

    Returns:
        `(N,)` float32.
    """
    steps = np.linspace(-1, 1, PATCH, dtype=np.float32)
    bell = cv2.getGaussianKernel(PATCH, 0.95 * PATCH / 2, cv2.CV_32F)
    xy, shape = xy.astype(np.float32), shape.astype(np.float32)
    weight = np.zeros(len(xy), np.float32)
    for start in range(0, len(xy), CHUNK):
        part = slice(start, start + CHUNK)
        (x, y), (a, c, d) = xy[part].T[:, :, None, None], shape[part].T[:, :, None, None]
        across = np.broadcast_to(x + a * steps, (len(x), PATCH, PATCH))
        down = y + c * steps + d * steps[:, None]
        patches = cv2.remap(mask, across.reshape(-1, PATCH), down.reshape(-1, PATCH), cv2.INTER_LINEAR)
        weight[part] = ((patches.reshape(-1, PATCH, PATCH) @ bell)[:, :, 0] @ bell)[:, 0]
    return np.clip(weight, 0, 1)


def extract(
    image: np.ndarray,
    mask: np.ndarray,
    detector: str,
    chip: str,
    side: int,
    keypoints: int,
    foreground: bool,
    min_weight: float,
) -> AffineFeatures:
    """Find the keypoints of a crop.

    Args:
        image: `(H, W, 3)` RGB uint8.
        mask: `(H, W)` uint8, not zero on the animal.
        detector: A key of `DETECTORS`.
        chip: `longest` or `area`, and
        side: as in `make_chip`.
        keypoints: Most keypoints that are kept, the largest ones; 0 keeps all.
        foreground: Weigh keypoints by the mask; otherwise all weigh 1.
        min_weight: Keypoints below this weight are dropped.

    Returns:
        The features; none for a blank image.
    """
    scaled = make_chip(image, chip, side)
    size = scaled.shape[1], scaled.shape[0]
    xy, shape, descriptors = DETECTORS[detector](scaled)
    animal = cv2.resize((mask > 0).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    weight = animal_weight(animal, xy, shape) if foreground else np.ones(len(xy), np.float32)
    found = AffineFeatures(xy.astype(np.float32), shape.astype(np.float32), weight, descriptors, size)
    found = found.take(found.weight >= min_weight)
    if not 0 < keypoints < len(found):
        return found
    area = found.shape[:, 0] * found.shape[:, 2]
    return found.take(np.sort(np.argsort(-area, kind="stable")[:keypoints]))


def read_affine_features(crops: Packs, masks: Packs, files: Sequence[str], **settings: object) -> list[AffineFeatures]:
    """Extract the features of crops in files, or recall them from the memo; arguments as in `read_features`, `extract`.

    Raises:
        PelageError: `pyhesaff` does not load.
    """
    own = settings["detector"] == "hessian_affine"
    library = load_pyhesaff().__version__ if own else cv2.__version__
    memo = Memo("hotspotter", VERSION, {**settings, "library": library})
    return read_features(AffineFeatures, partial(extract, **settings), memo, crops, masks, files)
