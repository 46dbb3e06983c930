"""How much faster are the metrics of embeddings in blocks than pytorch-metric-learning's AccuracyCalculator?

    PYTHONPATH=src python benchmarks/metrics.py -q 2000 --rounds 1

All photos (or with -q the first ones) ask, all answer, none answers itself. The embeddings are drawn: class centres and
noise. Three ways of the library, on the CPU as we are:

* `default`: as it is called without options, with faiss. All ranks are needed for mAP, and are what it looks at.
* `topk`: the same with its `CustomKNN`, torch's matrix product and `topk`.
* `at_r`: faiss for as many neighbours as the largest class has photos (`k="max_bin_count"`): no mAP, which is not
  defined then.

The first two take the queries in chunks, which is to their advantage: in one piece, a table of 20,000 x 20,000 places
alone takes 3 GB, and they keep several. Each way runs in a process of its own, for its peak of memory, and they take
turns; what counts are the ratios, on a machine that does nothing else (seconds of CPU depend less on that).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from pelage.common.files import write_json
from pelage.evaluation.embeddings import query_metrics
from pelage.evaluation.masks import Masks

THEIRS = {"top1": "precision_at_1", "map_at_r": "mean_average_precision_at_r", "map": "mean_average_precision"}
WAYS = ("blocks", "default", "topk", "at_r")


def draw(photos: int, dim: int, classes: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw unit vectors `(N, D)` float32 around class centres, and their classes; some classes have few photos."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((classes, dim))
    labels = rng.choice(classes, photos, p=rng.dirichlet(np.full(classes, 2.0)))
    points = centres[labels] + noise * rng.standard_normal((photos, dim))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), labels


def blocks(points: np.ndarray, labels: np.ndarray, asked: int) -> dict[str, float]:
    """Return all our metrics of the first `asked` photos."""
    numbers = np.arange(len(points))
    right, itself = [(values[:asked], values) for values in (labels, numbers)]
    return query_metrics(points[:asked], points, Masks(right, (itself,))).mean().to_dict()


def library(points: np.ndarray, labels: np.ndarray, asked: int, way: str, chunk: int) -> dict[str, float]:
    """Return the metrics that AccuracyCalculator has, by our names: means over queries that can be answered."""
    import torch
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    names = {name: theirs for name, theirs in THEIRS.items() if way != "at_r" or name != "map"}
    calculator = AccuracyCalculator(
        include=tuple(names.values()),
        k="max_bin_count" if way == "at_r" else None,
        knn_func=CustomKNN(CosineSimilarity()) if way == "topk" else None,
        device=torch.device("cpu"),
    )
    chunk = asked if way == "at_r" else chunk
    answerable = np.bincount(labels)[labels[:asked]] > 1
    sums = dict.fromkeys(names, 0.0)
    for start in range(0, asked, chunk):
        gallery, names_of = np.roll(points, -start, axis=0), np.roll(labels, -start)  # the queries stand first
        count = min(chunk, asked - start)
        found = calculator.get_accuracy(gallery[:count], names_of[:count], gallery, names_of, ref_includes_query=True)
        for name, theirs in names.items():
            sums[name] += found[theirs] * answerable[start : start + count].sum()
    return {name: value / answerable.sum() for name, value in sums.items()}


def run(way: str, arguments: argparse.Namespace) -> dict:
    """Return the metrics of one way, its seconds of wall clock and CPU, and its process's peak of memory in GiB."""
    points, labels = draw(arguments.photos, arguments.dim, arguments.classes, arguments.noise)

    def measure(photos: int, asked: int) -> dict[str, float]:
        some = points[:photos], labels[:photos], asked
        return blocks(*some) if way == "blocks" else library(*some, way, arguments.chunk)

    measure(200, 100)  # imports and threads
    before = np.array([time.perf_counter(), time.process_time()])
    values = measure(arguments.photos, arguments.q or arguments.photos)
    seconds, cpu = np.array([time.perf_counter(), time.process_time()]) - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "cpu": cpu, "peak_gib": peak, "values": values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=20000)
    parser.add_argument("-q", type=int, help="number of photos that ask (all)")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=2.0)
    parser.add_argument("--chunk", type=int, default=1000, help="queries at a time of the library's first two ways")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--way", choices=WAYS, help="print the result of one way, once")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/metrics.json"))
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(run(arguments.way, arguments)))
        return
    runs: dict[str, list[dict]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way in WAYS:
            command = [sys.executable, *sys.argv, "--way", way]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            runs[way].append(json.loads(told.splitlines()[-1]))
            print(f"{way}: {runs[way][-1]['seconds']:.1f} s", flush=True)
    best = {way: {key: min(one[key] for one in some) for key in ("seconds", "cpu")} for way, some in runs.items()}
    ours = runs["blocks"][0]["values"]
    result = {"photos": arguments.photos, "queries": arguments.q or arguments.photos}
    result |= {key: getattr(arguments, key) for key in ("dim", "classes", "chunk")}
    result |= {f"blocks_{name}": round(value, 6) for name, value in ours.items()}
    for way in WAYS:
        result[f"{way}_seconds"] = round(best[way]["seconds"], 2)
        result[f"{way}_cpu_seconds"] = round(best[way]["cpu"], 2)
        result[f"{way}_peak_gib"] = round(max(one["peak_gib"] for one in runs[way]), 2)
    for way in WAYS[1:]:
        values = runs[way][0]["values"]
        result[f"{way}_ratio"] = round(best[way]["seconds"] / best["blocks"]["seconds"], 2)
        result[f"{way}_ratio_of_cpu"] = round(best[way]["cpu"] / best["blocks"]["cpu"], 2)
        result[f"{way}_largest_difference"] = float(f"{max(abs(ours[name] - values[name]) for name in values):.2g}")
    write_json(arguments.out, result)
    print(
        f"blocks are {result['default_ratio']} x as fast as AccuracyCalculator ({result['topk_ratio']} x with topk), "
        f"in {result['blocks_peak_gib']} GiB, and differ by at most {result['default_largest_difference']}"
    )


if __name__ == "__main__":
    main()
