"""Matching on several machines: a matcher's own scoring of queries, given to the workers of a dask cluster in blocks.

Workers need the same pelage and nothing else: features travel with the work. Each query is scored on its own, so the
blocks change no result. What a dead worker had in hand is given to another one (dask's retries).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pelage.common.params import choose
from pelage.common.progress import in_task, track
from pelage.common.workers import BACKENDS, RETRIES, connect, result_of
from pelage.matching.local.ranking import Score, Scores

if TYPE_CHECKING:
    from distributed import Client

BLOCKS_A_WORKER = 4


@contextmanager
def scored_by(score: Score, backend: str, scheduler: str) -> Iterator[Score]:
    """Yield `score`, or what does the same on a dask cluster, as sections `compute.backend` and `.scheduler` say.

    Args:
        score: How a matcher scores queries against a gallery.
        backend: local | dask.
        scheduler: See `workers.connect`.

    Raises:
        PelageError: The backend is unknown, or no scheduler or worker answers there.
    """
    if choose(backend, BACKENDS, "compute.backend") == "local":
        yield score
        return
    with connect(scheduler) as client:
        yield lambda *work: _spread(client, score, *work)


def _spread(
    client: Client,
    score: Score,
    queries: Sequence[Any],
    gallery: Sequence[Any],
    permitted: np.ndarray,
    identity: np.ndarray,
) -> Scores:
    workers = max(len(client.nthreads()), 1)
    blocks = np.array_split(np.arange(len(queries)), min(BLOCKS_A_WORKER * workers, max(len(queries), 1)))
    # made by a task, not scattered: when the worker that holds it dies, the task is run again
    shared = client.submit(_together, gallery, identity, pure=False, retries=RETRIES)
    futures = [
        client.submit(
            _score, score, [queries[place] for place in block], permitted[block], shared, pure=False, retries=RETRIES
        )
        for block in blocks
    ]
    parts = [result_of(future) for future in track(futures, "match")]
    agreed: Mapping[tuple[int, int], np.ndarray] = {
        (int(block[query]), crop): found
        for block, part in zip(blocks, parts, strict=True)
        for (query, crop), found in part.agreed.items()
    }
    total, verified = (np.concatenate([getattr(part, name) for part in parts]) for name in ("score", "verified"))
    return Scores(total, verified, agreed)


def _together(gallery: Sequence[Any], identity: np.ndarray) -> tuple[Sequence[Any], np.ndarray]:
    return gallery, identity


def _score(
    score: Score, queries: Sequence[Any], permitted: np.ndarray, shared: tuple[Sequence[Any], np.ndarray]
) -> Scores:
    in_task.set(True)
    return score(queries, shared[0], permitted, shared[1])
