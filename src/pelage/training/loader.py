"""Loader: batches that are made ahead of the network, by threads, or by processes where a GPU learns.

A good part of what changes a crop happens in Python, one thread at a time. On 16 cores beside an H100 one thread made
656 crops of 384 x 192 pixels a second, 4 made 1469 and 16 no more, where the GPU learns from 3175 (EfficientNet-Lite0,
bfloat16). Processes do not wait for one another; on two cores they would only cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pelage.common.parallel import cores, parallel_map

T = TypeVar("T")

AHEAD = 2
"""Batches that a process makes ahead."""


def made_ahead(
    make: Callable[[T], tuple[np.ndarray, np.ndarray]], turns: Iterable[T], workers: int, processes: bool
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield for each turn, in their order, what is learnt and its images.

    Args:
        make: Returns the places of a batch, and the images `(B, H, W, C)` uint8 of this process's share of it.
        turns: Without end, if need be; close what is returned when no more batches are needed.
        workers: Threads or processes; 0 takes all cores.
        processes: Have processes make them, into memory that a GPU copies from by itself. They are forked where the
            system can do that.
    """
    workers = workers or cores()
    if not processes:
        yield from ((chosen, torch.from_numpy(images)) for chosen, images in parallel_map(make, turns, workers))
        return
    context = "fork" if "fork" in torch.multiprocessing.get_all_start_methods() else None
    yield from DataLoader(
        _Made(make),
        batch_size=None,
        sampler=turns,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=AHEAD,
        multiprocessing_context=context,
        worker_init_fn=_alone,
    )


class _Made(Dataset):
    """What torch's loader asks for a turn."""

    def __init__(self, make: Callable[[T], tuple[np.ndarray, np.ndarray]]) -> None:
        self._make = make

    def __getitem__(self, turn: T) -> tuple[np.ndarray, Tensor]:
        chosen, images = self._make(turn)
        return chosen, torch.from_numpy(images)


def _as_it_is(item: tuple[np.ndarray, Tensor]) -> tuple[np.ndarray, Tensor]:
    return item


def _alone(worker: int) -> None:
    cv2.setNumThreads(0)  # threads of OpenCV do not survive a fork
