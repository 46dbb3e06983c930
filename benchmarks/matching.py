"""How much faster is one index than matching a query with each gallery photo in turn?

    PYTHONPATH=src python benchmarks/matching.py --data data -q 8 -g 200

The plain way is that of OpenCV's tutorials: SIFT, `BFMatcher.knnMatch`, the ratio test, `findHomography` with RANSAC,
and the number of inliers as the score. It stands against the kinds of matchers that search an index. All rank the
same crops of the validation protocol after a pipeline run (never of a test subset), and none compares a left flank
with a right one; the plain way has as many keypoints as HotSpotter's preset `fast`. Keypoints are found and indices
built beforehand; what keypoints take is told apart. The ways take turns within one run; what counts are the ratios,
on a machine that does nothing else (seconds of CPU, of all threads together, depend less on that). Also told: what
one spatial verification of 300 matches takes, and how the exact search and the inverted file stand against faiss's
exact search and, where `pyflann-ibeis` is installed, against WBIA's random trees (8 trees, 800 checks).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import cv2
import faiss
import numpy as np

from pelage.common.files import write_json
from pelage.common.images import to_rgb
from pelage.common.packs import Packs
from pelage.common.parallel import cores
from pelage.common.tables import crop_file
from pelage.matching.local.affine_verification import Rules, verify
from pelage.matching.local.hessian_affine import AffineFeatures
from pelage.matching.local.hotspotter import HotSpotter
from pelage.matching.local.inverted_index import approximate_search
from pelage.matching.local.lnbnn import build_index, nearest_rows
from pelage.matching.local.ranking import score_by_side
from pelage.matching.local.sift_lnbnn import SiftLnbnn
from pelage.split.protocols import OPPOSITE, allowed, protocol_sets, read_split

FAST = HotSpotter(**HotSpotter.presets["fast"])
REPEATS = 20
KINDS = {"sift_lnbnn": SiftLnbnn(), "hotspotter_fast": FAST}


def plain_keypoints(image: np.ndarray, mask: np.ndarray, side: int, keypoints: int) -> tuple[list, np.ndarray | None]:
    """Find keypoints as a tutorial does, on a crop of the same size, and take as many of the strongest."""
    scale = side / max(image.shape[:2])
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    sift = cv2.SIFT_create()
    found = sorted(sift.detect(grey, cv2.resize(mask, grey.shape[::-1])), key=lambda point: -point.response)[:keypoints]
    return sift.compute(grey, found) if found else ([], None)


def plain_score(query: tuple, candidate: tuple) -> int:
    """Return the number of matches that pass the ratio test and agree with a homography."""
    (points, described), (others, others_described) = query, candidate
    if described is None or others_described is None or len(others) < 2:
        return 0
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(described, others_described, k=2)
    good = [first for first, second in pairs if first.distance < 0.75 * second.distance]
    if len(good) < 4:
        return len(good)
    start = np.float32([points[match.queryIdx].pt for match in good])
    end = np.float32([others[match.trainIdx].pt for match in good])
    cv2.setRNGSeed(1)
    _, mask = cv2.findHomography(start, end, cv2.RANSAC, 5.0)
    return 0 if mask is None else int(mask.sum())


def timed(way: Callable) -> tuple[object, np.ndarray]:
    """Return the result of `way()`, and its seconds of wall clock and of CPU."""
    before = np.array([time.perf_counter(), time.process_time()])
    result = way()
    return result, np.array([time.perf_counter(), time.process_time()]) - before


def verification_milliseconds(matches: int = 300, rounds: int = 50) -> float:
    """Return the milliseconds that one pair takes, the median of `rounds`; half of its matches agree."""
    rng = np.random.default_rng(1)
    shape = np.c_[rng.uniform(5, 20, matches), rng.normal(0, 3, matches), rng.uniform(5, 20, matches)]
    xy, size = rng.uniform(0, 500, (matches, 2)), (700, 500)
    blank = np.zeros((matches, 128), np.uint8)
    query = AffineFeatures(xy, shape, np.ones(matches), blank, size)
    moved = np.where(np.arange(matches)[:, None] % 2, 1.1 * xy + 10, rng.uniform(0, 500, (matches, 2)))
    candidate = AffineFeatures(moved, 1.1 * shape, np.ones(matches), blank, size)
    pairs = np.arange(matches)
    call = partial(verify, query, candidate, pairs, pairs, query.weight, Rules())
    return round(1000 * float(np.median([timed(call)[1][0] for _ in range(rounds)])), 3)


def searches(queries: list[AffineFeatures], gallery: list[AffineFeatures]) -> dict[str, float]:
    """Compare ways to search the same rows for the five nearest: one thread's seconds a query, and recall."""
    index = build_index(gallery)
    wanted = np.concatenate([query.descriptors for query in queries])
    permitted = np.ones(len(gallery), bool)
    inverted = approximate_search(index, FAST.probes, small=0)
    rows, asked = index.descriptors.astype(np.float32), wanted.astype(np.float32)
    ways = {
        "exact": lambda: nearest_rows(index, wanted, permitted, 5)[0],
        "exact_by_faiss": lambda: faiss.knn(asked, rows, 5)[1],
        "inverted_file": lambda: inverted(index, wanted, permitted, 5)[0],
    }
    try:
        import pyflann_ibeis
    except ImportError:
        pass
    else:
        flann = pyflann_ibeis.FLANN()
        flann.build_index(index.descriptors, algorithm="kdtree", trees=8, random_seed=42, cores=1)
        ways["random_trees"] = lambda: flann.nn_index(wanted, 5, checks=800, cores=1)[0]
    told, exact = {"search_rows": len(rows), "search_keypoints_per_query": round(len(wanted) / len(queries), 1)}, None
    nearest_rows(index, wanted[:1], permitted, 5)  # lays the rows out
    for way, search in ways.items():
        faiss.omp_set_num_threads(1)
        found, spent = timed(search)
        exact = found if exact is None else exact
        share = (found[:, :, None] == exact[:, None, :]).any(axis=1).mean()
        told[f"{way}_search_seconds_per_query"] = round(spent[0] / len(queries), 4)
        told[f"{way}_recall_at_5"] = round(float(share), 4)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a pipeline run")
    parser.add_argument("--part", default="flank")
    parser.add_argument("-q", type=int, default=8, help="number of queries")
    parser.add_argument("-g", type=int, default=200, help="number of gallery crops")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/matching.json"))
    arguments = parser.parse_args()
    chosen = protocol_sets(read_split(arguments.data / "split.csv"), arguments.part)["validation"]
    gallery = chosen.gallery.iloc[:: max(len(chosen.gallery) // arguments.g, 1)][: arguments.g]
    queries = chosen.queries[chosen.queries["label"].isin(gallery["label"])]
    queries = queries.iloc[:: max(len(queries) // arguments.q, 1)][: arguments.q]
    folders = ("views/crop", "masks")
    crops, masks = (Packs(arguments.data / folder / arguments.part, arguments.data) for folder in folders)
    files = [[crop_file(name) for name in rows["crop_id"]] for rows in (queries, gallery)]
    permitted = allowed(queries, gallery)
    sides = [rows["orientation"].to_numpy(object) for rows in (queries, gallery)]
    names = [rows["identity"].to_numpy(object) for rows in (queries, gallery)]
    possible = permitted & (np.array([OPPOSITE.get(side) for side in sides[0]], object)[:, None] != sides[1][None, :])

    result = {"cores": cores(), "queries": len(queries), "gallery": len(gallery), "pairs": int(possible.sum())}
    result |= {"keypoints": FAST.keypoints, "verification_ms_of_300_matches": verification_milliseconds()}
    ways, found = {}, {}
    for way, kind in KINDS.items():
        # keypoints that are recalled would take no time
        with tempfile.TemporaryDirectory() as empty, patch.dict(os.environ, PELAGE_CACHE=empty):
            found[way], spent = timed(lambda kind=kind: [kind.features(crops, masks, some) for some in files])
        result[f"{way}_seconds_per_crop_for_keypoints"] = round(spent[0] / (len(queries) + len(gallery)), 4)

        def search(times: int, kind=kind, crops=found[way]) -> np.ndarray:
            """Ask all queries so many times."""
            asked, may = np.tile(sides[0], times), np.tile(permitted, (times, 1))
            return score_by_side(kind.score, crops[0] * times, crops[1], (asked, sides[1]), may, names[1]).score

        ways[way] = search
    images = [[(to_rgb(crops.image(file)), masks.image(file)) for file in some] for some in files]
    plain = [[plain_keypoints(*pair, FAST.side, FAST.keypoints) for pair in some] for some in images]

    def match_pairs() -> np.ndarray:
        scores = np.zeros(possible.shape)
        for query, candidate in np.argwhere(possible):
            scores[query, candidate] = plain_score(plain[0][query], plain[1][candidate])
        return scores

    def top1(scores: np.ndarray) -> float:
        best = np.where(permitted, scores, -1).argmax(axis=1)
        return round(float((names[1][best] == names[0]).mean()), 4)

    seconds = defaultdict(list)
    for _ in range(arguments.rounds):
        scores, spent = timed(match_pairs)
        result["plain_top1"] = top1(scores)
        seconds["plain"].append(spent / len(queries))
        for way, search in ways.items():
            result[f"{way}_top1"] = top1(search(1))  # builds the index, which is then remembered
            _, spent = timed(partial(search, REPEATS))
            seconds[way].append(spent / (REPEATS * len(queries)))
    least = {way: np.min(spent, axis=0) for way, spent in seconds.items()}
    result |= {f"{way}_seconds_per_query": round(spent[0], 4) for way, spent in least.items()}
    result |= {f"{way}_cpu_seconds_per_query": round(spent[1], 4) for way, spent in least.items()}
    for way in ways:
        ratio = least["plain"] / least[way]
        result |= {f"{way}_ratio": round(ratio[0], 2), f"{way}_ratio_of_cpu": round(ratio[1], 2)}
        print(f"{way} is {ratio[0]:.1f} x as fast a query as matching each pair ({ratio[1]:.1f} x in CPU)")
    result |= searches(*found["hotspotter_fast"])
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
