"""Weighted sum of losses: such as ArcFace with batch-hard triplets, trained at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class WeightedSum(nn.Module):
    """Losses of the same embeddings, each times its weight, added.

    Args:
        losses: `MinedLoss`es, called with embeddings and labels.
        weights: One a loss.
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.weights = tuple(weights)

    def begin(self, epoch: int, seed: int) -> None:
        """Begin an epoch, from 0, of a training of this seed."""
        for loss in self.losses:
            loss.begin(epoch, seed)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the sum, a scalar, for embeddings `(N, D)` with integer labels `(N,)`."""
        terms = [weight * loss(embeddings, labels) for weight, loss in zip(self.weights, self.losses, strict=True)]
        return sum(terms[1:], terms[0])
