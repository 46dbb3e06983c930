"""Evaluate: data/rankings and data/split.csv -> metrics/eval/, plots/cmc/, plots/roc/, one file a method.

Numbers of single seeds stand in metrics/seeds.json, for the methods that were trained with several.
"""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import fresh_folder, write_json
from pelage.common.params import read_params
from pelage.common.progress import track
from pelage.common.stage import run_stage
from pelage.common.tables import read_parquet, write_table
from pelage.evaluation.judging import Judged, Question, ask, judge
from pelage.evaluation.scoring import cmc_table, roc_table, score_method, seed_scores
from pelage.matching.rankings import BASELINE, FUSED, ranking_files
from pelage.split.protocols import protocol_sets, read_split


def main() -> None:
    """Judge every method by the same rules, the baseline first because the others are compared with it."""
    params = read_params()
    wanted = params["evaluate"]
    matchers = sorted(params["matchers"].items(), key=lambda item: item[0] != BASELINE)
    parts = {name: fields["part"] for name, fields in [*matchers, *params["variants"].items()]}
    parts |= {name: fields["part"] for name, fields in params["rematchers"].items()}
    parts |= dict.fromkeys(("mlp", "random_mlp"), params["mlp"]["part"])
    parts |= {"orb_sift_brisk_lightgbm": params["pairs"]["part"]}
    parts |= dict.fromkeys(("random", "majority"), params["naive"]["part"])
    parts[FUSED] = parts[params["fusion"]["methods"][0]]
    split = read_split(Path("data/split.csv"))
    questions = {
        part: {name: ask(name, rules) for name, rules in protocol_sets(split, part).items()}
        for part in sorted(set(parts.values()))
    }
    results, seeds, baseline = {}, {}, None
    for method, part in track(parts.items(), "evaluate"):
        files = ranking_files(method)
        answers = [judge_file(file, questions[part]) for file in files]
        baseline = answers if method == BASELINE else baseline
        compared = baseline if part == parts.get(BASELINE) else None
        scores = score_method(questions[part], answers, compared, wanted["confidence"], wanted["false_match_rate"])
        opened = [judged["open"] for judged in answers]
        results[method] = scores, cmc_table(questions[part], answers), roc_table(questions[part]["open"], opened)
        if len(files) > 1:
            by_seed = dict(zip([file.stem for file in files], answers, strict=True))
            seeds[method] = seed_scores(questions[part], by_seed)
    folders = Path("metrics/eval"), Path("plots/cmc"), Path("plots/roc")
    with fresh_folder(folders[0]) as metrics, fresh_folder(folders[1]) as cmc, fresh_folder(folders[2]) as roc:
        for method, (scores, cmc_curve, roc_curve) in results.items():
            write_json(metrics / f"{method}.json", scores)
            write_table(cmc / f"{method}.csv", cmc_curve)
            write_table(roc / f"{method}.csv", roc_curve)
    write_json(Path("metrics/seeds.json"), seeds)
    for protocol in ("closed", "open", "disjoint"):
        top = {method: scores[protocol]["top1"] for method, (scores, *_) in results.items()}
        best = max(top, key=lambda method: -1.0 if top[method] is None else top[method])
        print(f"evaluate: {protocol}, best top-1 {top[best]} ({best}, {results[best][0][protocol]['queries']} queries)")


def judge_file(path: Path, questions: dict[str, Question]) -> dict[str, Judged]:
    rankings = read_parquet(path, categories=("protocol", "query", "candidate"))
    return {name: judge(rankings, question, str(path)) for name, question in questions.items()}


if __name__ == "__main__":
    run_stage(main)
