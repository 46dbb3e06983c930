"""Would curves that are fitted on individuals outside training make a fusion with a network better?

    PYTHONPATH=src python benchmarks/outfold.py --data data

The stage `fuse` fits curves and weights on validation photos. Most of these show individuals that the network has
learnt; of animals that it never saw its scores are worse. Here training individuals are dealt into folds, and a network
a fold is trained without them (the same settings, the same validation photos, but for theirs). The photos of those that
are left out then ask as a survey does: against one another and against what was learnt. Curves and weights from

* `validation`: what `fuse` has, validation photos against training photos;
* `one fold`: the left-out individuals of another fold, what a single training more would give;
* `outside`: those of all other folds

are judged on individuals outside training (those of the fold) and on validation photos of learnt ones. Nobody is judged
by curves that were fitted on photos of the same individual, and those of `outside` come from other networks. Told are
the Brier skill and log-loss of pairs, and mAP by flank of each rule of the fusion; differences are by individual, seeds
averaged. No test photo is looked at. A minute a training on two CPU cores that do nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.tables import UNKNOWN, crop_file
from pelage.evaluation.intervals import SIGNED, leave_out
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.masks import FLANK
from pelage.evaluation.reliability import proper_scores
from pelage.matching.calibration import folds_by
from pelage.matching.fusion import COMBINED, MEAN, POOL, Fusion, by_identity, fit_fusion, join_scores, query_weights
from pelage.matching.local.matchers import read_matcher
from pelage.matching.local.ranking import compared_once, rank
from pelage.matching.rankings import drop_opposite, rank_pairs
from pelage.matching.search.cosine import read_rules, search
from pelage.model.backbone import read_weights, weights_file
from pelage.model.compute import prepare
from pelage.model.crops import present, read_crops
from pelage.model.embedder import Embedder
from pelage.model.embeddings import embed_images
from pelage.split.protocols import ProtocolSet, read_split
from pelage.training.dataset import training_data
from pelage.training.loop import train
from pelage.training.variant import Variant, for_each_seed, read_variant

SOURCES = ("validation", "one fold", "outside")
LEARNT, OUTSIDE = "validation", "outside"
CONFIDENCE = 0.95


def deal(rows: pd.DataFrame, count: int) -> list[np.ndarray]:
    """Return the names of the training individuals of each fold, the folds alike in photos."""
    names = rows.loc[(rows["subset"] == "train") & (rows["identity"] != UNKNOWN), "identity"].to_numpy(str)
    return [np.unique(names[inside]) for _, inside in folds_by(names, count)]


def fold_sets(rows: pd.DataFrame, left: np.ndarray, fold: int) -> dict[str, ProtocolSet]:
    """Return what a network without the individuals `left` is asked, by name: validation, and those left out.

    Individuals of `val` that nobody trains on ask in validation and answer those left out, as new ones that they are.
    """
    out = rows["identity"].isin(left)
    training, asking = rows[~out & (rows["subset"] == "train")], rows[~out & (rows["subset"] == "val")]
    new = asking[~asking["known"]]
    sets = {
        f"{LEARNT} {fold}": (asking, training),
        f"{OUTSIDE} {fold}": (rows[out], pd.concat([rows[out], new, training]).sort_values("crop_id")),
    }
    return {
        name: ProtocolSet(queries.reset_index(drop=True), gallery.reset_index(drop=True))
        for name, (queries, gallery) in sets.items()
    }


def by_network(
    variant: Variant, sets: Mapping[str, ProtocolSet], rows: pd.DataFrame, data: Path, params: Mapping[str, Any]
) -> pd.DataFrame:
    """Train on the gallery of the first set, and return the rankings of all."""
    device = prepare(params["compute"]["device"], params["compute"]["threads"])
    views, masks = (Packs(data / kind / variant.part, data) for kind in (f"views/{variant.view}", "masks"))
    learnt, _ = training_data(variant, next(iter(sets.values())), views, masks)
    weights = weights_file(variant.model)
    tensors = None if weights is None else read_weights(weights, variant.model["rename"])
    network = Embedder(variant.model, variant.channels)
    network.load_state_dict(train(variant, learnt, tensors, device, params["embed"]["batch"], None).state)
    ids = present(rows["crop_id"], views)
    images, _ = read_crops(ids, views, variant.channels, variant.model["width"], variant.model["height"])
    points = embed_images(network.to(device), images, params["embed"]["batch"], device)
    table = pd.DataFrame({"crop_id": list(ids), "embedding": list(points)})
    return search(table, sets, replace(read_rules(params), depth=len(rows)))


def by_matcher(name: str, sets: Mapping[str, ProtocolSet], data: Path, params: Mapping[str, Any]) -> pd.DataFrame:
    """Return a matcher's rankings of all sets."""
    matcher = read_matcher(params, name)
    crops, masks = (Packs(data / kind / matcher.part, data) for kind in ("views/crop", "masks"))
    asked = {crop for chosen in sets.values() for rows in (chosen.queries, chosen.gallery) for crop in rows["crop_id"]}
    names = sorted(crop for crop in asked if crop_file(crop) in crops)
    files = [crop_file(crop) for crop in names]
    found = matcher.method.features(crops, masks, files)
    score = compared_once(matcher.method.score) if matcher.pairwise else matcher.method.score
    return rank(dict(zip(names, found, strict=True)), sets, params["search"]["depth"], matcher.same_side, score)[0]


