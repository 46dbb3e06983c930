"""How much faster is one index with LNBNN than matching a query with each gallery photo in turn?

    PYTHONPATH=src python benchmarks/matching.py --data data -q 8 -g 200

The plain way is that of OpenCV's tutorials: SIFT, `BFMatcher.knnMatch`, the ratio test, `findHomography` with RANSAC,
and the number of inliers as the score. Both ways rank the same crops of the validation protocol after a pipeline run
(never of a test subset) with as many keypoints, and neither compares a left flank with a right one. Keypoints are found
beforehand; what finding ours takes is told apart. The ways take turns within one run; what counts are the ratios, on a
machine that does nothing else (seconds of CPU, of all threads together, depend less on that).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from pelage.common.files import write_json
from pelage.common.images import read_image, to_rgb
from pelage.common.parallel import cores
from pelage.common.params import read_params
from pelage.common.tables import crop_file
from pelage.matching.local_features import extract
from pelage.matching.sift_lnbnn import OPPOSITE, score_by_side
from pelage.split.protocols import allowed, protocol_sets, read_split


def plain_keypoints(
    image: np.ndarray, mask: np.ndarray, side: int, keypoints: int, contrast: float
) -> tuple[list, np.ndarray | None]:
    """Find keypoints as a tutorial does, on the same scaled crop, and take as many of the strongest."""
    scale = side / max(image.shape[:2])
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    sift = cv2.SIFT_create(contrastThreshold=contrast)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a pipeline run")
    parser.add_argument("-q", type=int, default=8, help="number of queries")
    parser.add_argument("-g", type=int, default=200, help="number of gallery crops")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/matching.json"))
    arguments = parser.parse_args()
    wanted = read_params()["match"]
    chosen = protocol_sets(read_split(arguments.data / "split.csv"), wanted["part"])["validation"]
    gallery = chosen.gallery.iloc[:: max(len(chosen.gallery) // arguments.g, 1)][: arguments.g]
    queries = chosen.queries[chosen.queries["label"].isin(gallery["label"])]
    queries = queries.iloc[:: max(len(queries) // arguments.q, 1)][: arguments.q]
    folders = [arguments.data / "views/crop" / wanted["part"], arguments.data / "masks" / wanted["part"]]
    crops = [
        [[read_image(folder / crop_file(name)) for folder in folders] for name in rows["crop_id"]]
        for rows in (queries, gallery)
    ]
    crops = [[(to_rgb(crop), mask) for crop, mask in some] for some in crops]
    sift = {key: wanted[key] for key in ("side", "keypoints", "contrast", "upright")}
    settings = {key: wanted[key] for key in ("neighbours", "shortlist", "min_inliers")}
    basic = [wanted[key] for key in ("side", "keypoints", "contrast")]
    ours, finding = timed(lambda: [[extract(*pair, **sift) for pair in some] for some in crops])
    plain = [[plain_keypoints(*pair, *basic) for pair in some] for some in crops]
    permitted = allowed(queries, gallery)
    sides = [rows["orientation"].to_numpy(object) for rows in (queries, gallery)]
    asked, answering = sides
    possible = permitted & (np.array([OPPOSITE.get(side) for side in asked], object)[:, None] != answering[None, :])

    def match_pairs() -> np.ndarray:
        scores = np.zeros(possible.shape)
        for query, candidate in np.argwhere(possible):
            scores[query, candidate] = plain_score(plain[0][query], plain[1][candidate])
        return scores

    ways = {
        "sift_lnbnn": lambda: score_by_side(*ours, sides, permitted, **settings).score,
        "plain": match_pairs,
    }
    names = [rows["identity"].to_numpy(object) for rows in (queries, gallery)]
    seconds = {way: [] for way in ways}
    top1 = {}
    for _ in range(arguments.rounds):
        for way, score in ways.items():
            scores, spent = timed(score)
            best = np.where(permitted, scores, -1).argmax(axis=1)
            top1[way] = round(float((names[1][best] == names[0]).mean()), 4)
            seconds[way].append(spent / len(queries))
    best = {way: np.min(spent, axis=0) for way, spent in seconds.items()}
    ratio = best["plain"] / best["sift_lnbnn"]
    result = {
        "cores": cores(),
        "queries": len(queries),
        "gallery": len(gallery),
        "keypoints": wanted["keypoints"],
        "sift_lnbnn_seconds_per_crop_for_keypoints": round(finding[0] / (len(queries) + len(gallery)), 4),
        **{f"{way}_seconds_per_query": round(spent[0], 4) for way, spent in best.items()},
        "ratio": round(ratio[0], 2),
        "ratio_of_cpu": round(ratio[1], 2),
        **{f"{way}_top1": value for way, value in top1.items()},
    }
    write_json(arguments.out, result)
    print(
        f"sift_lnbnn is {result['ratio']} x as fast a query as matching each pair ({result['ratio_of_cpu']} x in CPU)"
    )


if __name__ == "__main__":
    main()
