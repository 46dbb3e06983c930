"""Compute: the device, and settings under which the same seed gives the same bytes."""

from __future__ import annotations

import os

import torch

from pelage.common.errors import PelageError
from pelage.common.parallel import cores
from pelage.common.params import choose

DEVICES = ("auto", "cpu", "cuda")


def prepare(device: str, threads: int) -> torch.device:
    """Choose the device and make torch deterministic on it.

    The last digits of a sum depend on how many threads share it, so the number of threads is a parameter and does not
    follow the machine or its load.

    Args:
        device: auto (CUDA when there is one) | cpu | cuda.
        threads: CPU threads; 0 takes all cores.

    Raises:
        PelageError: `cuda` is asked for and there is none.
    """
    choose(device, DEVICES, "compute.device")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads or cores())
    torch.utils.deterministic.fill_uninitialized_memory = False
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise PelageError("params.yaml: compute.device is cuda, but torch sees no CUDA device. Set it to auto or cpu.")
    chosen = torch.device("cuda" if available and device != "cpu" else "cpu")
    torch.use_deterministic_algorithms(True, warn_only=chosen.type == "cuda")
    torch.backends.cudnn.benchmark = False
    return chosen
