"""Leopards, leaving one encounter out: how often does the nearest photo of another encounter show the same individual?

    export PYTHONPATH=src
    dvc exp run -S ingest.dataset=leopard -S datasets.leopard.source=folder -S datasets.leopard.path=FOLDER
    python benchmarks/leopard.py --pictures FOLDER2

Every flank that the run cropped asks all others that are not of its own encounter; both flanks compete, for with so few
individuals a side alone would give the answer away. HotSpotter, sift_lnbnn, ALIKED with LightGlue (where `--weights`
names the folder that the stage match_weights made), and their reciprocal rank fusion: there are too few individuals to
fit probabilities on. Nothing is trained. `--pictures` draws the matches of all queries, and those that are answered
wrong once more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from pelage.common.files import write_bytes, write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.tables import crop_file
from pelage.evaluation.intervals import leave_out
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.scoring import query_rates
from pelage.matching.fusion import join_scores, reciprocal_rank
from pelage.matching.learned.rematch import matching_tools, rematch
from pelage.matching.learned.rematchers import DEFAULTS
from pelage.matching.local.hotspotter import HotSpotter
from pelage.matching.local.ranking import rank
from pelage.matching.local.sift_lnbnn import SiftLnbnn
from pelage.matching.rankings import rank_pairs
from pelage.model.compute import prepare
from pelage.report.sheets import explained_sheet
from pelage.split.protocols import ProtocolSet, read_split

METHODS = {
    "hotspotter_wbia": HotSpotter(**HotSpotter.presets["wbia"]),
    "hotspotter_fast": HotSpotter(**HotSpotter.presets["fast"]),
    "sift_lnbnn": SiftLnbnn(),
}
PROTOCOL = "leave_one_encounter_out"
A_SHEET = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--weights", type=Path, help="of ALIKED and LightGlue")
    parser.add_argument("--pictures", type=Path, help="existing folder for pictures of all matches")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/leopard.json"))
    arguments = parser.parse_args()
    params = read_params()["evaluate"]
    data = arguments.data
    crops, masks = (Packs(data / folder / "flank", data) for folder in ("views/crop", "masks"))
    split = read_split(data / "split.csv")
    rows = split[split["part"] == "flank"].sort_values("crop_id", ignore_index=True)
    question = ask(PROTOCOL, ProtocolSet(rows, rows))
    files = [crop_file(name) for name in rows["crop_id"]]

    rankings, matches = {}, {}
    for name, method in METHODS.items():
        features = dict(zip(rows["crop_id"], method.features(crops, masks, files), strict=True))
        rankings[name], _, matches[name], _ = rank(features, {PROTOCOL: question.rules}, len(rows), False, method.score)
    if arguments.weights:
        asked = rankings["sift_lnbnn"][["protocol", "query", "candidate"]].astype(str)
        device = prepare("cpu", threads=1)
        place = {"wanted": DEFAULTS, "crops": crops, "masks": masks, "weights": arguments.weights, "device": device}
        tools = matching_tools(**place, crop_ids=rows["crop_id"])
        rankings["aliked_lightglue"], matches["aliked_lightglue"], _ = rematch(
            asked, **tools, score=DEFAULTS["score"], confidence=DEFAULTS["confidence"], depth=len(rows)
        )
    pairs = join_scores(rankings)
    pairs["score"] = reciprocal_rank(pairs, list(rankings))
    rankings["fused"] = rank_pairs(pairs, len(rows))

    able = question.answerable
    individual = pd.factorize(rows["identity"])[0]
    result: dict[str, dict] = {}
    for name, ranking in rankings.items():
        rates = query_rates(judge(ranking, question, name))
        low, high = leave_out(rates["top1"], able, individual).interval(params["confidence"])
        result[name] = {
            "top1": float(rates["top1"][able].mean()),
            "top1_low": low,
            "top1_high": high,
            "map": float(rates["map"][able].mean()),
            "queries": int(able.sum()),
            "encounters": int(rows["encounter"].nunique()),
            "individuals": int(rows["identity"].nunique()),
            "missed": question.rules.queries["crop_id"][able & (rates["top1"] == 0)].tolist(),
        }
        print(name, result[name])
    write_json(arguments.out, {name: rounded(values) for name, values in result.items()})
    if arguments.pictures:
        for name in matches:
            ranking, missed = rankings[name], result[name]["missed"]
            draw(arguments.pictures, crops, ranking, matches[name], rows, name)
            draw(
                arguments.pictures, crops, ranking[ranking["query"].isin(missed)], matches[name], rows, f"{name}-missed"
            )


def rounded(values: dict) -> dict:
    """Round what is no count to 4 digits."""
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}


def draw(
    folder: Path, crops: Packs, ranking: pd.DataFrame, matches: pd.DataFrame, rows: pd.DataFrame, name: str
) -> None:
    """Write sheets of all queries beside their first candidates, `A_SHEET` queries each."""
    queries = list(ranking["query"].drop_duplicates())
    for sheet, start in enumerate(range(0, len(queries), A_SHEET), 1):
        own = ranking[ranking["query"].isin(queries[start : start + A_SHEET])]
        png = explained_sheet(crops, own, matches, ranking.head(0), rows, 0, seed=1)
        write_bytes(folder / f"{name}-{sheet:02d}.png", png)


if __name__ == "__main__":
    main()
