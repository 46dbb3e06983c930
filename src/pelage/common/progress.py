"""The one progress bar, silent in logs and in the tasks of workers, and the count of what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

in_task: ContextVar[bool] = ContextVar("in_task", default=False)
"""Whether this is the task of a worker (`workers`), which does as many at once as it has cores: each has one."""

DONE: Counter[str] = Counter()
"""Items of this process's loops so far, by description."""


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` and count them in `DONE`, with a bar on standard error when that is a terminal."""
    for item in tqdm(items, desc=description, total=total, disable=in_task.get() or None, leave=False):
        yield item
        DONE[description] += 1
