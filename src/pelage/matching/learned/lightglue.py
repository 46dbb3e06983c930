"""LightGlue (Lindenberger et al., ICCV 2023): which keypoints of two crops are the same, and how surely, in batches.

Most pairs of a shortlist show different animals. So all pairs are glanced at first, by few keypoints and two of the
layers; only those that then have matches are looked at by all keypoints, as long as they have more after each layer.

The network is kornia's, the weights those of the authors; its layers are made ready for inference (`layers`). kornia
matches pairs one by one as soon as points are pruned, because pairs keep different numbers of them. Here pairs are
batched by their numbers of keypoints, and after each layer a batch falls apart into pairs that are done and smaller
batches of pairs that kept about as many: nothing is padded, and what a pair finds does not depend on its neighbours in
the batch.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from pelage.matching.learned.features import LearnedFeatures, load_state, read_state
from pelage.matching.learned.layers import prepare_layers

if TYPE_CHECKING:
    from kornia.feature import LightGlue

VERSION = 5
"""Raised whenever `match_pairs` finds something else."""

WEIGHTS = {kind: f"{kind}_lightglue.safetensors" for kind in ("aliked", "disk", "superpoint")}
DESCRIPTOR_DIMS = {"aliked": 128, "disk": 128, "superpoint": 256}

FILTER = 0.1
"""Least confidence of a match, the authors' own."""

SURE = 0.95
"""Share of a pair's points that have to be sure of their match, or of having none, for the pair to stop early."""

UNMATCHABLE = 0.01
"""A point that is sure and whose matchability is at most this is left out of the layers that follow."""

CONFIDENT = 0.5
"""Confidence above which a match counts when it is decided whether a pair is given up."""

GLANCED = 2
"""Layers after which that is decided. On nyalas one decides worse, and three hardly better."""

JUDGED = (1, 2, 3)
"""Layers of all keypoints after which it is decided again; each asks for one match more than the one before."""

KEPT = 2**20
"""Points of crops that are kept with their encodings while others are matched: 1.6 GB."""

STEPS = 8
"""Numbers of keypoints to the octave. A crop's weakest keypoints are dropped down to the next one, at most an eighth of
all, so that many pairs have equal numbers."""


