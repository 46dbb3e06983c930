"""Learned keypoints of a crop, limited to the animal by its mask: ALIKED, DISK and SuperPoint.

ALIKED: Zhao et al., IEEE TIM 2023; DISK: Tyszkiewicz et al., NeurIPS 2020. The networks are kornia's, the weights those
of the authors (`weights.yaml` beside this file); SuperPoint is `superpoint`, with weights that users provide. The
network sees the crop with its background; keypoints beside the animal are dropped afterwards, so that the mask's
outline makes none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import pad

from pelage.common.errors import PelageError
from pelage.common.files import sha256_file
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.params import choose
from pelage.common.tables import crop_file
from pelage.matching.features import Together, read_features
from pelage.matching.learned.superpoint import SuperPoint

if TYPE_CHECKING:
    from kornia.feature import ALIKED

VERSION = 2
"""Raised whenever `extract` computes something else."""

SPARE = 4
"""Keypoints are looked for as many times over as are kept, because some lie beside the animal."""

WEIGHTS = {
    "aliked": "aliked_n16.safetensors",
    "disk": "disk_depth.safetensors",
    "superpoint": "superpoint_v1.safetensors",
}

BATCH = 8
"""Crops at a time on a GPU; ALIKED takes about 0.6 GB for one of 600 x 600 pixels."""

CELL = 32
"""ALIKED looks at crops whose sides are multiples of it; those that need the same ones go together."""

Found = tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]
"""Of one crop: positions `(N, 2)` in pixels, strengths `(N,)`, and what describes some of them by their places `(K,)`:
`(K, D)`. Most lie beside the animal or are too weak, and to describe all takes half as long as to find them."""

Detector = Callable[[Sequence[Tensor]], Sequence[Found]]
"""From crops `(1, 3, H, W)` in [0, 1], whose sides end in the same cell, to what is found in each."""


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

    def only(self, chosen: np.ndarray | slice) -> LearnedFeatures:
        """Return the `chosen` keypoints: places `(K,)`, or a slice of them."""
        return LearnedFeatures(self.xy[chosen], self.descriptors[chosen], self.strength[chosen], self.size)


def features_digest(features: LearnedFeatures) -> bytes:
    """Return a hash of everything that a matcher sees of a crop."""
    digest = hashlib.sha256(repr(features.size).encode())
    for array in (features.xy, features.descriptors):
        digest.update(repr(array.shape).encode() + array.tobytes())
    return digest.digest()


def load_detector(kind: str, folder: Path, keypoints: int, device: torch.device, batch: int = 1) -> Detector:
    """Build a network and load its weights.

    Args:
        kind: aliked | disk | superpoint.
        folder: Where the weights are.
        keypoints: Most keypoints that it returns.
        device: Where to compute.
        batch: Most crops that it is given at a time. ALIKED looks at so many however few they are: what it finds in one
            does not depend on how many came with it.

    Raises:
        PelageError: An unknown kind, or weights that are missing or of another network.
    """
    from kornia.feature import ALIKED, DISK

    path = folder / WEIGHTS[choose(kind, WEIGHTS, "features of a rematcher")]
    network = {
        "aliked": partial(ALIKED, "aliked-n16", max_num_keypoints=keypoints, detection_threshold=0.0),
        "disk": DISK,
        "superpoint": partial(SuperPoint, keypoints),
    }[kind]()
    load_state(network, read_state(path), path)
    network = network.eval().to(device)
    if kind == "aliked":
        return partial(_by_aliked, network, batch)

    def described(crop: Tensor) -> Found:
        if kind == "superpoint":
            xy, descriptors, strength = network(crop)
        else:
            found = network(crop, n=keypoints, pad_if_not_divisible=True)[0]
            xy, descriptors, strength = found.keypoints, found.descriptors, found.detection_scores
        return xy, strength, descriptors.__getitem__

    return lambda crops: [described(crop) for crop in crops]


def _by_aliked(network: ALIKED, batch: int, crops: Sequence[Tensor]) -> list[Found]:
    """Compute the maps of all crops at once, and do with each one's what the network does with those of one image."""
    from kornia.feature.aliked.aliked import InputPadder

    padders = [InputPadder(*crop.shape[2:], CELL) for crop in crops]
    pixels = torch.cat([padder.pad(crop) for padder, crop in zip(padders, crops, strict=True)])
    maps = _maps(network, pad(pixels, [0] * 7 + [batch - len(crops)]))
    found = []
    for place, (padder, crop) in enumerate(zip(padders, crops, strict=True)):
        features, scores = (padder.unpad(values[place : place + 1]) for values in maps)
        (where,), (strength,), _ = network.dkd(scores)
        height, width = crop.shape[2:]
        xy = where.new_tensor([width - 1, height - 1]) * (where + 1) / 2
        found.append((xy, strength, partial(_described, network, features, where)))
    return found


