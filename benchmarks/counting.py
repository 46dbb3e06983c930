"""Do intervals of the number of animals hold the truth, when who is on the photos is not certain?

    PYTHONPATH=src nice python benchmarks/counting.py

Surveys are simulated whose animals are known and stay (a closed population), and differ in how easily they are seen:
by chance (`closed`, counted by the jackknife and Chao), or by where they live between stations inside a fence
(`spatial`, counted by spatial capture-recapture). Each sighting is a unit. What speaks for two units being one animal
is drawn as log-odds that are calibrated: normal with a mean of half their variance, positive for one animal and
negative for two, to which those of any pair being one animal are added; the variance depends on the quality of both
photos. It is chosen so that the best clustering gives none, 2 % or 5 % of units to another animal than theirs. Pairs
that speak against it are not listed, and clusters are asked as wholes, as in the stage `individuals`. Animals are then
counted twice: as the best clustering has them (plain), and as twenty partitions drawn from the same log-odds
have them (carried). Intervals are of whole animals, rounded to the outside.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pyproj import Transformer
from scipy.optimize import linear_sum_assignment
from scipy.special import expit, logit

from pelage.animals.clustering import cluster, draw_partitions, share_of_new
from pelage.animals.counting import count_all
from pelage.animals.effort import seen_at, survey_effort
from pelage.animals.graph import Graph
from pelage.animals.habitat import Habitat
from pelage.animals.histories import in_time, sightings
from pelage.animals.merging import links_of_wholes, with_more
from pelage.animals.spatial import Detections, fit_with_buffer
from pelage.common.files import write_json
from pelage.common.seeds import generator

CRS, CORNER = "EPSG:32735", np.array([660000.0, 7550000.0])
BEGIN = pd.Timestamp("2025-03-01T12:00:00")
ANIMALS, DRAWS = 40, 20
ERRORS = {"closed": {0.0: 30.0, 0.02: 4.8, 0.05: 3.8}, "spatial": {0.0: 30.0, 0.02: 4.1, 0.05: 3.4}}
"""Share of units of another animal, and d of the photos that leads to it: log-odds have about d squared as variance."""
LEAST = -6.0
"""Links that speak more against one animal are left out, as those of pairs that nobody ranked; such a pair then counts
what one of them counts on average."""
FIRST = 100
"""First seed; those below were looked at when it was chosen how evidence adds up (`share_of_new`)."""
SPACING_M, SIGMA_M, FENCE_M = 2500.0, 1500.0, 3000.0
WANTED = {"closed": ("jackknife", "chao", "m0"), "spatial": ("scr_region", "scr2_region", "jackknife")}


def survey(kind: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Return sightings (`station, occasion`), stations in metres, and the animal of each sighting."""
    rng = generator(seed, "counting", kind)
    if kind == "closed":
        occasions = 12
        able = rng.beta(2.0, 10.0, ANIMALS)  # means of .17, from .02 to .4
        animal, occasion = (rng.random((ANIMALS, occasions)) < able[:, None]).nonzero()
        return pd.DataFrame({"station": 0, "occasion": occasion}), np.full((1, 2), np.nan), animal
    places = np.stack(np.meshgrid(*[SPACING_M * np.arange(4)] * 2), axis=-1).reshape(-1, 2)
    low, high = -FENCE_M, places.max() + FENCE_M
    homes = np.empty((0, 2))
    while len(homes) < ANIMALS:
        more = rng.uniform(low, high, (ANIMALS, 2))
        near = np.linalg.norm(more[:, None] - places, axis=2).min(axis=1) <= FENCE_M
        homes = np.concatenate([homes, more[near]])[:ANIMALS]
    g = 0.06 * np.exp(-((homes[:, None] - places) ** 2).sum(axis=2) / (2 * SIGMA_M**2))
    animal, occasion, station = (rng.random((ANIMALS, 30, len(places))) < g[:, None]).nonzero()
    return pd.DataFrame({"station": station, "occasion": occasion}), places, animal


@dataclass(frozen=True)
class Photos:
    """Log-odds of all pairs of N units, calibrated, and those of any pair being one animal (`prior`)."""

    first: np.ndarray
    second: np.ndarray
    evidence: np.ndarray
    prior: float

    @classmethod
    def draw(cls, animal: np.ndarray, d: float, seed: int) -> Photos:
        """Draw them for units of these animals."""
        rng = generator(seed, "counting", "links")
        quality = rng.beta(4, 2, len(animal))
        first, second = np.triu_indices(len(animal), 1)
        variance = d**2 * 2 * quality[first] * quality[second]
        same = animal[first] == animal[second]
        evidence = rng.normal(np.where(same, variance, -variance) / 2, np.sqrt(variance))
        return cls(first, second, evidence, float(np.log(same.mean() / (1 - same.mean()))))

    def graph(self) -> Graph:
        """Return the graph that the stage `individuals` makes of them, clusters asked as wholes (`merging`)."""
        odds = self.evidence + self.prior
        kept = odds > LEAST
        absent = float(logit(expit(odds[~kept]).mean()))
        names = np.array([f"u{number:04d}" for number in range(self.second.max() + 1)])
        graph = Graph(names, self.first[kept], self.second[kept], odds[kept], prior=self.prior, absent=absent)
        graph = replace(graph, joining=share_of_new(graph))
        return with_more(graph, links_of_wholes(graph, self.of_clusters))

    def of_clusters(self, labels: np.ndarray) -> pd.DataFrame:
        """Return what is said of pairs of clusters as wholes."""
        ends = labels[self.first], labels[self.second]
        said = pd.DataFrame({"first": np.minimum(*ends), "second": np.maximum(*ends), "log_odds": self.evidence})
        said = said[said["first"] != said["second"]].groupby(["first", "second"], as_index=False).sum()
        said["log_odds"] += self.prior
        return said[said["log_odds"] > LEAST]


