"""Learned keypoints of a crop, limited to the animal by its mask: ALIKED, DISK and SuperPoint.

ALIKED: Zhao et al., IEEE TIM 2023; DISK: Tyszkiewicz et al., NeurIPS 2020. The networks are kornia's, the weights those
of the authors (`weights.yaml` beside this file); SuperPoint is `superpoint`, with weights that users provide. The
network sees the crop with its background; keypoints beside the animal are dropped afterwards, so that the mask's
outline makes none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pelage.common.errors import PelageError
from pelage.common.files import sha256_file
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.params import choose
from pelage.common.tables import crop_file
from pelage.matching.features import read_features
from pelage.matching.learned.superpoint import SuperPoint

VERSION = 1
"""Raised whenever `extract` computes something else."""

SPARE = 4
"""Keypoints are asked for as many times over as are kept, because some lie beside the animal."""

WEIGHTS = {
    "aliked": "aliked_n16.safetensors",
    "disk": "disk_depth.safetensors",
    "superpoint": "superpoint_v1.safetensors",
}

Detector = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""`(1, 3, H, W)` in [0, 1] to positions `(N, 2)` in pixels, descriptors `(N, D)` and strengths `(N,)`."""


@dataclass(frozen=True)
class LearnedFeatures:
    """Keypoints of one crop, strongest first.

    Attributes:
        xy: `(N, 2)` float32, positions in pixels of the resized crop.
        descriptors: `(N, D)` float16, of length 1.
        strength: `(N,)` float32.
        size: Width and height of the resized crop in pixels.
    """

    xy: np.ndarray
    descriptors: np.ndarray
    strength: np.ndarray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.xy)


def features_digest(features: LearnedFeatures) -> bytes:
    """Return a hash of everything that a matcher sees of a crop."""
    digest = hashlib.sha256(repr(features.size).encode())
    for array in (features.xy, features.descriptors):
        digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.digest()


def load_detector(kind: str, folder: Path, keypoints: int, device: torch.device) -> Detector:
    """Build a network and load its weights.

    Args:
        kind: aliked | disk | superpoint.
        folder: Where the weights are.
        keypoints: Most keypoints that it returns.
        device: Where to compute.

    Raises:
        PelageError: An unknown kind, or weights that are missing or of another network.
    """
    from kornia.feature import ALIKED, DISK

    path = folder / WEIGHTS[choose(kind, WEIGHTS, "features of a rematcher")]
    if kind == "aliked":
        network = ALIKED("aliked-n16", max_num_keypoints=keypoints, detection_threshold=0.0)
        load_state(network, read_state(path), path)
        network = network.eval().to(device)

        def detect(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            found = network(image)[0]
            return found.keypoints, found.descriptors, found.keypoint_scores

        return detect
    if kind == "superpoint":
        network = SuperPoint(keypoints)
        load_state(network, read_state(path), path)
        return network.eval().to(device)
    network = DISK()
    load_state(network, read_state(path), path)
    network = network.eval().to(device)

    def detect(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = network(image, n=keypoints, pad_if_not_divisible=True)[0]
        return found.keypoints, found.descriptors, found.detection_scores

    return detect


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a network."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise PelageError(f"The weights {path} are missing: run the stage match_weights.") from error


def load_state(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load learnt tensors; each must be there and none too many, while derived buffers may be absent."""
    missing, unexpected = network.load_state_dict(state, strict=False)
    lacking = set(missing) & dict(network.named_parameters()).keys()
    if lacking or unexpected:
        name = sorted(lacking | set(unexpected))[0]
        raise PelageError(f"{path} holds the weights of another network (see its tensor {name!r}).")


def extract(
    image: np.ndarray, mask: np.ndarray, detector: Detector, side: int, keypoints: int, device: torch.device
) -> LearnedFeatures:
    """Find keypoints on the animal and describe them.

    Args:
        image: `(H, W, 3)` RGB uint8.
        mask: `(H, W)` uint8, not zero on the animal.
        detector: As `load_detector` returns it.
        side: Pixels that the longer side is scaled to.
        keypoints: Most keypoints that are kept, by strength.
        device: Where to compute.

    Returns:
        The features; none for an empty mask.
    """
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    pixels = torch.from_numpy(cv2.resize(image, size, interpolation=way)).permute(2, 0, 1)[None]
    animal = cv2.resize((mask > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    with torch.inference_mode():
        xy, descriptors, strength = (found.float().cpu().numpy() for found in detector(pixels.to(device).float() / 255))
    column, row = np.clip(np.rint(xy).astype(int), 0, np.array(size) - 1).T
    inside = animal[row, column] > 0
    xy, descriptors, strength = xy[inside], descriptors[inside], strength[inside]
    best = np.lexsort((xy[:, 0], xy[:, 1], -strength))[:keypoints]
    return LearnedFeatures(xy[best], descriptors[best].astype(np.float16), strength[best], size)


def read_learned_features(
    crops: Packs,
    masks: Packs,
    crop_ids: Iterable[str],
    kind: str,
    weights: Path,
    side: int,
    keypoints: int,
    device: torch.device,
) -> dict[str, LearnedFeatures]:
    """Extract the features of crops in files, or recall them from the memo.

    Args:
        crops: Crops of one part.
        masks: Their masks, of the same names.
        crop_ids: Whose features are wanted; those without a crop have none.
        kind, weights, device: As in `load_detector`.
        side, keypoints: As in `extract`.
    """
    detector = load_detector(kind, weights, SPARE * keypoints, device)
    settings = {"side": side, "keypoints": keypoints}
    about = {**settings, "kind": kind, "weights": sha256_file(weights / WEIGHTS[kind]), "device": device.type}
    find = partial(extract, detector=detector, **settings, device=device)
    there = [crop_id for crop_id in sorted(crop_ids) if crop_file(crop_id) in crops]
    files = [crop_file(crop_id) for crop_id in there]
    found = read_features(LearnedFeatures, find, Memo("learned_features", VERSION, about), crops, masks, files)
    return dict(zip(there, found, strict=True))
