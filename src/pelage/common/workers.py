"""Workers: a dask cluster works ahead of a stage, which then recalls from the memo what it would have to work out.

Workers call the functions that the stage calls itself, for a block of its rows each, and nothing but the memo takes
what they find (`memo`: files named by content, each put in place at once, so that nobody has to be asked for a lock).
Hence a stage has one way only, its bytes are those of a run without workers, a run that was killed goes on where it
ended, and what a dead worker had in hand is given to another one.

Scheduler and workers need the same pelage, and see the project and the cache (`files.cache_root`) at the same paths as
this machine does, on a file system that they share. A worker process serves one project at a time.
"""

from __future__ import annotations

import os
import pickle
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pelage.common.errors import PelageError
from pelage.common.files import cache_root
from pelage.common.parallel import cores
from pelage.common.params import choose
from pelage.common.progress import in_task, track

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

BACKENDS = ("local", "dask")
MOST = 128
"""Rows of a block at most: what is opened for a block, such as a network, is then opened for minutes of work."""

BLOCKS_A_CORE = 4
"""Blocks that a core of the cluster gets at least, so that all end at about the same time."""

WAITING = 3
"""Blocks a core that wait at the scheduler or are worked on; the others are not even made yet."""

RETRIES = 3
PATIENCE_S = 10
"""Seconds in which a scheduler has to answer."""

LOST_S = 120
"""Seconds after which a cluster of this machine gives up a lost worker, or itself if it has none. Elsewhere new ones
may still come."""

Ahead = Callable[..., None]
"""`ahead(work, rows, told, pack=..., most=...)`, see `workers`."""


@contextmanager
def workers(compute: Mapping[str, Any]) -> Iterator[Ahead]:
    """Give what has work done ahead by the workers of a cluster; with the backend `local` it does nothing.

    What is given is called as `ahead(work, rows, told)`: `rows`, a table or a sequence, are cut into blocks (of `most`
    rows at most), and a worker calls `work(pack(block))` for each, where `pack` runs here and may add what belongs to
    a block. Both `work` and blocks are pickled. What `work` returns is dropped: whatever it finds is in the memo.
    `told` stands before the bar.

    Args:
        compute: Section of the parameters: `backend` (local | dask) and `scheduler`, see `connect`.

    Raises:
        PelageError: The backend is unknown, no scheduler or worker answers, a worker does not see what this machine
            sees, or dies again and again; and whatever `work` raises as such.
    """
    if choose(compute["backend"], BACKENDS, "compute.backend") == "local":
        yield lambda *_, **__: None
        return
    with connect(compute["scheduler"]) as client, _mark() as mark:
        yield lambda *what, **how: _work_ahead(client, mark, *what, **how)


@contextmanager
def connect(scheduler: str) -> Iterator[Client]:
    """Give a client of a dask cluster.

    Args:
        scheduler: Address of a dask scheduler, such as `tcp://10.0.0.1:8786`; empty: a cluster of this machine's own,
            one worker process a core.

    Raises:
        PelageError: No scheduler or worker answers there.
    """
    from distributed import Client  # slow to import

    if not scheduler:
        with own_cluster(cores()) as own, Client(own) as client:
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
        if not client.nthreads():
            raise PelageError(f"The dask scheduler {scheduler} has no workers. Start some: `dask worker {scheduler}`.")
        yield client


@contextmanager
def own_cluster(count: int) -> Iterator[LocalCluster]:
    """Give a dask cluster of `count` worker processes of this machine, of one core each."""
    import dask
    from distributed import LocalCluster

    # a worker that was killed is begun anew, which may take a busy machine more than dask's 15 s
    lost = dict.fromkeys(("scheduler.no-workers-timeout", "deploy.lost-worker-timeout"), f"{LOST_S} s")
    with dask.config.set({f"distributed.{key}": seconds for key, seconds in lost.items()}):
        own = LocalCluster(n_workers=count, threads_per_worker=1, memory_limit=0, dashboard_address=":0")
        try:
            yield own
        finally:
            with suppress(TimeoutError):  # the work is done; workers that are slow to end do so with this process
                own.close()


def result_of(future: Future) -> Any:
    """Return the result of a task, or say in words why there is none.

    Raises:
        PelageError: Workers died again and again, or the scheduler is gone; what the task raised as such.
    """
    from distributed.scheduler import KilledWorker, NoWorkerError

    try:
        return future.result()
    except KilledWorker as error:
        raise PelageError(
            f"Several workers of the dask cluster died, one after the other, of the same block ({error}). Mostly that "
            "is want of memory: give workers more of it (`dask worker --memory-limit`) or fewer threads "
            "(`--nthreads 1`). What is done is kept; run the stage again."
        ) from error
    except NoWorkerError as error:
        raise PelageError(
            f"No worker of the dask cluster is left ({error}). What is done is kept; run the stage again."
        ) from error
    except CancelledError as error:
        raise PelageError(
            f"The dask scheduler is gone ({error}). What is done is kept: start the scheduler and run the stage again."
        ) from error


def _work_ahead(
    client: Client,
    mark: Path,
    work: Callable[[Any], Any],
    rows: Sequence[Any],
    told: str,
    pack: Callable[[Any], Any] = lambda block: block,
    most: int = MOST,
) -> None:
    from distributed import as_completed

    size = min(most, max(len(rows) // (BLOCKS_A_CORE * _cores_of(client)), 1))
    blocks = (rows[start : start + size] for start in range(0, len(rows), size))
    job, done = pickle.dumps(work), as_completed()  # opened by workers alone, not by the scheduler

    def give() -> None:
        for block in islice(blocks, max(WAITING * _cores_of(client) - done.count(), 0)):
            task = job, pickle.dumps(pack(block))
            done.add(client.submit(_work, *task, os.getcwd(), mark, pure=False, retries=RETRIES))

    give()
    for future in track(done, f"{told}, by workers", -(-len(rows) // size)):
        if fault := result_of(future):
            raise PelageError(fault)
        give()


def _cores_of(client: Client) -> int:
    return max(sum(client.nthreads().values()), 1)


@contextmanager
def _mark() -> Iterator[Path]:
    """Give a file in the cache that is there for as long as the block lasts: whoever sees it shares the memo."""
    root = cache_root().resolve()
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".workers.", dir=root) as file:
        yield Path(file.name)


def _work(job: bytes, block: bytes, project: str, mark: Path) -> str:
    """Do a job for a block as this machine would, with one core; return what is wrong with the input, or nothing."""
    for path in (Path(project), mark):
        if not path.exists():
            return (
                f"The dask worker on {socket.gethostname()} does not see {path}, so that nothing it finds would be "
                "found here. Project and cache (PELAGE_CACHE) must stand at the same paths on all machines, on a file "
                "system that they share."
            )
    os.chdir(project)
    os.environ["PELAGE_CACHE"] = str(mark.parent)
    in_task.set(True)
    try:
        pickle.loads(job)(pickle.loads(block))
    except PelageError as error:  # another try would end the same
        return str(error)
    return ""
