"""Attention maps: which places of two photos spoke for their match.

Where pooling and head are linear, the cosine of two embeddings is a sum over the places of either photo's feature map
(Stylianou et al., WACV 2019; Zhu et al., IEEE TIP 2021). The share of a place is its features times the gradient of
the cosine, with the length of the embedding held fixed: Grad-CAM without the mean over places (HiResCAM; Draelos and
Carin, 2020), which the grid pooling needs because its places are not alike. For other networks the same product is a
first-order estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pelage.common.errors import PelageError
from pelage.common.seeds import generator
from pelage.model.embedder import Embedder
from pelage.model.embeddings import embed_images
from pelage.model.features import feature_maps

TOLERANCE = 1e-4
"""Of a cosine, within which maps count as a sum."""

PROTOCOLS = ("closed", "disjoint", "validation")
"""Whose queries are explained: the first that has a query with a right answer."""

PAIR_COLUMNS = ["protocol", "query", "candidate", "rank", "right"]
EXPLAINED_COLUMNS = [*PAIR_COLUMNS, "cosine", "exact", "on_animal", "animal"]


@dataclass(frozen=True)
class Attention:
    """What the places of photos add to cosines.

    Attributes:
        maps: `(N, h, w)` float32, negative where a place speaks against the match.
        cosines: `(N,)` float32.
        exact: The places of each map add up to its cosine.
    """

    maps: np.ndarray
    cosines: np.ndarray
    exact: bool


def attention(
    embedder: Embedder, images: np.ndarray, points: np.ndarray, batch: int, device: torch.device
) -> Attention:
    """Explain the cosines of photos with given embeddings, place by place.

    A network whose pooling is the class token is explained behind the first norm of its last block, where the token
    still has to gather what the places know. (Before the norm the product of features and gradient is 0.)

    Args:
        embedder: On `device`, in evaluation mode.
        images: `(N, H, W, C)` uint8.
        points: `(N, D)` of length 1, for each photo the embedding that it is compared with.
        batch: Photos at a time.
        device: Where to compute.

    Raises:
        PelageError: The network pools by a class token and its last block has no norm of tokens.
    """
    maps, cosines, rests, constants = [], [], [], []
    for start in range(0, len(images), batch):
        pixels = torch.from_numpy(np.ascontiguousarray(images[start : start + batch])).permute(0, 3, 1, 2).to(device)
        other = torch.from_numpy(points[start : start + batch]).to(device)
        features, embedded = _traced(embedder, pixels)
        direction = other / embedded.detach().norm(dim=1, keepdim=True)
        cosine = (embedded * direction).sum(dim=1)
        (gradient,) = torch.autograd.grad(cosine.sum(), features)
        with torch.no_grad():
            shares = feature_maps(features * gradient, embedder.layout).sum(dim=1)
            empty = embedder.project(torch.zeros_like(features))
        maps.append(shares)
        cosines.append(cosine.detach())
        rests.append(cosine.detach() - shares.sum(dim=(1, 2)))
        constants.append((empty * direction).sum(dim=1))
    if not maps:
        return Attention(np.empty((0, 1, 1), np.float32), np.empty(0, np.float32), True)
    shares, rest = torch.cat(maps), torch.cat(rests)
    # what a linear network gives for no features at all is all that its places leave of the cosine
    exact = not embedder.takes_class and bool((rest - torch.cat(constants)).abs().max() < TOLERANCE)
    if exact:
        shares = shares + rest[:, None, None] / shares[0].numel()
    return Attention(shares.cpu().numpy(), torch.cat(cosines).cpu().numpy(), exact)


def _traced(embedder: Embedder, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features that a gradient is asked for, and the embeddings made of them."""
    if not embedder.takes_class:
        with torch.no_grad():
            features = embedder.features(pixels)
        features.requires_grad_()
        return features, embedder.project(features)
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0]

    layout, blocks = embedder.layout, getattr(embedder.backbone, "blocks", None)
    norm = getattr(blocks[-1], "norm1", None) if blocks else None
    hook = norm.register_forward_hook(keep) if norm is not None else None
    embedded = embedder(pixels)
    if hook is not None:
        hook.remove()
    if not kept or kept[0].shape[1] != layout.prefix + layout.rows * layout.columns:
        raise PelageError(
            "params.yaml: insight.variant names a network that pools by a class token and whose last block cannot be "
            "looked into. Choose a variant with another backbone or pooling."
        )
    return kept[0], embedded


