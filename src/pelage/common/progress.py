"""The one progress bar: shown on a terminal, silent in logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, with a bar on standard error when that is a terminal."""
    return iter(tqdm(items, desc=description, total=total, disable=None, leave=False))
