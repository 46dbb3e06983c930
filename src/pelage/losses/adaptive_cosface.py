"""Adaptive-margin CosFace: CosFace whose margin grows with the distance from the poles.

From the leopard paper (see README): the true class's logit is `s (cos t - m h(t))`, and
`h(t) = ((1 - cos^2 t)^4 + 0.1) / 1.1`. CosFace (Wang et al., CVPR 2018, equation 4) is the case h = 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from pelage.losses.mining import Triplets, mean_cross_entropy


def margin_shape(cosine: Tensor) -> Tensor:
    """Return h(t) of cos t: 1 at 90 degrees, 1/11 at 0 and 180, symmetric, smooth everywhere."""
    return ((1 - cosine.square()).pow(4) + 0.1) / 1.1


class AdaptiveCosFaceLoss(nn.Module):
    """Cross-entropy over scaled cosines to learnt class centres, less a margin on the true class.

    Computed in float32 (float64 stays), whatever autocast says: a margin of 0.28 on a cosine needs more than bf16's
    eight bits.

    Args:
        classes: Number of classes.
        dim: Length of an embedding.
        margin: m, as a cosine.
        scale: s.
        shape: h as a function of the cosine, elementwise.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        margin: float = 0.28,
        scale: float = 64.0,
        shape: Callable[[Tensor], Tensor] = margin_shape,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, dim))
        self.margin = margin
        self.scale = scale
        self.shape = shape

    def forward(self, embeddings: Tensor, labels: Tensor, triplets: Triplets | None = None) -> Tensor:
        """Return the mean loss.

        Args:
            embeddings: `(N, dim)`, any length.
            labels: `(N,)` integers below `classes`.
            triplets: A miner's, to weight photos by; see `mean_cross_entropy`.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            exact = torch.promote_types(embeddings.dtype, torch.float32)
            cosine = linear(normalize(embeddings.to(exact)), normalize(self.weight.to(exact)))
            true = cosine.gather(1, labels[:, None])
            logits = cosine.scatter(1, labels[:, None], true - self.margin * self.shape(true))
            return mean_cross_entropy(self.scale * logits, labels, triplets)
