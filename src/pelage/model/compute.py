"""Compute: the device, and settings under which the same seed gives the same bytes."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

from pelage.common.errors import PelageError
from pelage.common.parallel import cores
from pelage.common.params import choose

DEVICES = ("auto", "cpu", "cuda")

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Options of glibc's `mallopt` (malloc.h)."""


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
    _keep_memory()
    return chosen


def _keep_memory() -> None:
    """Have glibc keep what torch frees for what torch asks for next.

    It would return each large array to the kernel, and fresh pages take as long as a small network's own work. The
    performance guide of PyTorch exchanges the allocator for this reason. Other C libraries have no such option.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
