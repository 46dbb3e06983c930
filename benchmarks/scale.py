"""What do rankings cost at 100,000 crops: search, a local matcher, fusion and evaluation?

    PYTHONPATH=src python benchmarks/scale.py -n 3000 --compare
    PYTHONPATH=src python benchmarks/scale.py -n 10000
    PYTHONPATH=src python benchmarks/scale.py -n 100000

A survey is drawn from a seed: animals with 25 crops each on average, two or three of them an encounter, left or right
flanks. Every flank has a place among the embeddings, from which its encounters and photos are away, and 100 spots, of
which a photo shows 50 under a similarity and noise, among 50 that mean nothing. A fifth of the crops has no name. All
protocols are asked, judged ones and others, as the pipeline does, of methods that are fused.

Each step runs in a process of its own, for its peak of memory, and passes on what it made as files. With `--compare`,
search and matcher rank the galleries as a whole, too, and metrics must be equal to 1e-6; what the fusion of whole
rankings would be is told beside. Of a machine that does other things, too, the processor's seconds count.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pelage.common.files import write_json
from pelage.common.seeds import generator
from pelage.common.tables import read_parquet, write_parquet
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.scoring import query_rates, score_method
from pelage.matching.fusion import fuse_by
from pelage.matching.local.features import DESCRIPTOR_DIM, LocalFeatures, root_sift
from pelage.matching.local.ranking import rank
from pelage.matching.local.search_recall import search_recall
from pelage.matching.local.sift_lnbnn import SiftLnbnn
from pelage.matching.rankings import PAIR, drop_opposite
from pelage.matching.search.cosine import SearchRules, search
from pelage.split.protocols import SPLIT_COLUMNS, asked_sets, protocol_sets

STEPS = ("search", "match", "fuse", "evaluate", "ask")
METHODS = ("match", "search")
CROPS_OF_ONE, DIM, SPOTS, SHOWN, KEYPOINTS = 25, 256, 100, 50, 100
DEPTH, SHORTLIST = 200, 40
NEW = 100
"""Photos that are asked by themselves, of all others."""

EXACT = 100_000
"""Keypoints up to which the matcher compares all: a third of those of 3,000 crops, so that all sizes have cells."""


def draw_split(crops: int) -> pd.DataFrame:
    """Draw a table of crops as the pipeline's `split.csv`: who is on them, and what they are for."""
    rng = generator(1, "split", str(crops))
    share = rng.exponential(size=max(crops // CROPS_OF_ONE, 10))
    identity = np.sort(rng.choice(len(share), crops, p=share / share.sum()))
    side = rng.choice(["left", "right"], crops)
    visit = np.cumsum(rng.random(crops) < 0.4)
    encounter = pd.factorize(pd.Series(identity.astype(str)) + " " + visit.astype(str))[0]
    kind = rng.choice(["train", "val", "test", "survey"], encounter.max() + 1, p=[0.45, 0.1, 0.25, 0.2])[encounter]
    novel = rng.random(len(share)) < 0.25
    kind = np.where(novel[identity] & (kind == "train"), "test", kind)
    names = np.array([f"a{one:06}" for one in identity], object)
    ids = np.array([f"p{place:07}#0" for place in rng.permutation(crops)], object)
    table = pd.DataFrame({"crop_id": ids, "image_id": ids, "part": "flank", "subset": kind, "orientation": side})
    table["identity"] = np.where(kind == "survey", "unknown", names)
    table["label"] = table["identity"] + ":" + side
    table["encounter"] = table["group"] = encounter.astype(str)
    table["known"], table["gallery"], table["published"] = ~novel[identity], kind == "train", False
    table["flank"] = identity * 2 + (side == "right")
    return table.reindex(columns=[*SPLIT_COLUMNS, "flank"], fill_value="")


def draw_embeddings(split: pd.DataFrame) -> pd.DataFrame:
    """Draw embeddings around those of flanks and encounters."""
    rng = generator(1, "embeddings")
    flanks, visits = split["flank"].to_numpy(), split["encounter"].to_numpy(int)
    points = rng.normal(size=(flanks.max() + 1, DIM)).astype(np.float32)[flanks]
    points += rng.normal(size=(visits.max() + 1, DIM)).astype(np.float32)[visits]
    points += 1.2 * rng.normal(size=points.shape).astype(np.float32)
    return pd.DataFrame(
        {"crop_id": split["crop_id"], "embedding": list(points / np.linalg.norm(points, axis=1, keepdims=True))}
    )


def draw_features(split: pd.DataFrame) -> dict[str, LocalFeatures]:
    """Draw keypoints of each crop: spots of its flank where a similarity takes them, and clutter."""
    features = {}
    for flank, rows in split.groupby("flank"):
        own = generator(1, "spots", str(flank))
        places, spots = own.uniform(0, 300, (SPOTS, 2)), own.gamma(0.6, 1.0, (SPOTS, DESCRIPTOR_DIM))
        for crop_id in rows["crop_id"]:
            rng = generator(1, "crop", crop_id)
            shown = rng.choice(SPOTS, SHOWN, replace=False)
            grown, shift = rng.uniform(0.8, 1.2), rng.uniform(0, 40, 2)
            seen = spots[shown] * rng.gamma(3.0, 1 / 3, (SHOWN, DESCRIPTOR_DIM))
            clutter = rng.gamma(0.6, 1.0, (KEYPOINTS - SHOWN, DESCRIPTOR_DIM))
            xy = np.concatenate([grown * places[shown] + shift, rng.uniform(0, 400, (KEYPOINTS - SHOWN, 2))])
            ones = np.ones(KEYPOINTS, np.float32)
            descriptors = root_sift(np.concatenate([seen, clutter]))
            features[crop_id] = LocalFeatures(
                xy.astype(np.float32), grown * 8 * ones, 0 * ones, ones, descriptors, (400, 400)
            )
    return features


def ranked(step: str, split: pd.DataFrame, folder: Path, whole: int) -> None:
    """Rank all protocols by one method and write the table."""
    sets = protocol_sets(split, "flank") | asked_sets(split, "flank")
    drawn = draw_embeddings(split) if step == "search" else draw_features(split)
    start, before = clock(), peak()
    if step == "search":
        table = search(drawn, sets, SearchRules(DEPTH, index="flat", whole=whole))
    else:
        table = rank(drawn, sets, DEPTH, True, SiftLnbnn(exact=EXACT).score, whole)[0]
    write_parquet(folder / f"{step}.parquet", table)
    told(start, rows=len(table), drawn_gib=before)


def asked(split: pd.DataFrame, folder: Path) -> None:
    """Let both methods tell of a few new photos who is on them: once with the indexes to be made, and once again."""
    survey = asked_sets(split, "flank")["survey"]
    new = {"survey": replace(survey, queries=survey.queries.iloc[:: len(survey.queries) // NEW][:NEW])}
    embeddings, features = draw_embeddings(split), draw_features(split)
    matcher = SiftLnbnn(exact=EXACT)
    ways = {
        "search": lambda: search(embeddings, new, SearchRules(DEPTH, index="flat")),
        "match": lambda: rank(features, new, DEPTH, True, matcher.score),
        "match_again": lambda: rank(features, new, DEPTH, True, matcher.score),
    }
    took, start = {}, clock()
    for name, answer in ways.items():
        before = clock()
        answer()
        took[name] = spent(before)
    seconds = spent(start)
    left = survey.gallery.loc[survey.gallery["orientation"] == "left", "crop_id"]
    recall = search_recall([features[name] for name in left], matcher.nearest)
    print(json.dumps({**seconds, "peak_gib": peak(), **took, "search_recall": round(recall, 3)}))


def fused(split: pd.DataFrame, folder: Path) -> None:
    """Fuse the two methods by their pooled odds."""
    side = split.set_index("crop_id")["orientation"]
    start = clock()
    tables = {name: read_parquet(folder / f"{name}.parquet", categories=PAIR) for name in METHODS}
    rankings = tables | {"match": drop_opposite(tables["match"], side)}
    made = fuse_by("pool", tables, rankings, split.set_index("crop_id")["identity"], SHORTLIST, "logistic", 1)
    write_parquet(folder / "fuse.parquet", made.rankings)
    told(start, rows=len(made.rankings))


def evaluated(split: pd.DataFrame, folder: Path) -> None:
    """Judge the three rankings, and keep the metrics of each query and those that are told."""
    start = clock()
    questions = {name: ask(name, rules) for name, rules in protocol_sets(split, "flank").items()}
    metrics: dict[str, Any] = {}
    for method in (*METHODS, "fuse"):
        table = read_parquet(folder / f"{method}.parquet", categories=PAIR)
        judged = {name: judge(table, question, method) for name, question in questions.items()}
        metrics[method] = score_method(questions, [judged], None, 0.95, 0.05)
        rates = {f"{name}.{key}": values for name in questions for key, values in query_rates(judged[name]).items()}
        np.savez(folder / f"{method}.npz", **rates)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    told(start, metrics={method: {key: scores["open"][key] for key in ("top1", "flank_map", "auroc")}
                         for method, scores in metrics.items()})  # fmt: skip


def told(start: tuple[float, float], **more: Any) -> None:
    """Print what a step took."""
    print(json.dumps({**spent(start), "peak_gib": peak(), **more}))


def spent(start: tuple[float, float]) -> dict[str, float]:
    """Return seconds since `start`."""
    seconds, busy = (round(now - before, 1) for now, before in zip(clock(), start, strict=True))
    return {"seconds": seconds, "cpu_seconds": busy}


def clock() -> tuple[float, float]:
    """Return the time, and the processor's time that this process had, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def peak() -> float:
    """Return the greatest memory of this process so far, in GiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def steps(crops: int, folder: Path, whole: int, wanted: tuple[str, ...] = STEPS) -> dict[str, Any]:
    """Run each step in a process of its own."""
    told = {}
    for step in wanted:
        command = [sys.executable, __file__, "-n", str(crops), "--step", step, "--folder", folder, "--whole", whole]
        done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True)
        told[step] = json.loads(done.stdout.splitlines()[-1])
        print(f"{crops} crops, {step}: {told[step]}", flush=True)
    return told


def largest_difference(one: Path, two: Path, method: str) -> dict[str, float]:
    """Return the largest difference of a query's metric, and of a metric's mean, between two runs."""
    first, second = (np.load(folder / f"{method}.npz") for folder in (one, two))
    apart = [first[name] - second[name] for name in first.files]
    means = [abs(float(values.mean())) if len(values) else 0.0 for values in apart]
    return {"of_a_query": max(float(np.abs(values).max(initial=0)) for values in apart), "of_a_mean": max(means)}


def main() -> None:
    """Time the steps at one size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10_000, help="crops")
    parser.add_argument("--compare", action="store_true", help="with rankings of whole galleries; to 5,000 crops or so")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--whole", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scale.json"))
    arguments = parser.parse_args()
    if arguments.step:
        split = draw_split(arguments.n)
        ways = {step: partial(ranked, step, whole=arguments.whole) for step in METHODS}
        (ways | {"fuse": fused, "evaluate": evaluated, "ask": asked})[arguments.step](split, folder=arguments.folder)
        return
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        cut, whole = Path(one), Path(two)
        result[str(arguments.n)] = steps(arguments.n, cut, 0)
        if arguments.compare:
            steps(arguments.n, whole, arguments.n, STEPS[:-1])
            apart = {method: largest_difference(cut, whole, method) for method in (*METHODS, "fuse")}
            assert max(apart[method]["of_a_query"] for method in METHODS) <= 1e-6, apart
            result[str(arguments.n)]["apart_from_whole_rankings"] = apart
            print(apart)
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