def choose_pairs(rankings: pd.DataFrame, identities: pd.Series, count: int, seed: int) -> pd.DataFrame:
    """Draw queries that have a right answer; pair each with its best right and its best wrong candidate.

    Args:
        rankings: The table of `matching.rankings`.
        identities: Individual of each crop, by crop id.
        count: Most queries.
        seed: Chooses them.

    Returns:
        `PAIR_COLUMNS`, right before wrong, by query. Queries are those of the first of `PROTOCOLS` that has any.
    """
    told = identities.loc[rankings["query"]].to_numpy() == identities.loc[rankings["candidate"]].to_numpy()
    rankings = rankings.assign(right=told)
    answered = rankings[rankings["right"]]
    protocol = next((name for name in PROTOCOLS if (answered["protocol"] == name).any()), PROTOCOLS[0])
    queries = np.unique(answered.loc[answered["protocol"] == protocol, "query"].to_numpy(str))
    drawn = generator(seed, "attention").permutation(queries)[:count]
    mine = rankings[(rankings["protocol"] == protocol) & rankings["query"].isin(drawn)]
    first = mine.sort_values(["query", "rank"]).drop_duplicates(["query", "right"])
    return first.sort_values(["query", "right"], ascending=[True, False], ignore_index=True)[PAIR_COLUMNS]


def explain_pairs(
    embedder: Embedder | None,
    pairs: pd.DataFrame,
    crop_ids: Sequence[str],
    images: np.ndarray,
    masks: np.ndarray,
    batch: int,
    device: torch.device,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Explain both photos of each pair.

    Args:
        embedder: In evaluation mode; None if it was not trained, and then there are no pairs.
        pairs: P rows of `choose_pairs`.
        crop_ids: N ids, those of all pairs.
        images: `(N, H, W, C)` uint8, their crops.
        masks: `(N, H, W)` uint8, 255 on the animal.
        batch: Photos at a time.
        device: Where to compute.

    Returns:
        `pairs` with the cosine, whether its maps add up to it, the share of what speaks for the match that lies on
        the animals, and the animals' share of the crops; and the maps `query` and `candidate`, `(P, h, w)` float32.
    """
    if embedder is None or not len(pairs):
        empty = np.empty((0, 1, 1), np.float32)
        return pairs.reindex(columns=EXPLAINED_COLUMNS), {"query": empty, "candidate": empty}
    embedder.to(device)
    points = embed_images(embedder, images, batch, device)
    places = pd.Series(np.arange(len(crop_ids)), index=crop_ids)
    sides = [places.loc[pairs[column]].to_numpy() for column in ("query", "candidate")]
    told = [attention(embedder, images[mine], points[other], batch, device) for mine, other in (sides, reversed(sides))]
    on_animal = [share_on_animal(side.maps, masks[mine]) for side, mine in zip(told, sides, strict=True)]
    animal = (masks > 127).mean(axis=(1, 2))
    pairs = pairs.assign(
        cosine=told[0].cosines.astype(float).round(4),
        exact=all(side.exact for side in told),
        on_animal=np.nanmean(on_animal, axis=0).round(4),
        animal=np.mean([animal[mine] for mine in sides], axis=0).round(4),
    )
    return pairs, {"query": told[0].maps, "candidate": told[1].maps}


def share_on_animal(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the share of what speaks for a match that lies on the animal.

    Args:
        maps: `(N, h, w)`, of which only what is above 0 counts.
        masks: `(N, H, W)` uint8, 255 on the animal.

    Returns:
        `(N,)` in 0 to 1; NaN where nothing speaks for the match.
    """
    size = maps.shape[2], maps.shape[1]
    cover = [cv2.resize(mask / np.float32(255), size, interpolation=cv2.INTER_AREA) for mask in masks]
    gains = maps.clip(min=0)
    total = gains.sum(axis=(1, 2))
    on = np.array([(gain * part).sum() for gain, part in zip(gains, cover, strict=True)])
    return np.divide(on, total, out=np.full(len(maps), np.nan), where=total > 0)
