"""Matching on a dask cluster of two worker processes: the same scores, also when a worker dies; and errors in words."""

import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster

from pelage.common import workers
from pelage.common.errors import PelageError
from pelage.matching.local.distributed import scored_by
from pelage.matching.local.features import LocalFeatures
from pelage.matching.local.sift_lnbnn import SiftLnbnn

METHOD = SiftLnbnn()


def coat(seed: int) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    count = 60
    descriptors = rng.gamma(0.5, 1, (count, 128))
    descriptors = np.rint(np.sqrt(descriptors / descriptors.sum(axis=1, keepdims=True)) * 255).astype(np.uint8)
    ones = np.ones(count, np.float32)
    xy = rng.uniform(10, 290, (count, 2)).astype(np.float32)
    return LocalFeatures(xy, 5 * ones, 0 * ones, ones, descriptors, (300, 300))


GALLERY = [coat(seed) for seed in range(12)]
QUERIES = [coat(seed) for seed in (3, 40, 7, 7, 0)]
PERMITTED = np.arange(60).reshape(5, 12) % 7 != 0
NAMES = np.array([str(place // 2) for place in range(12)], object)


class DiesOnce:
    """A score whose worker is killed, as by the system, when it is asked the first time."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __call__(self, *work):
        try:
            self.marker.open("x").close()
        except FileExistsError:
            return METHOD.score(*work)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as running:
        yield running


def same(found, expected):
    assert np.array_equal(found.score, expected.score) and np.array_equal(found.verified, expected.verified)
    assert set(found.agreed) == set(expected.agreed) and len(expected.agreed)
    assert all(np.array_equal(found.agreed[pair], expected.agreed[pair]) for pair in expected.agreed)


def test_two_workers_find_what_one_process_does(cluster):
    expected = METHOD.score(QUERIES, GALLERY, PERMITTED, NAMES)
    with scored_by(METHOD.score, "dask", cluster.scheduler_address) as score:
        same(score(QUERIES, GALLERY, PERMITTED, NAMES), expected)
        assert score([], GALLERY, PERMITTED[:0], NAMES).score.shape == (0, 12)
    with scored_by(METHOD.score, "local", "") as score:
        same(score(QUERIES, GALLERY, PERMITTED, NAMES), expected)


def test_a_dead_worker_costs_a_retry_and_no_result(cluster, tmp_path):
    with scored_by(DiesOnce(tmp_path / "died"), "dask", cluster.scheduler_address) as score:
        found = score(QUERIES, GALLERY, PERMITTED, NAMES)
    assert (tmp_path / "died").exists()
    same(found, METHOD.score(QUERIES, GALLERY, PERMITTED, NAMES))


def test_what_is_wrong_is_said(monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE_S", 1)
    with pytest.raises(PelageError, match=r"compute\.backend is 'spark'"), scored_by(METHOD.score, "spark", ""):
        pass
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(PelageError, match="no dask scheduler answers"), scored_by(METHOD.score, "dask", address):
            pass
