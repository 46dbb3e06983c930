"""Batches made ahead: the same by threads and by processes, in order, without end, and no work is left behind."""

import itertools
import multiprocessing
import os
import threading

import numpy as np
import pytest

from pelage.common.errors import PelageError
from pelage.training.loader import made_ahead


def make(turn: int) -> tuple[np.ndarray, np.ndarray]:
    if turn == 13:
        raise PelageError("the share is too small")
    rng = np.random.default_rng(turn)
    return np.array([turn, os.getpid()]), rng.integers(0, 256, (2, 4, 4, 3), np.uint8)


def at_work() -> set:
    """Processes of this one, and threads of pools; torch keeps a thread of its own once it has shared a tensor."""
    pools = {thread for thread in threading.enumerate() if thread.name.startswith("ThreadPool")}
    return pools | set(multiprocessing.active_children())


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_come_in_order_and_without_end(processes, workers):
    before = at_work()
    stream = made_ahead(make, itertools.count(20), workers, processes)
    for turn, (chosen, images) in zip(range(20, 40), stream, strict=False):
        assert chosen[0] == turn and np.array_equal(images.numpy(), make(turn)[1])
        assert (chosen[1] == os.getpid()) != processes
    stream.close()
    assert at_work() <= before


@pytest.mark.parametrize("processes", [False, True])
def test_what_goes_wrong_there_is_told_here(processes):
    stream = made_ahead(make, itertools.count(11), 2, processes)
    assert [next(stream)[0][0], next(stream)[0][0]] == [11, 12]
    with pytest.raises(PelageError, match="the share is too small"):
        next(stream)
    stream.close()
