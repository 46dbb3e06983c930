"""What two crops have in common: matches of their ORB, SIFT and BRISK keypoints, as twelve numbers a pair.

ORB after Rublee et al. (ICCV 2011), SIFT after Lowe (IJCV 2004), BRISK after Leutenegger et al. (ICCV 2011), all as
OpenCV has them. Nothing is learnt here; `pair_classifier.py` learns which numbers speak for the same animal.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from pelage.common.images import to_rgb
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.common.tables import crop_file
from pelage.matching.local.features import scaled_grey

KINDS = {"orb": cv2.NORM_HAMMING, "sift": cv2.NORM_L2, "brisk": cv2.NORM_HAMMING}
"""Kinds of keypoints, and the distance of their descriptors."""

FEATURES = tuple(f"{kind}_{what}" for kind in KINDS for what in ("clear", "agreeing", "ratio", "distance"))
"""Of each kind: the share of the first crop's keypoints whose match is clear, the share whose clear match is displaced
like the others, and of the `BEST` clearest matches the mean ratio of the nearest to the second nearest distance and the
mean distance itself."""

CLEAR = 0.85
"""Ratio below which a match is clear (Lowe's test)."""

REACH = 0.08
"""Shares of width and height by which a displacement may differ from the median one and still agree with it."""

BEST = 10

VERSION = 1
"""Raised whenever `describe` computes something else."""


@dataclass(frozen=True)
class Keypoints:
    """Keypoints of one kind and crop, strongest first.

    Attributes:
        xy: `(N, 2)` float32, positions in shares of the crop's width and height.
        descriptors: `(N, D)` uint8.
    """

    xy: np.ndarray
    descriptors: np.ndarray

    def __len__(self) -> int:
        return len(self.xy)


Described = Mapping[str, Keypoints]
"""Keypoints of one crop by kind."""


def new_detectors(keypoints: int) -> dict[str, cv2.Feature2D]:
    """Return a detector for each of `KINDS` that finds about `keypoints`; BRISK finds as many as there are."""
    return {
        "orb": cv2.ORB_create(keypoints),
        "sift": cv2.SIFT_create(keypoints),
        "brisk": cv2.BRISK_create(),
    }


def describe(
    image: np.ndarray, mask: np.ndarray, side: int, keypoints: int, detectors: Mapping[str, cv2.Feature2D]
) -> Described:
    """Find and describe the strongest keypoints of a crop's animal.

    Args:
        image: `(H, W, 3)` RGB uint8.
        mask: `(H, W)` uint8, not zero on the animal.
        side: Pixels that the longer side is scaled to.
        keypoints: Most keypoints of a kind.
        detectors: Those of `new_detectors`.
    """
    grey, animal = scaled_grey(image, mask, side)
    described = {}
    for kind, detector in detectors.items():
        found, descriptors = detector.detectAndCompute(grey, animal)
        order = sorted(
            range(len(found)), key=lambda i: (-found[i].response, found[i].pt, found[i].size, found[i].angle)
        )
        order = order[:keypoints]
        xy = np.array([found[place].pt for place in order], np.float32).reshape(-1, 2)
        size = detector.descriptorSize()
        chosen = descriptors[order].astype(np.uint8) if order else np.zeros((0, size), np.uint8)  # SIFT's are integers
        described[kind] = Keypoints(xy / np.array(grey.shape[::-1], np.float32), chosen)
    return described


def read_described(crop_ids: Sequence[str], crops: Packs, masks: Packs, side: int, keypoints: int) -> list[Described]:
    """Describe crops in files, or recall what is in the memo.

    Args:
        crop_ids: Ids of which there are a crop and a mask.
        crops: Crops of one part.
        masks: Their masks, of the same names.
        side: As in `describe`.
        keypoints: As in `describe`.
    """
    memo = Memo("pairs", VERSION, {"side": side, "keypoints": keypoints, "opencv": cv2.__version__})
    own = threading.local()  # a thread makes its detectors once: BRISK's tables take longer than a crop

    def described_of(crop_id: str) -> Described:
        name = crop_file(crop_id)
        key = memo.key(crops.sha256(name), masks.sha256(name))
        stored = memo.get(key)
        if stored is not None:
            return _unpack(stored)
        if not hasattr(own, "detectors"):
            own.detectors = new_detectors(keypoints)
        described = describe(to_rgb(crops.image(name)), masks.image(name), side, keypoints, own.detectors)
        memo.put(key, _pack(described))
        return described

    return list(track(parallel_map(described_of, crop_ids), "keypoints", len(crop_ids)))


def _pack(described: Described) -> bytes:
    buffer = BytesIO()
    arrays = {f"{kind}_{name}": array for kind, found in described.items() for name, array in vars(found).items()}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _unpack(data: bytes) -> Described:
    with np.load(BytesIO(data)) as stored:
        return {kind: Keypoints(stored[f"{kind}_xy"], stored[f"{kind}_descriptors"]) for kind in KINDS}


def compare(first: Described, second: Described) -> np.ndarray:
    """Return the `FEATURES` of a pair, `(12,)` float32: how well the first crop's keypoints are found on the second.

    Those of a kind are NaN where the first crop has no keypoint of it, or the second fewer than two.
    """
    features = np.full((len(KINDS), len(FEATURES) // len(KINDS)), np.nan, np.float32)
    for row, (kind, norm) in zip(features, KINDS.items(), strict=True):
        if len(first[kind]) and len(second[kind]) > 1:
            row[:] = _match(first[kind], second[kind], norm)
    return features.ravel()


def _match(first: Keypoints, second: Keypoints, norm: int) -> tuple[float, float, float, float]:
    search = _nearest_by_product if norm == cv2.NORM_L2 else _nearest_by_bits
    distance, nearest = search(first.descriptors, second.descriptors)
    ratio = distance[:, 0] / np.maximum(distance[:, 1], 1)
    clear = ratio < CLEAR
    moved = second.xy[nearest[clear]] - first.xy[clear]
    agree = (np.abs(moved - _median(moved)) < REACH).all(axis=1).sum() if len(moved) else 0
    best = np.argsort(ratio, kind="stable")[:BEST]
    return clear.mean(), agree / len(first), ratio[best].mean(), distance[best, 0].mean()


def _median(rows: np.ndarray) -> np.ndarray:
    """Return the median of each column, as `np.median`, which takes ten times as long for a few rows."""
    ordered = np.sort(rows, axis=0)
    return (ordered[(len(rows) - 1) // 2] + ordered[len(rows) // 2]) / 2


def _nearest_by_bits(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two least Hamming distances of each row `(N, 2)`, and which other row is nearest `(N,)`."""
    distance, nearest = cv2.batchDistance(one, other, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=2)
    return distance, nearest[:, 0]


def _nearest_by_product(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do as `_nearest_by_bits` with Euclidean distances, by one product of matrices.

    Four times as fast as OpenCV, and as exact: all numbers are integers below 2^24, which float32 holds.
    """
    one, other = one.astype(np.float32), other.astype(np.float32)
    far = (other**2).sum(axis=1) - 2 * (one @ other.T)
    row, nearest = np.arange(len(one)), far.argmin(axis=1)
    least = far[row, nearest]
    far[row, nearest] = np.inf
    return np.sqrt((one**2).sum(axis=1)[:, None] + np.stack([least, far.min(axis=1)], axis=1)), nearest


def compare_all(described: Sequence[Described], wanted: np.ndarray) -> np.ndarray:
    """Compare pairs of N crops with all cores.

    Args:
        described: The crops.
        wanted: `(N, N)` bool, which ordered pairs.

    Returns:
        `(P, 12)` float32, in the order of `np.nonzero(wanted)`.
    """

    def compare_row(place: int) -> np.ndarray:
        others = np.flatnonzero(wanted[place])
        return np.array([compare(described[place], described[other]) for other in others]).reshape(-1, len(FEATURES))

    rows = np.flatnonzero(wanted.any(axis=1))
    with threadpool_limits(1):  # rows share the cores already
        found = list(track(parallel_map(compare_row, rows), "pairs", len(rows)))
    return np.concatenate([np.zeros((0, len(FEATURES)), np.float32), *found])