def _maps(network: ALIKED, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `extract_dense_map` does: features `(B, D, H, W)` of length 1, and scores `(B, 1, H, W)`.

    The features are the largest array by far, 160 MB for a crop of 600 x 512 pixels; they are divided in their place,
    by lengths that are summed up channel by channel, in a tenth of the time.
    """
    own, layers = pixels, []
    for stage, smaller in enumerate((lambda map_: map_, network.pool2, network.pool4, network.pool4), start=1):
        own = network.get_submodule(f"block{stage}")(smaller(own))
        layers.append(network.gate(network.get_submodule(f"conv{stage}")(own)))
    larger = (lambda map_: map_, network.upsample2, network.upsample8, network.upsample32)
    features = torch.cat([grow(layer) for grow, layer in zip(larger, layers, strict=True)], dim=1)
    scores = torch.sigmoid(network.score_head(features))
    length = features[:, 0].square()
    for channel in features.unbind(dim=1)[1:]:
        length.addcmul_(channel, channel)
    return features.div_(length.sqrt_().clamp_min_(1e-12)[:, None]), scores


def _described(network: ALIKED, features: Tensor, where: Tensor, chosen: Tensor) -> Tensor:
    return network.desc_head(features, [where[chosen]])[0][0]


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


@dataclass(frozen=True)
class Scaled:
    """A crop as detectors see it.

    Attributes:
        pixels: `(1, 3, H, W)` uint8.
        animal: `(H, W)` uint8, not zero on the animal.
    """

    pixels: Tensor
    animal: np.ndarray

    @property
    def cells(self) -> tuple[int, ...]:
        """Rows and columns of cells that hold it."""
        return tuple(-(-side // CELL) for side in self.animal.shape)


def scale(image: np.ndarray, mask: np.ndarray, side: int) -> Scaled:
    """Scale a crop and its mask; arguments as in `extract`."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    pixels = torch.from_numpy(cv2.resize(image, size, interpolation=way)).permute(2, 0, 1)[None]
    return Scaled(pixels, cv2.resize((mask > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST))


def detect(crops: Sequence[Scaled], detector: Detector, keypoints: int, device: torch.device) -> list[LearnedFeatures]:
    """Find keypoints on animals and describe them; of crops that the detector takes together, the rest as `extract`."""
    with torch.inference_mode():
        found = detector([crop.pixels.to(device).float() / 255 for crop in crops])
        return [_on_animal(crop.animal, *each, keypoints) for crop, each in zip(crops, found, strict=True)]


def _on_animal(
    animal: np.ndarray, xy: Tensor, strength: Tensor, describe: Callable[[Tensor], Tensor], keypoints: int
) -> LearnedFeatures:
    device = xy.device
    xy, strength = (found.float().cpu().numpy() for found in (xy, strength))
    size = animal.shape[::-1]
    column, row = np.clip(np.rint(xy).astype(int), 0, np.array(size) - 1).T
    inside = np.flatnonzero(animal[row, column])
    order = np.lexsort((xy[inside, 0], xy[inside, 1], -strength[inside]))
    best = inside[order[:keypoints]]
    descriptors = describe(torch.from_numpy(best).to(device)).float().cpu().numpy()
    return LearnedFeatures(xy[best], descriptors.astype(np.float16), strength[best], size)


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
    return detect([scale(image, mask, side)], detector, keypoints, device)[0]


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
    batch = BATCH if device.type == "cuda" else 1
    detector = load_detector(kind, weights, SPARE * keypoints, device, batch)
    settings = {"side": side, "keypoints": keypoints}
    about = {**settings, "kind": kind, "weights": sha256_file(weights / WEIGHTS[kind]), "device": device.type}
    memo = Memo("learned_features", VERSION, about)
    there = [crop_id for crop_id in sorted(crop_ids) if crop_file(crop_id) in crops]
    files = [crop_file(crop_id) for crop_id in there]
    if batch == 1:  # on a CPU four together take half as long again as one by one, and threads share the cores
        find = partial(extract, detector=detector, **settings, device=device)
        found = read_features(LearnedFeatures, find, memo, crops, masks, files)
    else:
        finish = partial(detect, detector=detector, keypoints=keypoints, device=device)
        together = Together(batch, lambda crop: crop.cells, finish)
        found = read_features(LearnedFeatures, partial(scale, side=side), memo, crops, masks, files, together)
    return dict(zip(there, found, strict=True))
