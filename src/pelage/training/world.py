"""World: several processes share each batch and end, up to rounding, with what one alone would have learnt.

Each process shows its share of a batch to its own copy of the network. Embeddings are gathered together with the way
back for their gradients, so every process has the loss of the whole batch; batch norm has the statistics of the whole
batch (Ioffe and Szegedy, ICML 2015), and torch's DistributedDataParallel averages gradients over processes while others
are still computed. What the network itself draws (dropout) each process draws for itself.

Lightning Fabric starts the processes, or takes up those that torchrun started, and carries tensors between them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
from timm.layers import convert_sync_batchnorm
from torch import Tensor, distributed, nn
from torch.nn.functional import batch_norm, pad
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from pelage.common.errors import PelageError

T = TypeVar("T")


class World:
    """The processes of one training.

    Args:
        fabric: A launched `lightning_fabric.Fabric`; None is one process alone.

    Attributes:
        size: Number of processes.
        rank: Number of this one, from 0.
        first: This one keeps checkpoints and writes the outputs.
    """

    def __init__(self, fabric: Any = None) -> None:
        self._fabric = fabric
        self.size: int = 1 if fabric is None else fabric.world_size
        self.rank: int = 0 if fabric is None else fabric.global_rank
        self.first = self.rank == 0
        self._on_gpu = fabric is not None and fabric.device.type == "cuda"
        self._shared_norms = nullcontext() if fabric is None or self._on_gpu else _SharedBatchNorm(fabric)

    def share(self, chosen: np.ndarray) -> slice:
        """Return which of a batch's photos are this process's: shares differ by one photo at most.

        Raises:
            PelageError: There are more processes than photos.
        """
        if len(chosen) < self.size:
            raise PelageError(
                f"A batch has {len(chosen)} photos for {self.size} processes. Lower train.processes in params.yaml, or "
                "raise train.identities_per_batch or train.photos_per_identity."
            )
        bounds = [rank * len(chosen) // self.size for rank in (self.rank, self.rank + 1)]
        return slice(*bounds)

    def synchronised(self, network: nn.Module) -> nn.Module:
        """Return `network` with torch's synchronised batch norms where a GPU computes; names of tensors stay.

        timm converts them, because its norms hold activations, which torch's own conversion leaves out.
        """
        return convert_sync_batchnorm(network) if self._on_gpu else network

    def averaging(self, module: nn.Module) -> nn.Module:
        """Return what is called like `module` and on whose way back gradients become their means over processes.

        Parameters may be without a gradient for a time (a frozen backbone), or for ever (layers that pooling leaves
        out), so torch looks for them, and warns where there are none. Buckets are then the same in each step, and a
        training that goes on rounds as one that was never ended. Where batches are accumulated, each one's gradients
        are averaged.
        """
        if self._fabric is None:
            return module
        return DistributedDataParallel(module, find_unused_parameters=True)

    def embed(self, network: Callable[[Tensor], Tensor], pixels: Tensor, total: int) -> Tensor:
        """Return the `(total, D)` embeddings of a whole batch, of which `pixels` are this process's share."""
        with self._shared_norms:
            points = network(pixels)
        if self._fabric is None:
            return points
        most = -(-total // self.size)
        gathered = self._fabric.all_gather(pad(points, (0, 0, 0, most - len(points))), sync_grads=True)
        sizes = np.diff([rank * total // self.size for rank in range(self.size + 1)])
        return torch.cat([part[:size] for part, size in zip(gathered, sizes, strict=True)])

    def batches(self, total: int, size: int) -> slice:
        """Return which of `total` rows, taken in batches of `size`, are this process's: whole batches, maybe none.

        So each batch is one that a process alone would have taken, and its numbers are the same to the byte.
        """
        count = -(-total // size)
        return slice(*(size * (rank * count // self.size) for rank in (self.rank, self.rank + 1)))

    def collect(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of all processes, in their order; of a process that has none they may have any width."""
        if self._fabric is None:
            return rows
        parts: list[Any] = [None] * self.size
        distributed.all_gather_object(parts, rows)
        return np.concatenate([part for part in parts if len(part)])

    def agree(self, value: T) -> T:
        """Return the `value` of the first process."""
        return value if self._fabric is None else self._fabric.broadcast(value)


ALONE = World()


def join(device: torch.device, processes: int) -> tuple[World, torch.device]:
    """Start the other processes, or find out that torchrun has started them.

    Each of them runs the whole script; only the first one prints.

    Args:
        device: Kind of device that each process has one of.
        processes: Wanted number; torchrun's own number counts more.

    Returns:
        The processes, and the device of this one.

    Raises:
        PelageError: There are not that many CUDA devices.
    """
    local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    nodes = int(os.environ.get("WORLD_SIZE", local)) // local
    if local * nodes == 1:
        return World(), device
    if device.type == "cuda" and local > torch.cuda.device_count():
        raise PelageError(
            f"params.yaml: train.processes is {local}, but torch sees {torch.cuda.device_count()} CUDA devices. Lower "
            "it, or set compute.device to cpu."
        )
    from lightning_fabric import Fabric  # not needed by one process

    fabric = Fabric(accelerator=device.type, devices=local, num_nodes=nodes, strategy="ddp")
    fabric.launch()
    world = World(fabric)
    if not world.first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return world, fabric.device


class _SharedBatchNorm(TorchFunctionMode):
    """Within it `batch_norm` that takes statistics takes those of the batch of all processes.

    For the CPU, where torch's `SyncBatchNorm` refuses to work. Statistics are merged from the mean and variance of each
    share (Chan, Golub and LeVeque, 1979).
    """

    def __init__(self, fabric: Any) -> None:
        super().__init__()
        self._fabric = fabric

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is batch_norm and kwargs["training"]:
            return self._normalise(*args, **kwargs)
        return function(*args, **kwargs)

    def _normalise(
        self,
        features: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        weight: Tensor,
        bias: Tensor,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        values = features.to(torch.promote_types(features.dtype, torch.float32))
        axes = [0, *range(2, values.ndim)]
        own = torch.var_mean(values, axes, correction=0)
        count = torch.full_like(own[0], values.numel() / values.shape[1])
        variances, means, counts = self._fabric.all_gather(torch.stack([*own, count]), sync_grads=True).unbind(1)
        total = counts.sum(0)
        mean = (counts * means).sum(0) / total
        variance = (counts * (variances + (means - mean).square())).sum(0) / total
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * total / (total - 1), momentum)
        scale = weight * torch.rsqrt(variance + eps)
        shape = [1, -1] + [1] * (values.ndim - 2)
        return ((values - mean.view(shape)) * scale.view(shape) + bias.view(shape)).to(features.dtype)
