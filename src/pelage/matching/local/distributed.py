"""Matching on several machines: a matcher's own scoring of queries, given to the workers of a dask cluster in blocks.

Workers need the same pelage and nothing else: features travel with the work. Each query is scored on its own, so the
blocks change no result. What a dead worker had in hand is given to another one (dask's retries).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pelage.common.errors import PelageError
from pelage.common.parallel import cores
from pelage.common.params import choose
from pelage.common.progress import track
from pelage.matching.local.ranking import Score, Scores

if TYPE_CHECKING:
    from distributed import Client

BACKENDS = ("local", "dask")
BLOCKS_A_WORKER = 4
RETRIES = 3
PATIENCE_S = 10
"""Seconds in which a scheduler has to answer."""


@contextmanager
def scored_by(score: Score, backend: str, scheduler: str) -> Iterator[Score]:
    """Yield `score`, or what does the same on a dask cluster, as sections `compute.backend` and `.scheduler` say.

    Args:
        score: How a matcher scores queries against a gallery.
        backend: local | dask.
        scheduler: Address of a dask scheduler, such as `tcp://10.0.0.1:8786`; empty: a cluster of this machine's own,
            one worker process a core.

    Raises:
        PelageError: The backend is unknown, or no scheduler or worker answers there.
    """
    if choose(backend, BACKENDS, "compute.backend") == "local":
        yield score
        return
    with _connect(scheduler) as client:
        yield lambda *work: _spread(client, score, *work)


@contextmanager
def _connect(scheduler: str) -> Iterator[Client]:
    from distributed import Client, LocalCluster  # slow to import

    if not scheduler:
        own = LocalCluster(n_workers=cores(), threads_per_worker=1, dashboard_address=None)
        with own, Client(own) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=PATIENCE_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise PelageError(
            f"params.yaml: compute.scheduler is {scheduler!r}, but no dask scheduler answers there ({error}). Start "
            "one with `dask scheduler` and workers with `dask worker ADDRESS`, or set compute.backend to local."
        ) from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise PelageError(f"The dask scheduler {scheduler} has no workers. Start some: `dask worker {scheduler}`.")
        yield client


def _spread(
    client: Client,
    score: Score,
    queries: Sequence[Any],
    gallery: Sequence[Any],
    permitted: np.ndarray,
    identity: np.ndarray,
) -> Scores:
    workers = max(len(client.scheduler_info()["workers"]), 1)
    blocks = np.array_split(np.arange(len(queries)), min(BLOCKS_A_WORKER * workers, max(len(queries), 1)))
    # made by a task, not scattered: when the worker that holds it dies, the task is run again
    shared = client.submit(_together, gallery, identity, pure=False, retries=RETRIES)
    futures = [
        client.submit(
            _score, score, [queries[place] for place in block], permitted[block], shared, pure=False, retries=RETRIES
        )
        for block in blocks
    ]
    parts = [future.result() for future in track(futures, "match")]
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
    return score(queries, shared[0], permitted, shared[1])