class Pairs:
    """All pairs of all sets of one seed, and what may be learnt from them.

    Attributes:
        table: As `join_scores` returns it; and `kind` and `fold` of its set, whether the pair is the `same` animal, the
            individual that is `asked` for, and the fold in which that one is `left` out (none for new ones).
        methods: Columns of scores.
        folds: How many there are.
    """

    def __init__(self, rankings: Mapping[str, pd.DataFrame], rows: pd.DataFrame, folds: list[np.ndarray]) -> None:
        pairs = join_scores(rankings)
        asked, same = by_identity(pairs, rows.set_index("crop_id")["identity"])
        kind, fold = pairs["protocol"].str.rsplit(n=1, expand=True).to_numpy().T
        left = pd.Series(asked).map({name: number for number, names in enumerate(folds) for name in names})
        self.table = pairs.assign(kind=kind, fold=fold.astype(int), same=same, asked=asked, left=left)
        self.methods, self.folds = list(rankings), len(folds)
        self._fitted: dict[tuple, Fusion] = {}

    def source(self, name: str, fold: int, barred: int, shortlist: int) -> pd.DataFrame:
        """Return the pairs of one of `SOURCES` for the network of `fold`, without questions of fold `barred`."""
        table = self.table[self.table["nearest"] <= shortlist]
        own = (table["kind"] == LEARNT) & (table["fold"] == fold) & (table["left"] != barred)
        others = (table["kind"] == OUTSIDE) & (table["fold"] != barred)
        one = others & (table["fold"] == (barred + 1) % self.folds)
        chosen = table[{LEARNT: own, "one fold": one, OUTSIDE: others}[name]]
        return chosen.assign(query=chosen["protocol"] + " " + chosen["query"])

    def fitted(self, name: str, fold: int, barred: int, rule: str, settings: Mapping[str, Any]) -> Fusion:
        """Fit one of `COMBINED`, or a method alone, to a source as the stage `fuse` does, once."""
        key = (name, fold if name == LEARNT else None, barred, rule)
        if key not in self._fitted:
            source = self.source(name, fold, barred, settings["shortlist"])
            methods, rule = (self.methods, rule) if rule in COMBINED else ([rule], POOL)
            kind, same = "pchip" if rule == MEAN else settings["calibration"], source["same"].to_numpy()
            self._fitted[key] = fit_fusion(source, same, query_weights(source), methods, kind, rule=rule)
        return self._fitted[key]


