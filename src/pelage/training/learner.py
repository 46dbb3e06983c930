"""Learner: the embedder, its loss, the moving average of its weights, and how they are changed.

Where a moving average is kept (Polyak and Juditsky, 1992), it is what is validated and exported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from pelage.losses.registry import create_loss
from pelage.model.backbone import load_weights
from pelage.model.embedder import Embedder
from pelage.training.optimisation import Optimisation, autocast_dtype
from pelage.training.variant import Variant
from pelage.training.world import World


class _Objective(nn.Module):
    """From this process's share of a batch to the loss of the whole; it holds all that learns.

    Args:
        embedder: Gives points.
        loss: Of points and labels.
        forward: The embedder, or what was compiled of it.
        world: The processes that share each batch.
    """

    def __init__(self, embedder: nn.Module, loss: nn.Module, forward: Callable[[Tensor], Tensor], world: World) -> None:
        super().__init__()
        self.embedder, self.loss = embedder, loss
        self._forward, self._world = forward, world

    def forward(self, pixels: Tensor, targets: Tensor) -> Tensor:
        return self.loss(self._world.embed(self._forward, pixels, len(targets)), targets)


class Learner:
    """What learns in one training.

    Args:
        variant: Sections `model`, `loss` and `train` of the parameters.
        labels: Number of training labels.
        weights: Tensors for the backbone by timm's names; None starts from torch's generator.
        steps: Steps of the whole training.
        device: Where.
        world: The processes that share each batch.

    Raises:
        PelageError: A parameter is not what it may be, or the weights do not fit.
    """

    def __init__(
        self,
        variant: Variant,
        labels: int,
        weights: Mapping[str, Tensor] | None,
        steps: int,
        device: torch.device,
        world: World,
    ) -> None:
        config = variant.train
        embedder = Embedder(variant.model, variant.channels)
        loss = create_loss(variant.loss, labels, embedder.dim)
        if weights is not None:
            start, edges = variant.model["weights"], variant.model.get("edge_filters", "zeros")
            print(f"{variant.name}: {start}: {load_weights(embedder.backbone, weights, start, edges)}")
        self._config, self._device = config, device
        self._format = torch.channels_last if config["channels_last"] else torch.contiguous_format
        self._precision = autocast_dtype(config["precision"], device)
        self.embedder = world.synchronised(embedder.to(device, memory_format=self._format))
        self.loss = loss.to(device)
        self.ema = ModelEmaV3(self.embedder, config["ema"], use_warmup=True) if config["ema"] > 0 else None
        forward = torch.compile(self.embedder) if config["compile"] else self.embedder
        self._thawing = [parameter for parameter in embedder.backbone.parameters() if parameter.requires_grad]
        self._parts = _Objective(self.embedder, self.loss, forward, world)
        self._objective = world.averaging(self._parts)
        self.optimisation = Optimisation(embedder.backbone, self._parts, config, steps, device)

    @property
    def learnt(self) -> nn.Module:
        """The embedder that is validated and exported."""
        return self.embedder if self.ema is None else self.ema.module

    @property
    def finite(self) -> bool:
        """Whether all weights are numbers still."""
        return all(parameter.isfinite().all() for parameter in self._parts.parameters())

    def begin(self, epoch: int) -> None:
        """Switch to training what is trained in `epoch`: a frozen backbone keeps its weights and statistics."""
        frozen = epoch < self._config["freeze_backbone"]
        for parameter in self._thawing:
            parameter.requires_grad_(not frozen)
        self.loss.begin(epoch, self._config["seed"])
        self.embedder.train()
        if frozen:
            self.embedder.backbone.eval()
        if self._config["freeze_norm"]:
            for module in self.embedder.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def loss_of(self, images: Tensor, labels: np.ndarray) -> Tensor:
        """Return the loss of a batch.

        Args:
            images: `(B, H, W, C)` uint8, this process's share of the batch.
            labels: `(N,)` integers, of the whole batch.
        """
        pixels = images.to(self._device, non_blocking=True).permute(0, 3, 1, 2).contiguous(memory_format=self._format)
        targets = torch.from_numpy(labels).to(self._device)
        with torch.autocast(self._device.type, self._precision, enabled=self._precision is not None):
            return self._objective(pixels, targets)

    def add(self, loss: Tensor, share: float) -> None:
        """Add the gradient of a batch, which is `share` of the step's photos."""
        self.optimisation.add(loss, share)

    def step(self, number: int) -> float:
        """Take step `number` of the training, from 0, along what was added; return the learning rate of the head."""
        rate = self.optimisation.step(number)
        if self.ema is not None:
            self.ema.update(self.embedder, step=number + 1)
        return rate

    def judged(self, value: float) -> None:
        """Take note of a validation: `value`, higher is better."""
        self.optimisation.schedule.judged(value)

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and numbers of all that the next step needs."""
        return {
            "model": self.embedder.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "loss": self.loss.state_dict(),
            **self.optimisation.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.embedder.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        self.loss.load_state_dict(state["loss"])
        self.optimisation.load_state_dict(state)


def as_it_is(variant: Variant, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a network that is not to learn anything: its backbone has the weights as they are.

    Args:
        variant: Its section `model` has no head.
        weights: Tensors for the backbone by timm's names.
    """
    embedder = Embedder(variant.model, variant.channels)
    edges = variant.model.get("edge_filters", "zeros")
    load_weights(embedder.backbone, weights, variant.model["weights"], edges)
    return embedder.state_dict()
