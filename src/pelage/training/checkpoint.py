"""Checkpoints: a training that is killed and started again ends with the same bytes as one that was left alone.

They live outside DVC's outputs, in a folder named by everything that the result depends on, and are replaced
atomically after each epoch: one file with the weights, their moving average, optimizer, schedule, scaler, the best
weights so far, and the history. Whatever is random in an epoch (sampler, augmentation, dropout) follows from the seed
and the epoch's number (see `loop`); so the epoch is the sampler's position, and no generator has a state to keep.
"""

from __future__ import annotations

import fcntl
import json
import pickle
from collections.abc import Iterable
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

import pelage
from pelage.common.files import sha256_bytes, sha256_file, write_bytes

SOURCES = ("common", "losses", "model", "split", "training")
"""Rooms whose code a training runs."""

LIBRARIES = ("torch", "timm", "pytorch-metric-learning", "opencv-python", "numpy")


def fingerprint(*depends: Any, rooms: Iterable[str] = SOURCES) -> str:
    """Return 16 hex digits that change with any of `depends` (JSON), the code of `rooms`, and the libraries."""
    root = Path(pelage.__file__).parent
    code = [sha256_file(path) for room in rooms for path in sorted((root / room).glob("*.py"))]
    versions = [version(name) for name in LIBRARIES]
    return sha256_bytes(json.dumps([depends, code, versions], sort_keys=True).encode())[:16]


def joint_digest(digests: Iterable[str]) -> str:
    """Return one hash of many, in their order."""
    return sha256_bytes("\n".join(digests).encode())


class Checkpoint:
    """The state of one training, held by one process at a time.

    Use as a context manager: entering waits until no other process (an orphan of a killed run, say) trains the same.

    Args:
        folder: Named by fingerprint, in one named by variant.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "last.pt"

    def __enter__(self) -> Checkpoint:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self._folder / "lock", "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that trains the same ({self._folder})", flush=True)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        for torn in self._folder.glob(".last.pt.*"):  # left by a process that was killed while it saved
            torn.unlink()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.close()

    def load(self) -> dict[str, Any] | None:
        """Return what was saved last, on the CPU; None if there is nothing, of another training or unreadable."""
        try:
            content = torch.load(self._file, map_location="cpu", weights_only=True)
            if content["fingerprint"] == self._folder.name:
                return content["state"]
            print(f"{self._file} is of other parameters, data or code: the training starts afresh")
        except FileNotFoundError:
            if any(self._folder.parent.glob("*/last.pt")):
                print(
                    f"the checkpoints in {self._folder.parent} are of other parameters, data or code: the training "
                    "starts afresh"
                )
        except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            print(f"{self._file} cannot be read ({type(error).__name__}): the training starts afresh")
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Save tensors, numbers, texts, lists and dictionaries, and whose they are, atomically."""
        buffer = BytesIO()
        torch.save({"fingerprint": self._folder.name, "state": state}, buffer)
        write_bytes(self._file, buffer.getvalue())
