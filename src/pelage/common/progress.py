"""The one progress bar: shown on a terminal, silent in logs; and the count of what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


DONE: Counter[str] = Counter()
"""Items of this process's loops so far, by description."""


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` and count them in `DONE`, with a bar on standard error when that is a terminal."""
    for item in tqdm(items, desc=description, total=total, disable=None, leave=False):
        yield item
        DONE[description] += 1