def judged(
    pairs: Pairs, sets: Mapping[str, ProtocolSet], network: str, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return a row for each query of a training individual and each way to rank.

    Returns:
        Whom it `asked` for, the `kind` of set, `source` (none: a method as it ranks), `rule`, its `flank_map` and
        whether that is `counted`, `probability` of its pairs on the shortlist, and whether they are the `same` animal.
    """
    told = []
    for (kind, fold), own in pairs.table[pairs.table["left"].notna()].groupby(["kind", "fold"]):
        asked = sets[f"{kind} {fold}"]
        queries = asked.queries[asked.queries["crop_id"].isin(own["query"])].reset_index(drop=True)
        question = ask(f"{kind} {fold}", replace(asked, queries=queries))
        found = {("", method): own[method].to_numpy() for method in pairs.methods}
        for source in SOURCES:
            for rule in (network, *COMBINED):
                score = np.zeros(len(own))
                for barred, part in own.groupby(own["left"].astype(int)):
                    model = pairs.fitted(source, fold, barred, rule, settings)
                    score[own.index.get_indexer(part.index)] = model.probability(part)
                found[source, rule] = score
        for (source, rule), score in found.items():
            scored = own.assign(score=score).dropna(subset="score")
            value = judge(rank_pairs(scored, len(own)), question, rule).hits[FLANK].metrics()["map"]
            near = dict(list(scored[scored["nearest"] <= settings["shortlist"]].groupby("query")))
            for row, counted, flank_map in zip(queries.itertuples(), question.totals[FLANK] > 0, value, strict=True):
                listed = near.get(row.crop_id, scored.head(0))
                told.append(
                    {"kind": kind, "asked": row.identity, "query": row.crop_id, "source": source, "rule": rule,
                     "counted": counted, "flank_map": flank_map, "probability": listed["score"].to_numpy(),
                     "same": listed["same"].to_numpy()}
                )  # fmt: skip
    return told


def summed_up(told: pd.DataFrame, network: str, matcher: str) -> dict[str, Any]:
    """Return means over queries and seeds, and differences by individual, of each kind of query, rule and source."""
    brier = [float(((row.probability - row.same) ** 2).mean()) if row.source else np.nan for row in told.itertuples()]
    told = told.assign(brier=brier)
    result: dict[str, Any] = {}
    for kind, of_kind in told.groupby("kind", sort=False):
        result[kind] = {"queries": int(of_kind["query"].nunique()), "individuals": int(of_kind["asked"].nunique())}
        mean = of_kind.groupby(["source", "rule", "query"])[["flank_map", "brier", "counted"]].mean()
        names = of_kind.drop_duplicates("query").set_index("query")["asked"]

        def less(name: str, one: tuple[str, str], other: tuple[str, str], mean: Any = mean, names: Any = names) -> Any:
            first, second = mean.loc[one], mean.loc[other]
            counted = (first["counted"] > 0).to_numpy() if name == "flank_map" else np.ones(len(first), bool)
            codes = np.unique(names.loc[first.index].to_numpy(str), return_inverse=True)[1]
            apart = leave_out((first[name] - second[name]).to_numpy(), counted, codes)
            ends = apart.interval(CONFIDENCE, SIGNED)
            return [None if value is None else round(float(value), 4) for value in (apart.value, *ends)]

        for (source, rule), rows in of_kind.groupby(["source", "rule"], sort=False):
            numbers: dict[str, Any] = {}
            if not (source and rule == network):  # no curve changes the order of one method
                numbers["flank_map"] = round(float(rows.loc[rows["counted"], "flank_map"].mean()), 4)
            if source:
                weight = np.concatenate([np.full(len(row), 1 / len(row)) for row in rows["same"]])
                scores = proper_scores(np.concatenate([*rows["probability"]]), np.concatenate([*rows["same"]]), weight)
                numbers |= {name: round(value, 4) for name, value in scores.items()}
                if source != LEARNT:
                    numbers["brier_less_validation"] = less("brier", (source, rule), (LEARNT, rule))
                if rule != network:
                    numbers["flank_map_less_matcher"] = less("flank_map", (source, rule), ("", matcher))
            result[kind][f"{rule}, {source}" if source else rule] = numbers
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a pipeline run")
    parser.add_argument("--network", default="adaptive_cosface")
    parser.add_argument("--matcher", default="sift_lnbnn")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/outfold.json"))
    arguments = parser.parse_args()
    params, network, matcher = read_params(), arguments.network, arguments.matcher
    variant, split = read_variant(params, network), read_split(arguments.data / "split.csv")
    rows = split[(split["part"] == variant.part) & split["subset"].isin(["train", "val"])].sort_values("crop_id")
    folds = deal(rows, arguments.folds)
    sets = {name: asked for fold, left in enumerate(folds) for name, asked in fold_sets(rows, left, fold).items()}
    side, told, seeds = rows.set_index("crop_id")["orientation"], [], []
    local = drop_opposite(by_matcher(matcher, sets, arguments.data, params), side)
    for seed, training in for_each_seed(replace(variant, train={**variant.train, "seeds": arguments.seeds})).items():
        tables = []
        for fold in range(len(folds)):
            own = {name: asked for name, asked in sets.items() if name.endswith(f" {fold}")}
            tables.append(by_network(training, own, rows, arguments.data, params))
            print(f"seed {seed}, without {', '.join(folds[fold])}", flush=True)
        pairs = Pairs({matcher: local, network: pd.concat(tables, ignore_index=True)}, rows, folds)
        with threadpool_limits(1):
            told += judged(pairs, sets, network, params["fusion"])
        seeds.append(seed)
        result = {"network": network, "matcher": matcher, "seeds": seeds, "folds": len(folds)}
        result |= summed_up(pd.DataFrame(told), network, matcher)
        write_json(arguments.out, result)
    for kind in (OUTSIDE, LEARNT):
        for way, numbers in result[kind].items():
            print(kind, way, numbers)


if __name__ == "__main__":
    main()
