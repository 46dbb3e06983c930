"""Nearest embeddings among very many, by faiss: exact, by a graph, or by compressed cells.

A gallery of up to `EXACT` crops is compared as it is, by the caller. A larger one gets a graph (HNSW: Malkov and
Yashunin, TPAMI 2020), and one of more than `GRAPH` crops cells of product-quantised points (IVF-PQ: Jegou, Douze and
Schmid, TPAMI 2011), whose first candidates are compared exactly once more. Indices are built by one thread with fixed
seeds, so the same points give the same candidates; `benchmarks/search.py` tells how many of the true ones are found.
"""

from __future__ import annotations

import faiss
import numpy as np

KINDS = ("flat", "hnsw", "ivf_pq")
EXACT, GRAPH = 200_000, 1_000_000
"""Crops of the largest galleries of these kinds. Exact search alone tells true ranks."""

LINKS, BUILD = 32, 200
"""Links of a point in the graph, and points that are looked at to find them."""

CODE = 32
"""Bytes of a compressed point."""


def kind_for(count: int, wanted: str = "auto") -> str:
    """Return the kind of index for a gallery of `count` crops: `wanted`, or by size if that is `auto`."""
    if wanted != "auto":
        return wanted
    return "flat" if count <= EXACT else "hnsw" if count <= GRAPH else "ivf_pq"


def nearest_places(gallery: np.ndarray, queries: np.ndarray, depth: int, kind: str) -> np.ndarray:
    """Return places in the gallery of the points with the highest cosines, best first, as far as the index finds them.

    Args:
        gallery: `(G, D)` of length 1.
        queries: `(Q, D)` of length 1.
        depth: Places wanted, at most G.
        kind: One of `KINDS`.

    Returns:
        `(Q, depth)` int; -1 where fewer were found.
    """
    gallery, queries = (np.ascontiguousarray(points, np.float32) for points in (gallery, queries))
    if not len(queries) or not depth:
        return np.zeros((len(queries), depth), int)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # more would insert in an order of their own
    try:
        index = _build(gallery, depth, kind)
    finally:
        faiss.omp_set_num_threads(threads)
    return index.search(queries, depth)[1]


def _build(gallery: np.ndarray, depth: int, kind: str) -> faiss.Index:
    count, dim = gallery.shape
    if kind == "flat":
        index = faiss.IndexFlatIP(dim)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = BUILD, max(2 * depth, 64)
    else:
        cells = max(min(round(4 * np.sqrt(count)), count // 39), 1)
        parts = max(part for part in range(1, CODE + 1) if dim % part == 0)
        bits = 8 if count >= 256 * 39 else 4
        index = faiss.index_factory(dim, f"IVF{cells},PQ{parts}x{bits},RFlat", faiss.METRIC_INNER_PRODUCT)
        faiss.downcast_index(index).k_factor = 4  # times as many compressed candidates are compared exactly
        cell = faiss.downcast_index(faiss.extract_index_ivf(index))
        cell.cp.seed = cell.pq.cp.seed = 1
        cell.nprobe = max(cells // 16, min(cells, 16))
        index.train(gallery)
    index.add(gallery)
    return index
