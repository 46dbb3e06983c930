"""How many of the true nearest photos does each index find among 100,000, how fast, and in how much memory?

    PYTHONPATH=src python benchmarks/search.py

Points are made: individuals are centres in 128 dimensions, with ten photos each around them, as embeddings of a trained
network lie. Each index of `search.index` answers the same queries by one thread; `recall_at_10` counts how many of the
ten points with the highest cosines it finds. Then an index of a million 8-bit descriptors of keypoints, as HotSpotter's
inverted file holds them: the bytes that it takes, and how many of the five nearest it finds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import faiss
import numpy as np

from pelage.common.files import write_json
from pelage.matching.local.inverted_index import approximate_search
from pelage.matching.local.lnbnn import Index, nearest_rows
from pelage.matching.search.vector_index import KINDS, nearest_places


def embeddings(count: int, dim: int = 128, photos: int = 10) -> np.ndarray:
    """Return `(count, dim)` points of length 1, `photos` of each individual."""
    rng = np.random.default_rng(1)
    points = np.repeat(rng.normal(size=(count // photos, dim)), photos, axis=0)
    points += 0.6 * rng.normal(size=points.shape)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def descriptors(count: int) -> np.ndarray:
    """Return `(count, 128)` float32 with integer values, gathered around words as descriptors are."""
    rng = np.random.default_rng(2)
    words = rng.gamma(0.6, 40, (2000, 128))
    found = words[rng.integers(len(words), size=count)] * rng.lognormal(0, 0.5, (count, 128))
    return np.clip(np.rint(found * 512 / np.linalg.norm(found, axis=1, keepdims=True)), 0, 255).astype(np.float32)


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Return the share of the true places that were found, row by row."""
    return float(np.mean([np.isin(right, row).mean() for row, right in zip(found, true, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=int, default=100_000)
    parser.add_argument("--descriptors", type=int, default=1_000_000)
    parser.add_argument("-q", type=int, default=500, help="queries")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/search.json"))
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    points = embeddings(arguments.crops)
    asked = points[:: len(points) // arguments.q][: arguments.q]
    result: dict = {"crops": len(points), "queries": len(asked)}
    true = nearest_places(points, asked, 10, "flat")
    for kind in KINDS:
        start = time.perf_counter()
        nearest_places(points, asked[:1], 10, kind)
        built = time.perf_counter()
        found = nearest_places(points, asked, 10, kind)
        both = time.perf_counter() - built
        result[kind] = {
            "recall_at_10": round(recall(found, true), 4),
            "build_s": round(built - start, 2),
            "milliseconds_a_query": round(1000 * max(both - (built - start), 0) / len(asked), 3),
        }
        print(kind, result[kind])

    rows = descriptors(arguments.descriptors)
    index = Index(rows, np.arange(len(rows)) // 1000, np.arange(len(rows)), np.ones(len(rows), np.float32))
    everything = np.ones(index.crop.max() + 1, bool)
    queries = rows[:: len(rows) // 200][:200]
    exact, _ = nearest_rows(index, queries, everything, 5)
    start = time.perf_counter()
    search = approximate_search(index, probes=16)
    built = time.perf_counter()
    found, _ = search(index, queries, everything, 5)
    result["descriptors"] = {
        "count": len(rows),
        "index_bytes": int(faiss.serialize_index(search.args[0]).nbytes),
        "recall_at_5": round(recall(found, exact), 4),
        "build_s": round(built - start, 2),
        "milliseconds_a_query": round(1000 * (time.perf_counter() - built) / len(queries), 3),
    }
    print(result["descriptors"])
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
