"""Softmax with a plain linear classifier: cross-entropy over `W x + b`, no margin, no normalisation.

The baseline of identification as classification; pytorch-metric-learning has only its normalised form.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pelage.losses.mining import Triplets, mean_cross_entropy


class LinearSoftmaxLoss(nn.Module):
    """Cross-entropy of a learnt linear classifier, computed in float32 (float64 stays) whatever autocast says.

    Args:
        classes: Number of classes.
        dim: Length of an embedding.
    """

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(dim, classes)

    def forward(self, embeddings: Tensor, labels: Tensor, triplets: Triplets | None = None) -> Tensor:
        """Return the mean loss.

        Args:
            embeddings: `(N, dim)`, any length, which counts.
            labels: `(N,)` integers below `classes`.
            triplets: A miner's, to weight photos by; see `mean_cross_entropy`.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            exact = torch.promote_types(embeddings.dtype, torch.float32)
            weight, bias = self.classifier.weight.to(exact), self.classifier.bias.to(exact)
            return mean_cross_entropy(linear(embeddings.to(exact), weight, bias), labels, triplets)