def share_wrong(animal: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of units outside the cluster that stands for their animal, one each."""
    table = pd.crosstab(animal, labels).to_numpy()
    return 1 - table[linear_sum_assignment(-table)].sum() / len(animal)


def count_one(kind: str, d: float, seed: int) -> dict:
    """Return what one simulated survey is counted as."""
    seen, places, animal = survey(kind, seed)
    graph = Photos.draw(animal, d, seed).graph()
    labels, drawn = cluster(graph), draw_partitions(graph, DRAWS, seed)
    units = pd.DataFrame({"unit": graph.names, "scope": "survey", "side": "left", "answer": "new", "camera": ""})
    units["encounter"], units["individual"] = units["unit"], [f"i{label}" for label in labels]
    units["station"] = [f"S{number:02d}" for number in seen["station"]]
    moments = BEGIN + pd.to_timedelta(seen["occasion"] * 24 + 8, unit="h")
    units["date"] = moments.dt.strftime("%Y-%m-%dT%H:%M:%S").to_numpy()
    partitions = pd.concat(
        [
            pd.DataFrame({"draw": number, "unit": graph.names, "individual": [f"i{label}" for label in row]})
            for number, row in enumerate(drawn)
        ]
    )
    told = sightings(units, units)
    effort = survey_effort(stations(places, int(seen["occasion"].max()) + 1), told["date"], 1, None, None)
    inside = in_time(told, effort)
    counted = count_all(inside, partitions, seen_at(effort, inside), Habitat(metres=FENCE_M), "half_normal")
    left = counted.estimates[counted.estimates["population"] == "left"]
    result = {"animals": len(np.unique(animal)), "units": len(animal), "wrong": share_wrong(animal, labels)}
    result["clusters"], result["drawn"] = len(np.unique(labels)), float(np.mean([row.max() + 1 for row in drawn]))
    for _, row in left[left["estimator"].isin(WANTED[kind])].iterrows():
        low, high = np.floor(row["low"]), np.ceil(row["high"])
        result[row["estimator"], bool(row["carries_error"])] = (row["n"], low, high)
    return result


def stations(places: np.ndarray, occasions: int) -> pd.DataFrame:
    """Return deployments of stations that ran on all occasions; without coordinates if places are NaN."""
    degrees = [("", "")] * len(places)
    if not np.isnan(places).any():
        transform = Transformer.from_crs(CRS, "EPSG:4326").transform
        degrees = [(f"{a:.7f}", f"{b:.7f}") for a, b in zip(*transform(*(places + CORNER).T), strict=True)]
    end = (BEGIN + pd.Timedelta(days=occasions) - pd.Timedelta(seconds=1)).isoformat()
    rows = [(f"S{k:02d}", *degree, BEGIN.isoformat(), end, "told") for k, degree in enumerate(degrees)]
    return pd.DataFrame(rows, columns=["station", "latitude", "longitude", "start", "end", "rests_on"])


def coverage(results: Sequence[dict], name: str, carried: bool) -> dict:
    """Return how many intervals of an estimator hold the truth, and what they are like."""
    n, low, high = np.array([result.get((name, carried), (np.nan,) * 3) for result in results]).T
    return {
        "holds": int(((low <= ANIMALS) & (high >= ANIMALS)).sum()),
        "of": len(results),
        "without_estimate": int(np.isnan(n).sum()),
        "mean": round(float(np.nanmean(n)), 1),
        "width": round(float(np.nanmedian(high - low)), 1),
    }


def seconds_of_fit() -> dict:
    """Return how long spatial capture-recapture takes with about 100 animals, 60 stations and 60 occasions."""
    rng = generator(1, "counting", "speed")
    places, homes = rng.uniform(0, 20_000, (60, 2)), rng.uniform(-5_000, 25_000, (165, 2))
    g = 0.05 * np.exp(-((homes[:, None] - places) ** 2).sum(axis=2) / (2 * 2000.0**2))
    usage = rng.random((60, 60)) < 0.9
    animal, occasion, station = ((rng.random((len(homes), 60, 60)) < g[:, None]) & usage).nonzero()
    animal = np.unique(animal, return_inverse=True)[1]
    start = time.perf_counter()
    fitted, mask = fit_with_buffer(Detections(animal, occasion, station, usage, places))
    seconds = round(time.perf_counter() - start, 1)
    return {"animals": fitted.animals, "detections": len(animal), "cells": len(mask.points), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/counting.json"))
    arguments = parser.parse_args()
    told: dict = {"animals": ANIMALS, "draws": DRAWS, "seeds": arguments.seeds}
    for kind, names in WANTED.items():
        for error, d in ERRORS[kind].items():
            start = time.perf_counter()
            with ProcessPoolExecutor(arguments.processes) as pool:
                results = list(pool.map(partial(count_one, kind, d), range(FIRST, FIRST + arguments.seeds)))
            means = {
                key: round(float(np.mean([one[key] for one in results])), 3)
                for key in ("units", "animals", "wrong", "clusters", "drawn")
            }
            rows = {
                f"{name} {way}": coverage(results, name, carried)
                for name in names
                for way, carried in (("plain", False), ("carried", True))
            }
            told[f"{kind} {error:.0%}"] = {"seen": means, **rows}
            print(f"{kind} {error:.0%}: {means} ({time.perf_counter() - start:.0f} s)", flush=True)
            for name, row in rows.items():
                print(f"    {name:22} {row}", flush=True)
    told["speed"] = seconds_of_fit()
    print(f"speed: {told['speed']}")
    write_json(arguments.out, told)


if __name__ == "__main__":
    main()
