"""Evaluate: data/rankings and data/split.csv -> data/eval/, plots/cmc/, plots/roc/, one file a method.

Which method is the champion, chosen on validation, stands in data/champion.json; what every two methods' differences
on the test queries are worth, in data/verdicts.csv.
Numbers of single seeds stand in data/seeds.json, for the methods that were trained with several.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import _path  # noqa: F401
import numpy as np
import pandas as pd

from pelage.common.files import fresh_folder, write_json
from pelage.common.params import read_params
from pelage.common.progress import track
from pelage.common.stage import run_stage
from pelage.common.tables import read_parquet, write_table
from pelage.evaluation.judging import Judged, Question, ask, judge
from pelage.evaluation.masks import FLANK
from pelage.evaluation.scoring import cmc_table, query_rates, roc_table, score_method, seed_scores
from pelage.evaluation.verdicts import CHOSEN_BY, VERDICT_COLUMNS, champion, compare_all
from pelage.matching.rankings import BASELINE, FUSED, NO_RIVALS, SIGHTINGS, ranking_files
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
    parts |= dict.fromkeys((FUSED, SIGHTINGS), parts[params["fusion"]["methods"][0]])
    split = read_split(Path("data/split.csv"))
    questions = {
        part: {name: ask(name, rules) for name, rules in protocol_sets(split, part).items()}
        for part in sorted(set(parts.values()))
    }
    results, seeds, judged_of, baseline = {}, {}, {}, None
    for method, part in track(parts.items(), "evaluate"):
        files = ranking_files(method)
        answers = [judge_file(file, questions[part]) for file in files]
        judged_of[method] = answers
        baseline = answers if method == BASELINE else baseline
        compared = baseline if part == parts.get(BASELINE) else None
        scores = score_method(questions[part], answers, compared, wanted["confidence"], wanted["false_match_rate"])
        opened = [judged["open"] for judged in answers]
        results[method] = scores, cmc_table(questions[part], answers), roc_table(questions[part]["open"], opened)
        if len(files) > 1:
            by_seed = dict(zip([file.stem for file in files], answers, strict=True))
            seeds[method] = seed_scores(questions[part], by_seed)
    folders = Path("data/eval"), Path("plots/cmc"), Path("plots/roc")
    with fresh_folder(folders[0]) as metrics, fresh_folder(folders[1]) as cmc, fresh_folder(folders[2]) as roc:
        for method, (scores, cmc_curve, roc_curve) in results.items():
            write_json(metrics / f"{method}.json", scores)
            write_table(cmc / f"{method}.csv", cmc_curve)
            write_table(roc / f"{method}.csv", roc_curve)
    write_json(Path("data/seeds.json"), seeds)
    champions, verdicts = {}, []
    for part, asked in questions.items():
        named = [method for method, of in parts.items() if of == part and method not in NO_RIVALS]
        found = {method: results[method][0]["validation"][CHOSEN_BY] for method in named}
        best = champion(found)
        champions[part] = {"method": best, f"validation_{CHOSEN_BY}": found.get(best)}
        verdicts += [
            method_verdicts(question, {method: judged_of[method] for method in named}, wanted["confidence"], part)
            for name, question in asked.items()
            if name in ("closed", "disjoint")
        ]
    fused = fused_minus_best(results, judged_of, pd.concat(verdicts), params["fusion"]["methods"])
    write_json(Path("data/champion.json"), {"champions": champions, FUSED: fused})
    write_table(Path("data/verdicts.csv"), pd.concat(verdicts).round(4))
    for part, chosen in champions.items():
        scores = results[chosen["method"]][0] if chosen["method"] else {}
        told = ", ".join(f"{name} top-1 {scores[name]['top1']}" for name in ("closed", "disjoint") if name in scores)
        print(f"evaluate: {part}, champion of validation {chosen['method']}, {told}")


def fused_minus_best(results: Mapping, judged_of: Mapping, verdicts: pd.DataFrame, methods: Sequence[str]) -> dict:
    """Return by how much the fused ranking is ahead of the best of its methods, which is the best of validation.

    Differences stand with the ends of their intervals. A fused ranking that is that method's own has none.
    """
    best = champion({method: results[method][0]["validation"][CHOSEN_BY] for method in methods}) or methods[0]
    told = {"best_part": best, "is_best_part": same_answers(judged_of[FUSED], judged_of[best])}
    for row in verdicts.to_dict("records"):
        if {row["method"], row["other"]} == {best, FUSED}:
            sign = 1 if row["method"] == FUSED else -1
            numbers = [sign * row["difference"], *sorted(sign * row[end] for end in ("low", "high"))]
            numbers = [None if np.isnan(value) else round(float(value), 4) + 0.0 for value in numbers]
            told[f"{row['protocol']}_{row['metric']}_minus_best"] = [0.0] * 3 if told["is_best_part"] else numbers
    return told


def same_answers(one: Sequence[Mapping[str, Judged]], two: Sequence[Mapping[str, Judged]]) -> bool:
    """Tell whether two methods, of one seed each, rank the right photos of all queries alike."""
    return len(one) == len(two) == 1 and all(
        np.array_equal(hits.query, two[0][name].hits[kind].query)
        and np.array_equal(hits.rank, two[0][name].hits[kind].rank)
        for name, judged in one[0].items()
        for kind, hits in judged.hits.items()
    )


def method_verdicts(
    question: Question, answers: Mapping[str, Sequence[Mapping[str, Judged]]], confidence: float, part: str
) -> pd.DataFrame:
    """Compare every two methods in a protocol, by top-1 of individuals and by the average precision of flanks."""
    individual = np.unique(question.rules.queries["identity"].astype(str), return_inverse=True)[1]
    rates = {
        method: [query_rates(judged[question.name]) for judged in of_seeds] for method, of_seeds in answers.items()
    }
    tables = []
    for metric, counted in (("top1", question.answerable), ("flank_map", question.totals[FLANK] > 0)):
        values = {method: np.mean([rate[metric] for rate in of_seeds], axis=0) for method, of_seeds in rates.items()}
        table = compare_all(values, counted, individual, confidence)
        tables.append(table.assign(part=part, protocol=question.name, metric=metric)[VERDICT_COLUMNS])
    return pd.concat(tables)


def judge_file(path: Path, questions: dict[str, Question]) -> dict[str, Judged]:
    rankings = read_parquet(path, categories=("protocol", "query", "candidate"))
    return {name: judge(rankings, question, str(path)) for name, question in questions.items()}


if __name__ == "__main__":
    run_stage(main)
