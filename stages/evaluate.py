"""Evaluate: data/rankings and data/split.csv -> metrics/eval/, plots/cmc/, plots/roc/, one file a method."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import fresh_folder, write_json
from pelage.common.params import read_params
from pelage.common.progress import track
from pelage.common.stage import run_stage
from pelage.common.tables import read_parquet, write_table
from pelage.evaluation.judging import ask, judge
from pelage.evaluation.scoring import cmc_table, roc_table, score_method
from pelage.split.protocols import protocol_sets, read_split

BASELINE = "sift_lnbnn"
FUSED = "fused"


def main() -> None:
    """Judge every method by the same rules, the baseline first because the others are compared with it."""
    params = read_params()
    wanted = params["evaluate"]
    matchers = sorted(params["matchers"].items(), key=lambda item: item[0] != BASELINE)
    parts = {name: fields["part"] for name, fields in [*matchers, *params["variants"].items()]}
    parts |= dict.fromkeys(("random", "majority"), params["naive"]["part"])
    parts |= {name: fields["part"] for name, fields in params["rematchers"].items()}
    parts[FUSED] = parts[params["fusion"]["methods"][0]]
    split = read_split(Path("data/split.csv"))
    questions = {
        part: {name: ask(name, rules) for name, rules in protocol_sets(split, part).items()}
        for part in sorted(set(parts.values()))
    }
    results, baseline = {}, None
    for method, part in track(parts.items(), "evaluate"):
        source = "data/fused.parquet" if method == FUSED else f"data/rankings/{method}.parquet"
        rankings = read_parquet(Path(source), categories=("protocol", "query", "candidate"))
        judged = {name: judge(rankings, question, source) for name, question in questions[part].items()}
        baseline = judged if method == BASELINE else baseline
        compared = baseline if part == parts.get(BASELINE) else None
        scores = score_method(
            questions[part], judged, compared, wanted["bootstrap"], wanted["confidence"], wanted["seed"]
        )
        curves = cmc_table(questions[part], judged), roc_table(questions[part]["open"], judged["open"])
        results[method] = scores, *curves
    folders = Path("metrics/eval"), Path("plots/cmc"), Path("plots/roc")
    with fresh_folder(folders[0]) as metrics, fresh_folder(folders[1]) as cmc, fresh_folder(folders[2]) as roc:
        for method, (scores, cmc_curve, roc_curve) in results.items():
            write_json(metrics / f"{method}.json", scores)
            write_table(cmc / f"{method}.csv", cmc_curve)
            write_table(roc / f"{method}.csv", roc_curve)
    for protocol in ("closed", "open", "disjoint"):
        top = {method: scores[protocol]["top1"] for method, (scores, *_) in results.items()}
        best = max(top, key=lambda method: -1.0 if top[method] is None else top[method])
        print(f"evaluate: {protocol}, best top-1 {top[best]} ({best}, {results[best][0][protocol]['queries']} queries)")


if __name__ == "__main__":
    run_stage(main)
