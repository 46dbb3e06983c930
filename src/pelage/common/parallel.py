"""Work on many images with all cores, results in the order of the input whatever the number of workers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2

from pelage.common.progress import in_task

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Return the number of cores that this process may use."""
    if in_task.get():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(function: Callable[[T], R], items: Iterable[T], workers: int | None = None) -> Iterator[R]:
    """Yield `function(item)` for each item, in order, computed by threads.

    Image decoding, OpenCV and ONNX Runtime release the interpreter's lock, so threads use all cores without copying
    images between processes. OpenCV's own threads are switched off meanwhile. At most four results a worker wait;
    `items` may go on without end, and what is not asked for any more is not worked on.
    """
    workers = workers or cores()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    waiting: deque = deque()
    try:
        with ThreadPoolExecutor(workers) as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(function, item))
                    if len(waiting) >= 4 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for task in waiting:
                    task.cancel()
    finally:
        cv2.setNumThreads(before)
