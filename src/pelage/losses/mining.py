"""Mining: which pairs and triplets of a batch a loss looks at, and how far apart two photos are.

Miners and distances are pytorch-metric-learning's. Embeddings are L2-normalised before they are compared.
"""

from __future__ import annotations

from functools import partial

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity, LpDistance
from pytorch_metric_learning.miners import BaseMiner, BatchHardMiner, TripletMarginMiner
from pytorch_metric_learning.utils.loss_and_miner_utils import convert_to_weights
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pelage.common.seeds import derive

DISTANCES = {"l2": LpDistance, "l2_squared": partial(LpDistance, power=2), "cosine": CosineSimilarity}
"""The Euclidean distance (0 to 2), its square (0 to 4), or 1 - cos (0 to 2), which the library counts as the similarity
cos."""

MINERS = ("all", "easy", "semihard", "hard", "batch_hard", "one_semihard", "none")
"""Triplets by how much further the negative is than the positive: `all` at most the margin, and of these `semihard`
above 0 and `hard` at most 0 (FaceNet; Schroff et al., CVPR 2015); `easy` more than the margin. `batch_hard` is one
triplet an anchor, of its furthest positive and its nearest negative (Hermans et al., 2017, equation 5). `one_semihard`
is one triplet a pair, see `OneNegative`. `none` leaves every pair or triplet to the loss."""

MARGIN_MINERS = ("all", "easy", "semihard", "one_semihard")
"""Miners that a margin matters to."""

Triplets = tuple[Tensor, Tensor, Tensor]
"""Places in the batch of anchors, positives and negatives, each `(T,)`."""


def create_distance(name: str) -> BaseDistance:
    """Create the distance `name`, a key of `DISTANCES`, of embeddings that it first gives length 1."""
    return DISTANCES[name]()


class OneNegative(nn.Module):
    """One negative for each pair of photos of a class, as the leopard study mines (see README).

    In the first epochs it is any photo of another class; then one that is further than the positive by less than the
    margin, drawn by 1 / distance, and a pair that has none is left out. The earlier photo of a pair is its anchor.

    Args:
        margin: In the unit of `distance`.
        distance: A key of `DISTANCES`.
        random_epochs: First epochs of random negatives.
    """

    def __init__(self, margin: float, distance: str, random_epochs: int = 0) -> None:
        super().__init__()
        self.distance = create_distance(distance)
        self._margin, self._random_epochs = margin, random_epochs
        self._random = False
        self._generator = torch.Generator()

    def begin(self, epoch: int, seed: int) -> None:
        """Begin an epoch, from 0, whose draws follow from it and the seed, the same in all processes."""
        self._random = epoch < self._random_epochs
        self._generator.manual_seed(derive(seed, "negatives", epoch))

    @torch.no_grad()
    def forward(self, embeddings: Tensor, labels: Tensor) -> Triplets:
        """Return the triplets of embeddings `(N, D)` with labels `(N,)`."""
        far = self.distance(embeddings)
        far = 1 - far if self.distance.is_inverted else far
        same = labels[:, None] == labels
        anchors, positives = same.triu(diagonal=1).nonzero(as_tuple=True)
        wanted = ~same[anchors]
        if self._random:
            weights = wanted.double()
        else:
            near = far[anchors, positives][:, None]
            wanted &= (far[anchors] > near) & (far[anchors] < near + self._margin)
            weights = wanted / far[anchors].double().clamp(min=1e-6)
        kept = wanted.any(dim=1)
        anchors, positives, weights = anchors[kept], positives[kept], weights[kept]
        if not len(anchors):
            return anchors, positives, anchors
        negatives = torch.multinomial(weights.cpu(), 1, generator=self._generator).squeeze(1)
        return anchors, positives, negatives.to(anchors.device)


def create_miner(name: str, margin: float, distance: str, random_epochs: int = 0) -> BaseMiner | OneNegative | None:
    """Create a miner: a module that turns embeddings `(N, D)` and labels `(N,)` into `Triplets`.

    Args:
        name: One of `MINERS`.
        margin: What `MARGIN_MINERS` compare with, in the unit of `distance`.
        distance: A key of `DISTANCES`.
        random_epochs: First epochs in which `one_semihard` takes random negatives.

    Returns:
        None for `none`.
    """
    if name == "none":
        return None
    if name == "one_semihard":
        return OneNegative(margin, distance, random_epochs)
    if name == "batch_hard":
        return BatchHardMiner(distance=create_distance(distance))
    return TripletMarginMiner(margin, type_of_triplets=name, distance=create_distance(distance))


class MinedLoss(nn.Module):
    """A loss with its miner, in float32 (float64 stays) whatever autocast says.

    Args:
        loss: Called with embeddings, labels and, if there is a miner, its triplets.
        miner: See `create_miner`.
    """

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner

    def begin(self, epoch: int, seed: int) -> None:
        """Begin an epoch, from 0, of a training of this seed."""
        if isinstance(self.miner, OneNegative):
            self.miner.begin(epoch, seed)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar, of embeddings `(N, D)` with integer labels `(N,)`.

        A batch without any triplet costs 0, whatever the loss, and still has a gradient, of zeros.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
            if self.miner is None:
                return self.loss(embeddings, labels)
            triplets = self.miner(embeddings, labels)
            if len(triplets[0]):
                return self.loss(embeddings, labels, triplets)
            # the library gives photos without any triplet full weight in losses of classes
            return sum(values.sum() * 0 for values in (embeddings, *self.loss.parameters()))


def mean_cross_entropy(logits: Tensor, labels: Tensor, triplets: Triplets | None = None) -> Tensor:
    """Return the mean cross-entropy of logits `(N, C)`, each photo weighted as pytorch-metric-learning does.

    Args:
        logits: `(N, C)`.
        labels: `(N,)` integers below C.
        triplets: At least one. A photo's weight is the number of its places in them, divided by that of the photo with
            most; without them it is 1.
    """
    if triplets is None:
        return cross_entropy(logits, labels)
    weights = convert_to_weights(triplets, labels, logits.dtype)
    return (weights * cross_entropy(logits, labels, reduction="none")).mean()
