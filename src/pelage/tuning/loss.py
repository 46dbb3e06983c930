"""The loss of LightGlue (Lindenberger et al., ICCV 2023, sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pelage.tuning.correspondences import NONE

if TYPE_CHECKING:
    from kornia.feature import LightGlue


def negative_log_likelihood(assignment: Tensor, query: Tensor, candidate: Tensor) -> Tensor:
    """Return for each pair how unlikely a layer finds what is known of it, `(B,)` (equation 11).

    The mean over the pairs of keypoints that are the same, and half the means over those of either crop that have no
    counterpart. What is unknown does not count.

    Args:
        assignment: `(B, N + 1, M + 1)` log-likelihoods; the last row and column stand for no counterpart.
        query: `(B, N)` int, as in `Correspondences`.
        candidate: `(B, M)` int.
    """
    same = query >= 0
    likely = assignment[:, :-1, :-1].gather(2, query.clamp(min=0)[:, :, None])[:, :, 0]
    alone = [
        _mean(assignment[:, :-1, -1], query == NONE),
        _mean(assignment[:, -1, :-1], candidate == NONE),
    ]
    return -_mean(likely, same) - sum(alone) / 2


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of the counted values of each row, 0 where there are none."""
    return (values * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)


def matching_loss(
    network: LightGlue, layers: Sequence[tuple[Tensor, Tensor]], query: Tensor, candidate: Tensor
) -> Tensor:
    """Return the loss of each pair, `(B,)`: of all layers, and of what they think of their own confidence.

    The confidence of a keypoint after a layer is to say whether its best counterpart there is that of the last layer
    (equation 12 and the text below it). It learns from points that it does not change.

    Args:
        network: LightGlue with L layers.
        layers: Points `(B, N, D)` and `(B, M, D)` after each layer.
        query, candidate: As in `negative_log_likelihood`.
    """
    assignments = [assign(*points)[0] for assign, points in zip(network.log_assignment, layers, strict=True)]
    total = sum(negative_log_likelihood(assignment, query, candidate) for assignment in assignments) / len(layers)
    final = [_best(assignments[-1]), _best(assignments[-1].transpose(1, 2))]
    for points, assignment, confidence in zip(layers, assignments, network.token_confidence, strict=False):
        now = [_best(assignment), _best(assignment.transpose(1, 2))]
        for side, best, last in zip(points, now, final, strict=True):
            logits = confidence.token[0](side.detach())[:, :, 0]
            agrees = (best == last).float()
            sure = binary_cross_entropy_with_logits(logits, agrees, reduction="none").mean(dim=1)
            total = total + sure / (2 * len(network.token_confidence))
    return total


def _best(assignment: Tensor) -> Tensor:
    """Return the best counterpart of each keypoint, or that it has none, `(B, N)`."""
    with torch.no_grad():
        return assignment[:, :-1].argmax(dim=2)
