"""Checkpoints: a training that is killed and started again ends with the same bytes as one that was left alone.

They live outside DVC's outputs, in a folder named by everything that the result depends on, and are replaced
atomically after each epoch: one file with the weights, their moving average, optimizer, schedule, scaler, the best
weights so far, and the history. Whatever is random in an epoch (sampler, augmentation, dropout) follows from the seed
and the epoch's number (see `loop`); so the epoch is the sampler's position, and no generator has a state to keep.

A thread writes them while the next epoch is learnt; an epoch that ends before the last one is written may be left out,
since a training that goes on from an earlier one ends with the same bytes.
"""

from __future__ import annotations

import copy
import fcntl
import json
import pickle
import shutil
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

import cv2
import torch

import pelage
from pelage.common.files import sha256_bytes, sha256_file, write_bytes

SOURCES = ("common", "losses", "model", "split", "training")
"""Rooms whose code a training runs."""

LIBRARIES = ("torch", "timm", "pytorch-metric-learning", "numpy")


KEPT = 8
"""Trainings of a variant and seed whose checkpoints are kept, those that were written last."""


def fingerprint(*depends: Any, rooms: Iterable[str] = SOURCES) -> str:
    """Return 16 hex digits that change with any of `depends` (JSON), the code of `rooms`, and the libraries."""
    root = Path(pelage.__file__).parent
    code = [sha256_file(path) for room in rooms for path in sorted((root / room).glob("*.py"))]
    versions = [cv2.__version__, *(version(name) for name in LIBRARIES)]
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
        self._latest: dict[str, Any] | None = None
        self._guard = Lock()
        self._tasks: list[Future] = []

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
        self._forget_old()
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._writer.shutdown()
            if error is None:
                self._written()
        finally:
            self._lock.close()

    def _forget_old(self) -> None:
        """Delete what is left of trainings with other parameters, data or code, but for the last `KEPT` and those that
        a process holds."""
        others = [file for file in self._folder.parent.glob("*/last.pt") if file != self._file]
        for file in sorted(others, key=lambda file: (file.stat().st_mtime, file))[: -(KEPT - 1)]:
            with suppress(OSError), open(file.with_name("lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(file.parent)

    def load(self) -> dict[str, Any] | None:
        """Return what was saved last, on the CPU; None if there is nothing, of another training or unreadable."""
        self._written()
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
        """Have tensors, numbers, texts, lists and dictionaries written, and whose they are, atomically.

        Raises:
            OSError: An earlier state could not be written.
        """
        while self._tasks and self._tasks[0].done():
            self._tasks.pop(0).result()
        with self._guard:
            self._latest = copy.deepcopy(state)
        self._tasks.append(self._writer.submit(self._write))

    def _write(self) -> None:
        """Write the latest state, unless that has been done."""
        with self._guard:
            state, self._latest = self._latest, None
        if state is not None:
            buffer = BytesIO()
            torch.save({"fingerprint": self._folder.name, "state": state}, buffer)
            write_bytes(self._file, buffer.getvalue())

    def _written(self) -> None:
        """Wait until all is written."""
        while self._tasks:
            self._tasks.pop(0).result()
