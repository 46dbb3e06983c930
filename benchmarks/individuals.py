"""What do 10,000 photos that nobody named cost beside 10,000 named ones, from rankings to animals and questions?

    PYTHONPATH=src python benchmarks/individuals.py

A survey is drawn from a seed: animals with a share of the photos each, some never named; every photo is an encounter,
and every one that nobody named has 20 candidates of its flank, up to half of them of its animal, with probabilities
that are right one by one. What is timed runs in one process, whose greatest memory is told: `steps` from rankings to
20 partitions, `stage` all that the stage does with one survey, and questions. In `review` a smaller survey, all of
whose animals are known to the benchmark, is reviewed by simulated people.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from pelage.animals.agreement import agree
from pelage.animals.clustering import cluster, draw_partitions
from pelage.animals.evidence import side_pairs
from pelage.animals.links import evidence_links, graph_of, nodes_of, shares_of
from pelage.animals.naming import compare, name_animals, practise
from pelage.animals.questions import Inquiry
from pelage.animals.simulated_review import review
from pelage.animals.units import CROP_COLUMNS, NAMED, PRACTICE, REHEARSAL, UNIT_COLUMNS, Units
from pelage.common.files import write_json

CANDIDATES = 20
APART = 1.7
"""By how many standard deviations scores of pairs of one animal, and of two, are away from the middle."""

NEVER_NAMED = 0.2


def draw_survey(asked: int, named: int, animals: int, scope: str, seed: int) -> tuple[Units, pd.DataFrame]:
    """Draw units, the first of them asked, and the rankings of these."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(animals, 2.0))
    known = np.where(rng.random(animals) < NEVER_NAMED, 0, share)
    truth = np.r_[rng.choice(animals, asked, p=share), rng.choice(animals, named, p=known / known.sum())]
    right = rng.random(asked + named) < 0.5
    flank = 2 * truth + right
    order = np.argsort(flank, kind="stable")
    start = np.searchsorted(flank[order], np.arange(2 * animals + 1))
    sides = [np.flatnonzero(right == side) for side in (False, True)]
    candidates = []
    for unit in range(asked):
        mates = order[start[flank[unit]] : start[flank[unit] + 1]]
        mates = rng.permutation(mates[mates != unit])[: CANDIDATES // 2]
        others = np.unique(rng.choice(sides[int(right[unit])], CANDIDATES - len(mates)))
        candidates.append(np.r_[mates, others[flank[others] != flank[unit]]])
    query, candidate = np.repeat(np.arange(asked), list(map(len, candidates))), np.concatenate(candidates)
    same = truth[query] == truth[candidate]
    score = expit(2 * APART * rng.normal(np.where(same, APART, -APART)) + logit(same.mean()))
    side = np.where(right, "right", "left")
    encounter = [f"E{number:06d}" for number in range(asked + named)]
    table = pd.DataFrame(
        {"encounter": encounter, "side": side, "scope": np.where(np.arange(len(side)) < asked, scope, NAMED)}
    )
    table["unit"] = table["encounter"] + "|" + table["side"]
    table["best_crop"] = table["crop_id"] = table["unit"] + "#0"
    table["identity"] = [f"A{number:04d}" for number in truth]
    table = table.assign(photos=1, station="S1", camera="C1", date="2026-03-01T10:00:00", flags="")
    ids = table["crop_id"].to_numpy()
    pairs = pd.DataFrame({"query": ids[query], "candidate": ids[candidate], "score": score})
    ordered = table.sort_values(["scope", "unit"], ignore_index=True)
    nothing = pd.DataFrame(columns=["unit", "other", "kind"], dtype=object)
    return Units(ordered[UNIT_COLUMNS], table[CROP_COLUMNS], nothing), pairs.astype(
        dict.fromkeys(pairs.columns[:2], "category")
    )


class Clock:
    """Seconds that steps take, on the wall and of all cores together, and the greatest memory so far."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}

    def timed(self, step: str, run: Callable[[], Any]) -> Any:
        """Return what a step returns."""
        start, used = time.perf_counter(), time.process_time()
        done = run()
        self.seconds[step] = round(time.perf_counter() - start, 1)
        self.cpu_seconds[step] = round(time.process_time() - used, 1)
        print(f"{step}: {self.seconds[step]} s, of all cores together {self.cpu_seconds[step]} s", flush=True)
        return done

    def told(self) -> dict[str, Any]:
        """Return all of it."""
        gib = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds, "gib": gib}


def measure_steps(asked: int, named: int, animals: int) -> dict[str, Any]:
    """Time each step from rankings to partitions."""
    evidence, clock = practise(*draw_survey(1000, 1000, 100, PRACTICE, 1)), Clock()
    units, pairs = draw_survey(asked, named, animals, REHEARSAL, 2)
    nodes = nodes_of(units)
    gathered = clock.timed("gather", lambda: side_pairs(pairs, nodes.crops))
    shares = shares_of(nodes, gathered, evidence)
    links = clock.timed("link", lambda: evidence_links(nodes, gathered, evidence, shares))
    graph, sides = clock.timed("graph", lambda: graph_of(units, nodes, links, evidence.least + shares.own))
    labels = clock.timed("cluster", lambda: cluster(graph))
    clock.timed("draw 20 partitions", lambda: draw_partitions(graph, 20, 1))
    truth = np.array([nodes.identity[name] for name in graph.names])
    told = {"units": len(units.table), "animals": animals, "links": len(graph.first)}
    return told | asdict(agree(truth, labels, sides, graph.known() < 0)) | clock.told()


def measure_stage(asked: int, named: int, animals: int) -> dict[str, Any]:
    """Time all that the stage does, and questions."""
    evidence, clock = practise(*draw_survey(1000, 1000, 100, PRACTICE, 1)), Clock()
    units, pairs = draw_survey(asked, named, animals, REHEARSAL, 2)
    everything = {"draws": 20, "probability": 0.9, "speed_m_per_s": None, "seed": 1}
    found = clock.timed("name animals", lambda: name_animals(units, pairs, evidence, None, **everything))
    inquiry = clock.timed("ask", lambda: Inquiry(found.graph))
    told = {"units": len(units.table), "questions": len(inquiry.questions()), **asdict(compare(found))}
    waits = []
    while len(waits) < 20 and (now := inquiry.first()) is not None:
        start = time.perf_counter()
        inquiry.answer(now.unit, now.other, True)
        waits.append(time.perf_counter() - start)
    clock.seconds["one answer"] = round(float(np.median(waits)), 3)
    return told | clock.told()


def measure_review(asked: int, named: int, animals: int) -> list[dict[str, Any]]:
    """Let simulated people review, and compare what they come to with the truth."""
    evidence = practise(*draw_survey(1000, 1000, 100, PRACTICE, 1))
    units, pairs = draw_survey(asked, named, animals, REHEARSAL, 3)
    found = name_animals(units, pairs, evidence, None, draws=0, probability=0.9, speed_m_per_s=None, seed=1)
    truth = np.unique([found.nodes.identity[name] for name in found.graph.names], return_inverse=True)[1]
    rows = [{"order": "nobody asked", **asdict(compare(found))}]
    for accuracy in (0.98, 0.9):
        for order in ("change", "graph_id", "probability"):
            done = review(found.graph, truth, accuracy, 1, order)
            told = {
                "accuracy": accuracy,
                "order": order,
                "answers": done.answers,
                "wrong": done.wrong,
                "ended": done.ended,
            }
            rows.append(told | asdict(compare(found, done.labels)))
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, and write benchmarks/results/individuals.json."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--asked", type=int, default=10_000)
    parser.add_argument("--named", type=int, default=10_000)
    parser.add_argument("--animals", type=int, default=1000)
    parser.add_argument(
        "--parts", nargs="+", choices=["steps", "stage", "review"], default=["steps", "stage", "review"]
    )
    asked = parser.parse_args()
    size = asked.asked, asked.named, asked.animals
    measures = {
        "steps": lambda: measure_steps(*size),
        "stage": lambda: measure_stage(*size),
        "review": lambda: measure_review(300, 300, 60),
    }
    write_json(Path("benchmarks/results/individuals.json"), {part: measures[part]() for part in asked.parts})


if __name__ == "__main__":
    main()