@dataclass(frozen=True)
class Effort:
    """How much work a pair is worth.

    Attributes:
        batch: Most pairs at a time.
        adaptive: Stop early and leave points out, as the authors do by default: 2 to 3 times as fast, fewer matches.
            False runs all layers on all points.
        give_up: A pair that has fewer confident matches than this at first glance keeps these, and so does one that,
            by all keypoints, has not as many and one more for each layer (`JUDGED`); 0: none.
        glance: Most keypoints of a crop at first glance, the strongest ones.
        half: Multiply matrices in half precision (bfloat16 on a CPU, float16 on a GPU) where layers mix points; what
            stays between layers, and the assignment, are float32.
    """

    batch: int
    adaptive: bool
    give_up: int
    glance: int
    half: bool

    @classmethod
    def of(cls, wanted: Mapping[str, Any]) -> Effort:
        """Return what the settings of a rematcher ask for."""
        return cls(**{field.name: wanted[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class PairMatches:
    """Matches of one query crop and one candidate, by keypoint of the query.

    Attributes:
        query: `(M,)` int, keypoints of the query.
        candidate: `(M,)` int, keypoints of the candidate.
        confidence: `(M,)` float32 in (0.1, 1].
    """

    query: np.ndarray
    candidate: np.ndarray
    confidence: np.ndarray

    def only(self, chosen: np.ndarray) -> PairMatches:
        """Return the `chosen` matches, `(M,)` bool."""
        return PairMatches(self.query[chosen], self.candidate[chosen], self.confidence[chosen])


@dataclass(frozen=True)
class _Batch:
    """Pairs with equal numbers of points: places in the list of pairs, points, encodings and keypoints `(B, N)`."""

    pairs: Tensor
    points: tuple[Tensor, Tensor]
    encodings: tuple[Tensor, Tensor]
    keypoints: tuple[Tensor, Tensor]
    counts: int


def load_lightglue(kind: str, folder: Path, device: torch.device) -> LightGlue:
    """Build LightGlue for the descriptors of `kind` (aliked | disk | superpoint) with the weights in `folder`.

    Raises:
        PelageError: The weights are missing or of another network.
    """
    from kornia.feature import LightGlue

    # kornia's flash attention takes float16 in training, too, and loses gradients that are small; without it kornia
    # switches off torch's for the whole process
    network = LightGlue(features=None, input_dim=DESCRIPTOR_DIMS[kind], flash=False)
    torch.backends.cuda.enable_flash_sdp(True)
    state = {}
    for name, tensor in read_state(folder / WEIGHTS[kind]).items():
        block, *rest = name.split(".")
        if block.endswith("_attn"):  # DISK's were saved when the blocks had other names
            name = f"transformers.{rest[0]}.{block}.{'.'.join(rest[1:])}"
        if rest[-1:] != ["r"]:  # and hold a scalar a layer that no version of the code reads
            state[name] = tensor
    load_state(network, state, folder / WEIGHTS[kind])
    return network.eval().to(device)


def rounded_count(count: int) -> int:
    """Return the largest number of at most `count` that is one of the eight of its octave: 300 is 288, 127 is 120."""
    step = max(1, 2 ** (int(count).bit_length() - 1) // STEPS)
    return count - count % step


class Ready:
    """A network that is ready to match: its layers, and crops that have looked at themselves.

    A crop's first look at itself is the same whomever it then meets; the last crops' are kept. May be used by threads.

    Args:
        network: As `load_lightglue` returns it; the device is its own.
        half: As in `Effort`.
    """

    def __init__(self, network: LightGlue, half: bool) -> None:
        device = next(network.parameters()).device
        typed = torch.float16 if device.type == "cuda" else torch.bfloat16
        self.network, self.device = network, device
        self.layers = prepare_layers(network, typed if half else torch.float32)
        self._known: OrderedDict[tuple[int, int], tuple[LearnedFeatures, Tensor, Tensor]] = OrderedDict()
        self._points = 0
        self._lock = Lock()

    def first_look(self, side: Sequence[LearnedFeatures], count: int) -> tuple[Tensor, Tensor]:
        """Return points `(B, count, D)` after the first look at themselves, and encodings of the positions."""
        looks = [self._look(features, count) for features in side]
        points, encodings = zip(*looks, strict=True)
        return torch.cat(points), torch.cat(encodings, dim=1)

    def _look(self, features: LearnedFeatures, count: int) -> tuple[Tensor, Tensor]:
        key = id(features), count  # kept beside the tensors, so that no other crop can have it
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known[1:]
        points, encoding = first_points(self.network, [features], count)
        known = features, self.layers[0].within(points, encoding), encoding
        with self._lock:
            self._points += count * (key not in self._known)
            self._known[key] = known
            while self._points > KEPT:
                (_, dropped), _ = self._known.popitem(last=False)
                self._points -= dropped
        return known[1:]


def match_pairs(
    network: LightGlue | Ready,
    queries: Sequence[LearnedFeatures],
    candidates: Sequence[LearnedFeatures],
    effort: Effort,
) -> list[PairMatches]:
    """Match the i-th query with the i-th candidate, for P pairs.

    Args:
        network: As `load_lightglue` returns it, or made ready for this effort; the device is its own.
        queries: Features of P crops; the same object may occur many times.
        candidates: Features of P crops.
        effort: How much work a pair is worth.

    Returns:
        Matches of each pair; none where a crop has no keypoints.
    """
    results = [PairMatches(np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.float32))] * len(queries)
    with torch.inference_mode():
        ready = network if isinstance(network, Ready) else Ready(network, effort.half)
        places: Sequence[int] = range(len(queries))
        if effort.give_up:
            for batch in _batches(ready, queries, candidates, places, effort.batch, effort.glance):
                for place, found in _glance(ready, batch):
                    results[place] = found
            sure = [(found.confidence > CONFIDENT).sum() for found in results]
            places = [place for place in places if sure[place] >= effort.give_up]
        for batch in _batches(ready, queries, candidates, places, effort.batch):
            for place, found in _run(ready, batch, 0, effort):
                results[place] = found
    return results


def _batches(
    ready: Ready,
    queries: Sequence[LearnedFeatures],
    candidates: Sequence[LearnedFeatures],
    places: Iterable[int],
    most: int,
    keypoints: int | None = None,
) -> Iterator[_Batch]:
    """Yield the pairs at some `places` in batches of at most so many, by at most so many `keypoints`."""
    groups = defaultdict(list)
    for place in places:
        counts = tuple(rounded_count(len(side[place].xy[:keypoints])) for side in (queries, candidates))
        if all(counts):
            groups[counts].append(place)
    for counts in sorted(groups):
        for start in range(0, len(groups[counts]), most):
            chosen = groups[counts][start : start + most]
            sides = ([side[place] for place in chosen] for side in (queries, candidates))
            points, encodings = zip(*map(ready.first_look, sides, counts), strict=True)
            own = tuple(torch.arange(count, device=ready.device).expand(len(chosen), -1) for count in counts)
            yield _Batch(torch.tensor(chosen, device=ready.device), points, encodings, own, sum(counts))


def first_points(network: LightGlue, side: Sequence[LearnedFeatures], count: int) -> tuple[Tensor, Tensor]:
    """Return what the first layer is given of B crops: points `(B, count, D)` and the encodings of their positions.

    Args:
        network: As `load_lightglue` returns it; the device is its own.
        side: Features with at least `count` keypoints.
        count: Keypoints that take part, the strongest ones.
    """
    device = next(network.parameters()).device
    descriptors = np.stack([features.descriptors[:count] for features in side]).astype(np.float32)
    # the centre is 0 and the longer side reaches from -1 to 1
    where = [(features.xy[:count] - np.array(features.size) / 2) / (max(features.size) / 2) for features in side]
    points = network.input_proj(torch.from_numpy(descriptors).to(device))
    return points, network.posenc(torch.from_numpy(np.stack(where).astype(np.float32)).to(device))


def _glance(ready: Ready, batch: _Batch) -> Iterator[tuple[int, PairMatches]]:
    """Yield the matches of each pair of `batch` after the first `GLANCED` layers."""
    points = ready.layers[0].between(*batch.points)
    for layer in ready.layers[1:GLANCED]:
        points = layer(points, batch.encodings)
    yield from _finish(ready.network, replace(batch, points=points), GLANCED - 1)


def _run(ready: Ready, batch: _Batch, layer: int, effort: Effort) -> Iterator[tuple[int, PairMatches]]:
    """Yield the matches of each pair of `batch`, from `layer` on."""
    network, layers = ready.network, ready.layers
    points = layers[layer](batch.points, batch.encodings) if layer else layers[0].between(*batch.points)
    batch = replace(batch, points=points)
    if layer == len(layers) - 1:
        yield from _finish(network, batch, layer)
        return
    done = torch.zeros(len(batch.pairs), dtype=torch.bool, device=batch.pairs.device)
    if effort.adaptive:
        threshold = network.confidence_thresholds[layer]
        confidences = network.token_confidence[layer](*points)
        unsure = sum((confidence < threshold).sum(dim=1) for confidence in confidences)
        done |= unsure < (1 - SURE) * batch.counts
    if effort.give_up and layer in JUDGED:
        found, _, confidence = _assign(network, batch, layer)
        done |= (found & (confidence > CONFIDENT)).sum(dim=1) < effort.give_up + layer
    yield from _finish(network, _chosen(batch, done), layer)
    if not effort.adaptive:
        if not done.all():
            yield from _run(ready, _chosen(batch, ~done), layer + 1, effort)
        return
    orders, sizes = [], []
    for side, confidence in zip(points, confidences, strict=True):
        matchable = network.log_assignment[layer].get_matchability(side)
        kept = (matchable > UNMATCHABLE) | (confidence <= threshold)
        orders.append(torch.argsort(kept.float() + matchable, dim=1, descending=True, stable=True))
        sizes.append(_sizes(kept.sum(dim=1)).clamp(max=kept.shape[1]))
    sizes = torch.stack(sizes, dim=1)
    for size in torch.unique(sizes[~done], dim=0).tolist():
        alike = ~done & (sizes == torch.tensor(size, device=sizes.device)).all(dim=1)
        orders_alike = [order[alike] for order in orders]
        yield from _run(ready, _pruned(_chosen(batch, alike), orders_alike, size), layer + 1, effort)


def _sizes(kept: Tensor) -> Tensor:
    """Return the next of 32, 48, 64, 96, 128, ...: batches that fall into many sizes would be batches of one."""
    octave = 2 ** torch.ceil(torch.log2(kept.clamp(min=32).double())).long()
    return torch.where(4 * kept <= 3 * octave, 3 * octave // 4, octave)


def _chosen(batch: _Batch, rows: Tensor) -> _Batch:
    rows = rows.nonzero()[:, 0]
    return _Batch(
        batch.pairs[rows],
        tuple(side[rows] for side in batch.points),
        tuple(side[:, rows] for side in batch.encodings),
        tuple(side[rows] for side in batch.keypoints),
        batch.counts,
    )


def _pruned(batch: _Batch, orders: Sequence[Tensor], sizes: Sequence[int]) -> _Batch:
    """Keep the first `size` points of each pair and side in the given order, where there are more."""
    points, encodings, keypoints = list(batch.points), list(batch.encodings), list(batch.keypoints)
    for side, (order, size) in enumerate(zip(orders, sizes, strict=True)):
        if size < order.shape[1]:
            kept = order[:, :size].sort(dim=1).values
            points[side] = torch.take_along_dim(points[side], kept[:, :, None], 1)
            encodings[side] = torch.take_along_dim(encodings[side], kept[None, :, None, :, None], 3)
            keypoints[side] = torch.take_along_dim(keypoints[side], kept, 1)
    return _Batch(batch.pairs, tuple(points), tuple(encodings), tuple(keypoints), batch.counts)


def _assign(network: LightGlue, batch: _Batch, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each point of the queries, `(B, N)`: is it matched, with which of the candidate's, how surely.

    Matched are mutual best points that are surer than `FILTER`.
    """
    assignment = network.log_assignment[layer](*batch.points)[0][:, :-1, :-1]
    best, partner = assignment.max(dim=2)
    back = assignment.max(dim=1).indices
    mutual = torch.take_along_dim(back, partner, 1) == torch.arange(partner.shape[1], device=partner.device)
    confidence = best.exp()
    return mutual & (confidence > FILTER), partner, confidence


def _finish(network: LightGlue, batch: _Batch, layer: int) -> Iterator[tuple[int, PairMatches]]:
    """Yield the matches of each pair after `layer`."""
    if not len(batch.pairs):
        return
    found, partner, confidence = _assign(network, batch, layer)
    pair, point = found.nonzero(as_tuple=True)
    query, candidate = batch.keypoints[0][pair, point], batch.keypoints[1][pair, partner[pair, point]]
    ends = found.sum(dim=1).cumsum(dim=0)[:-1].cpu().numpy()
    columns = [np.split(tensor.cpu().numpy(), ends) for tensor in (query, candidate, confidence[pair, point])]
    for place, *values in zip(batch.pairs.tolist(), *columns, strict=True):
        yield place, PairMatches(*values)


def count_matches(matches: PairMatches, confidence: float) -> float:
    """Return the number of matches of more than `confidence`, and the mean confidence of all as a fraction beyond it.

    The count is WildFusion's score (Cermak et al. 2024); the fraction, below 1, only orders pairs of equal counts.
    """
    if not len(matches.confidence):
        return 0.0
    return float((matches.confidence > confidence).sum() + min(matches.confidence.mean(dtype=float), 0.999))


def magsac_inliers(
    query: LearnedFeatures, candidate: LearnedFeatures, matches: PairMatches, distance: float = 0.03
) -> np.ndarray:
    """Return the matches that agree with one homography, found by MAGSAC++ (Barath et al., CVPR 2020), `(M,)` bool.

    A flank is nearly flat, and what bends or turns is lost. The same matches give the same inliers.

    Args:
        query, candidate: Features of the pair.
        matches: M of them.
        distance: Largest error as a share of the candidate's diagonal.
    """
    none = np.zeros(len(matches.query), bool)
    if len(none) < 4:
        return none
    start, end = query.xy[matches.query], candidate.xy[matches.candidate]
    threshold = distance * float(np.hypot(*candidate.size))
    try:
        _, inside = cv2.findHomography(start, end, cv2.USAC_MAGSAC, threshold, maxIters=2000, confidence=0.999)
    except cv2.error:
        return none
    return none if inside is None else inside[:, 0] > 0
