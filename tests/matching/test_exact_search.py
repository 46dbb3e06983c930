"""Exact search: brute force in 64 bits, in many blocks, with ties, barred rows, extremes, and without byte products."""

import numpy as np
import pytest
import torch

from pelage.matching.local import exact_search
from pelage.matching.local.exact_search import ExactIndex, dot_products


def brute_force(rows, queries, allowed, k):
    squared = ((queries[:, None].astype(int) - rows[None]) ** 2).sum(axis=2).astype(float)
    squared[:, ~allowed] = np.inf
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    far = np.take_along_axis(squared, order, 1)
    blank = np.full((len(queries), k - order.shape[1]), np.inf)
    return np.c_[np.where(np.isinf(far), -1, order), np.where(blank == np.inf, -1, 0).astype(int)], np.c_[far, blank]


@pytest.fixture(params=["bytes", "floats"])
def way(request, monkeypatch):
    monkeypatch.setattr(exact_search, "_bytes_multiply", lambda: request.param == "bytes")


@pytest.mark.parametrize("levels", [2, 4, 256])
@pytest.mark.parametrize("count", [0, 1, 5, 15, 17, 700, 5000])
def test_the_nearest_are_those_of_brute_force(monkeypatch, way, count, levels):
    monkeypatch.setattr(exact_search, "ROWS", 256)
    monkeypatch.setattr(exact_search, "QUERIES", 8)
    rng = np.random.default_rng(count + levels)
    rows, queries = (rng.integers(0, levels, (n, 16)).astype(np.uint8) * (255 // (levels - 1)) for n in (count, 21))
    for share in (1.0, 0.7, 0.001):
        allowed = rng.random(count) < share
        found, far = ExactIndex(rows).search(queries, allowed, 6)
        expected = brute_force(rows, queries, allowed, 6)
        assert (found == expected[0]).all() and (far == expected[1]).all()


def test_far_apart_descriptors_do_not_overflow(way):
    rows = np.repeat(np.array([[0], [255], [128]], np.uint8), 256, axis=1)
    found, far = ExactIndex(rows).search(rows, np.ones(3, bool), 3)
    assert far[0].tolist() == [0, 256 * 128**2, 256 * 255**2] and found[0].tolist() == [0, 2, 1]


def test_products_of_bytes_are_exact(way):
    rng = np.random.default_rng(0)
    first, second = (torch.from_numpy(rng.integers(-128, 128, (n, 256)).astype(np.int8)) for n in (40, 130))
    first[0], second[0] = -128, -128
    assert (dot_products(first, second) == first.long() @ second.long().t()).all()
