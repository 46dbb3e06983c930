"""The leaderboard as a table, as Markdown, and in words.

It lays the metrics of all methods side by side, one block a part and protocol, and says in generated sentences what
they show: which method leads, whether the local features beat the networks, whether anything beats the controls. A
difference counts if it is larger than chance (the interval by individual) and, where a network was trained with
several seeds, larger than twice the standard deviation between them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.params import merged
from pelage.evaluation.verdicts import CHOSEN_BY
from pelage.matching.local.matchers import read_matcher
from pelage.matching.rankings import BASELINE, FUSED, NO_RIVALS, SIGHTINGS

KINDS = {
    "network": "network",
    "local": "local features",
    "study": "replication study",
    "fused": "fusion",
    "sightings": "fusion, by sighting",
    "control": "control",
}

PROTOCOLS = {
    "closed": "Which of the known individuals is it?",
    "open": "Is it a known individual at all, and which?",
    "disjoint": "Does it hold for animals that training never saw?",
}
HEADLINE = {"closed": "top1", "open": "auroc", "disjoint": "top1"}
"""The metric that a protocol's methods are ordered by."""

METRIC_NAMES = {
    "top1": "top-1",
    "top3": "top-3",
    "top5": "top-5",
    "top10": "top-10",
    "dynamic_top5_ap": "dynamic top-5 AP",
    "map": "mAP",
    "identity_balanced_map": "balanced mAP",
    "map_at_r": "MAP@R",
    "flank_map": "flank mAP",
    "balanced_accuracy": "balanced accuracy",
    "top1_encounter_free": "top-1, other encounters only",
    "auroc": "AUROC",
    "baks": "BAKS",
    "baus": "BAUS",
}
SHOWN = {
    "closed": ["top1", "top5", "top10", "dynamic_top5_ap", "map", "identity_balanced_map", "flank_map", "map_at_r"],
    "open": ["auroc", "baks", "baus", "top1", "map"],
    "disjoint": ["top1", "top5", "top10", "dynamic_top5_ap", "map", "identity_balanced_map", "flank_map", "map_at_r"],
}
COUNTS = ["queries", "queries_with_match", "query_identities", "gallery", "gallery_identities", "seeds"]
COUNTS += ["queries_with_flank_match", "threshold_individuals"]
WORDS = ["part", "protocol", "method", "kind", "view", "detail", "note"]
"""Columns of a leaderboard that are no numbers."""
SPREADS = 2
"""Standard deviations between seeds that a difference has to exceed."""


def read_metrics(path: Path) -> dict[str, Any]:
    """Read the metrics file of a stage."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PelageError(f"{path} is missing: run `dvc repro` up to the stage that writes it.") from error


@dataclass(frozen=True)
class Method:
    """A row of the leaderboard: what ranked the photos, and from what."""

    name: str
    kind: str  # a key of KINDS
    part: str
    view: str
    detail: str


def list_methods(params: Mapping[str, Any]) -> list[Method]:
    """Return the methods that `params.yaml` asks for: variants, matchers, rematchers, the systems of the replication
    study, the fusion and the controls; those of parts that are not wanted are left out.

    Files are not looked at, so a variant that was taken out of the parameters leaves no row behind.
    """
    methods = []
    for name, variant in params["variants"].items():
        loss = merged(params["loss"], variant.get("loss"), f"variants.{name}.loss")
        plus = loss.get("plus")
        losses = f"{loss['name']} + {plus['name']}" if isinstance(plus, Mapping) else loss["name"]
        backbone = merged(params["model"], variant.get("model"), f"variants.{name}.model")["backbone"]
        methods.append(Method(name, "network", variant["part"], variant["view"], f"{backbone}, {losses}"))
    for name in params["matchers"]:
        matcher = read_matcher(params, name)
        methods.append(Method(name, "local", matcher.part, "crop", matcher.method.detail))
    for name, fields in params["rematchers"].items():
        detail = f"{fields['features'].upper()}, LightGlue; shortlists of {fields['local']} and {fields['global']}"
        methods.append(Method(name, "local", fields["part"], "crop", detail))
    fused = params["fusion"]["methods"]
    part = next(method.part for method in methods if method.name == fused[0])
    pixels, pairs, naive = params["mlp"], params["pairs"]["part"], params["naive"]["part"]
    methods += [
        Method("mlp", "study", pixels["part"], pixels["view"], "perceptron in NumPy on grey pixels"),
        Method("orb_sift_brisk_lightgbm", "study", pairs, "crop", "ORB, SIFT and BRISK matches, boosted trees"),
        Method(FUSED, "fused", part, "", f"{' and '.join(fused)}: the best alone, or together"),
        Method(SIGHTINGS, "sightings", part, "", f"{FUSED}, photos of one sighting asked together"),
        Method("random_mlp", "control", pixels["part"], pixels["view"], "the perceptron untrained"),
        Method("random", "control", naive, "", "a ranking by chance"),
        Method("majority", "control", naive, "", "the most photographed individuals first"),
    ]
    return [method for method in methods if method.part in params["parts"]]


def leaderboard(metrics: Mapping[str, Mapping[str, Mapping[str, Any]]], methods: Sequence[Method]) -> pd.DataFrame:
    """Lay the metrics of all methods under one another.

    Args:
        metrics: What `evaluate` wrote: method -> protocol -> metric -> number or None.
        methods: Rows, in the order that ties keep.

    Returns:
        One row a part, protocol and method; within a part and protocol best first by `HEADLINE`, then mAP. `place`
        counts from 1 and is missing where the metric is. `note` says `no photos` where the data set does not show the
        part, `no queries` where the protocol has none, and `no answer` where the gallery can answer none of them.
    """
    rows = []
    for position, method in enumerate(methods):
        seen = any(found.get("queries") or found.get("gallery") for found in metrics[method.name].values())
        for order, protocol in enumerate(PROTOCOLS):
            found = metrics[method.name].get(protocol) or {}
            note = "" if found.get("queries_with_match") else "no answer" if found.get("queries") else "no queries"
            described = {"part": method.part, "protocol": protocol, "place": None, "method": method.name}
            described |= {"kind": method.kind, "view": method.view, "detail": method.detail}
            described |= {"note": note if seen else "no photos"}
            described |= {"validated": metrics[method.name].get("validation", {}).get(CHOSEN_BY)}
            headline = found.get(HEADLINE[protocol])
            rows.append((order, headline, found.get("map"), position, described | dict(found)))
    parts = list(dict.fromkeys(method.part for method in methods))
    rows.sort(key=lambda row: (parts.index(row[4]["part"]), row[0], _last(row[1]), _last(row[2]), row[3]))
    table = pd.DataFrame([row[4] for row in rows])
    if table.empty:
        return table
    scored = pd.Series([row[1] is not None for row in rows])
    places = scored.groupby([table["part"], table["protocol"]]).cumsum()
    table["place"] = places.where(scored).astype("Int64")
    for column in COUNTS:
        if column in table:
            table[column] = table[column].astype("Int64")
    return table


def read_board(text: str) -> pd.DataFrame:
    """Read a leaderboard as `write_table` writes it."""
    table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    for column in table.columns.difference(WORDS):
        numbers = pd.to_numeric(table[column].replace("", None))
        table[column] = numbers.astype("Int64") if column in ("place", *COUNTS) else numbers.astype(float)
    return table


def _last(value: float | None) -> tuple[bool, float]:
    """Return a key that sorts large numbers first and missing ones last."""
    return value is None, -(value or 0.0)


def blocks(table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Cut a leaderboard into `(part, protocol, rows)`, in its own order."""
    return [(part, protocol, rows) for (part, protocol), rows in table.groupby(["part", "protocol"], sort=False)]


def leader(table: pd.DataFrame) -> pd.Series:
    """Return the row whose matches are worth looking at: the first that is a rival, closed before disjoint."""
    able = table[~table["method"].isin(NO_RIVALS) & table["place"].notna()]
    for protocol in ("closed", "disjoint", "open"):
        if (able["protocol"] == protocol).any():
            return able[able["protocol"] == protocol].iloc[0]
    return table[table["protocol"] == "closed"].iloc[0]


def best_local(table: pd.DataFrame, shown: pd.Series) -> str | None:
    """Return the best method by local features in the block of a row of the leaderboard; None if there is none."""
    able = (table["kind"] == "local") & table["place"].notna()
    block = table[able & (table["part"] == shown["part"]) & (table["protocol"] == shown["protocol"])]
    return None if block.empty else block["method"].iloc[0]


def number(value: Any, digits: int = 3) -> str:
    """Write a number for people: `0.123`, `1,234`, a dash where there is none."""
    if value is None or value is pd.NA or value != value:
        return "–"
    if isinstance(value, str | bool):
        return {"True": "yes", "False": "no"}.get(str(value), str(value))
    if float(value).is_integer() and not isinstance(value, float):
        return f"{int(value):,}"
    return f"{value:.{digits}f}"


def with_spread(row: Mapping[str, Any], metric: str) -> str:
    """Write a metric with its standard deviation between seeds where there is one: `0.612 ± 0.021`."""
    spread = number(row.get(f"{metric}_sd"))
    return number(row.get(metric)) + (f" ± {spread}" if spread != "–" else "")


def with_interval(row: Mapping[str, Any], metric: str) -> str:
    """Write a metric with its spread and its confidence interval where there are: `0.612 ± 0.021 [0.550, 0.670]`."""
    low, high = row.get(f"{metric}_low"), row.get(f"{metric}_high")
    if number(low) == "–" or number(high) == "–":
        return with_spread(row, metric)
    return f"{with_spread(row, metric)} [{number(low)}, {number(high)}]"


def with_seeds(row: Mapping[str, Any]) -> str:
    """Write a method's name with the number of its seeds where there are several: `net (3 seeds)`."""
    seeds = number(row.get("seeds"))
    return row["method"] if seeds in ("–", "1") else f"{row['method']} ({seeds} seeds)"


def beyond_spread(row: Mapping[str, Any], metric: str, difference: float) -> bool:
    """Tell whether a difference in a metric is larger than `SPREADS` standard deviations between the row's seeds."""
    spread = row.get(f"{metric}_sd")
    return number(spread) == "–" or abs(difference) > SPREADS * spread


def verdict(rows: pd.DataFrame) -> str:
    """Say in words what one part and protocol shows.

    Args:
        rows: A block of `leaderboard`, best first.

    Returns:
        Sentences: who leads, local features against the best network (with the paired difference where there is one),
        whether the replication study leads, and whether the leader's interval lies above the controls'.
    """
    protocol = rows["protocol"].iloc[0]
    metric = HEADLINE[protocol]
    name = METRIC_NAMES[metric]
    scored = rows[rows["place"].notna()]
    if scored.empty:
        return "No method could be scored: " + {
            "no photos": "the data set has no such photos.",
            "no queries": "no photo asks here.",
            "no answer": "no query has an answer in the gallery.",
        }.get(rows["note"].iloc[0], f"{name} is not defined for these queries.")
    best = {kind: _best_validated(group) for kind, group in scored.groupby("kind", sort=False)}
    network, local = best.get("network"), best.get("local")
    able = network if network is not None else local
    if network is not None and local is not None:
        sentence = _duel(network, local, metric)
    elif network is not None:
        sentence = (
            f"{network['method']} reaches {name} {with_interval(network, metric)}; {BASELINE} was not compared here."
        )
    elif local is not None:
        reached = f"{local['method']} reaches {name} {with_interval(local, metric)}"
        sentence = f"{reached}; no network could be compared here."
    else:
        sentence = ""
    study = best.get("study")
    if study is not None and study["place"] == 1:
        sentence += f" First of all is {study['method']} of the replication study with {with_interval(study, metric)}."
    if "fused" in best:
        sentence = f"{sentence} {FUSED} reaches {with_interval(best['fused'], metric)}.".strip()
    return f"{sentence} {_against_control(able, best.get('control'), metric)}".strip()


def _best_validated(rows: pd.DataFrame) -> pd.Series:
    """Return the row that is best on validation photos, for the best of the test is so by chance too.

    The first one where nothing was validated.
    """
    validated = pd.to_numeric(rows["validated"])
    return rows.loc[validated.idxmax()] if validated.notna().any() else rows.iloc[0]


def _duel(network: pd.Series, local: pd.Series, metric: str) -> str:
    """Say whether the local features or the best network is ahead, and by more than chance and the spread of seeds."""
    scores = [with_interval(row, metric) for row in (network, local)]
    difference, low, high = (network.get(f"top1_minus_sift{end}") for end in ("", "_low", "_high"))
    name = local["method"]
    if metric == "top1" and name == BASELINE and number(low) != "–" and number(high) != "–":
        apart = low > 0 or high < 0
        told = f" (query by query, network less {BASELINE}: {difference:+.3f} [{low:+.3f}, {high:+.3f}])"
    else:
        low, high = (network.get(f"{metric}_low"), network.get(f"{metric}_high"))
        other = (local.get(f"{metric}_low"), local.get(f"{metric}_high"))
        known = "–" not in map(number, (low, high, *other))
        apart, told = known and (low > other[1] or high < other[0]), ""
    doubt = "" if apart else ", but these queries do not tell the two apart"
    if apart and not beyond_spread(network, metric, network[metric] - local[metric]):
        apart, doubt = False, f", but by no more than {SPREADS} standard deviations between seeds"
    if network[metric] == local[metric]:
        return f"{name} and the best network, {network['method']}, both have {METRIC_NAMES[metric]} {scores[1]}{told}."
    verb = "beats" if apart else "is ahead of"
    if local[metric] > network[metric]:
        return (
            f"{name} {verb} every network: {METRIC_NAMES[metric]} {scores[1]} against {scores[0]} "
            f"for the best of them, {network['method']}{doubt}{told}."
        )
    return f"{network['method']} {verb} {name}: {METRIC_NAMES[metric]} {scores[0]} against {scores[1]}{doubt}{told}."


def _against_control(leader: pd.Series | None, control: pd.Series | None, metric: str) -> str:
    if control is None:
        return "" if leader is None else "No control was run here."
    score = f"{METRIC_NAMES[metric]} {with_interval(control, metric)}"
    if leader is None:
        return f"Only controls could be scored; the best is {control['method']} with {score}."
    low, high = leader.get(f"{metric}_low"), control.get(f"{metric}_high")
    if number(low) == "–" or number(high) == "–":
        low, high = leader[metric], control[metric]
    if low > high and beyond_spread(leader, metric, leader[metric] - control[metric]):
        return f"{leader['method']} stands clear of the controls (the best of them, {control['method']}: {score})."
    return f"{leader['method']} has not been shown to beat the control {control['method']} ({score})."


def markdown(table: pd.DataFrame) -> str:
    """Write the leaderboard as Markdown: a heading, a verdict and a table for each part and protocol."""
    sections = []
    for part, protocol, rows in blocks(table):
        shown = shown_metrics(rows)
        header = ["", "method", "view", *[METRIC_NAMES[metric] for metric in shown]]
        lines = [markdown_row(header), markdown_row([":--"] * 3 + ["--:"] * len(shown))]
        for _, row in rows.iterrows():
            values = [with_interval(row, metric) for metric in shown]
            if row["note"]:
                values = [row["note"]] + [""] * (len(shown) - 1)
            name = f"**{with_seeds(row)}**" if row["place"] is not pd.NA and row["place"] == 1 else with_seeds(row)
            lines.append(markdown_row([number(row["place"]), name, row["view"] or "–", *values]))
        sections.append(f"### {part.capitalize()}, {protocol}\n\n{verdict(rows)}\n{asked(rows)}\n\n" + "\n".join(lines))
    return "\n\n".join(sections) + "\n"


def shown_metrics(rows: pd.DataFrame) -> list[str]:
    """Return the metrics that a block is shown with; queries of other encounters only where they differ."""
    shown = [metric for metric in SHOWN[rows["protocol"].iloc[0]] if metric in rows]
    apart = "top1_encounter_free"
    if apart in rows and "top1" in shown and (rows[apart].notna() & (rows[apart] != rows["top1"])).any():
        shown.insert(shown.index("top1") + 1, apart)
    return shown


def asked(rows: pd.DataFrame) -> str:
    """Say how many queries and gallery photos a block stands on."""
    counted = rows[rows["note"] == ""]
    if counted.empty:
        return ""
    row = counted.iloc[0]
    text = (
        f"{number(row.get('queries'))} queries of {number(row.get('query_identities'))} individuals "
        f"against {number(row.get('gallery'))} gallery crops of {number(row.get('gallery_identities'))} individuals"
    )
    answerable = row.get("queries_with_match")
    if number(answerable) != "–" and answerable != row["queries"]:
        text += f"; ranks are scored over the {number(answerable)} queries whose individual the gallery can show"
    text += _no_threshold(row)
    ceiling = row.get("ceiling_same_flank")
    if number(ceiling) != "–" and ceiling < 1:
        text += f"; for {100 * ceiling:.1f} % of these a gallery photo shows the same side"
    return text + "."


def _no_threshold(row: Mapping[str, Any]) -> str:
    """Say that the asked rate of false matches cannot be had, where that is so."""
    least = row.get("least_false_match_rate")
    if number(least) == "–" or number(row.get("threshold")) != "–":
        return ""
    animals = number(row["threshold_individuals"])
    return (
        "; there is no threshold between known and new: the asked rate of false matches cannot be had with "
        f"{animals} individuals in validation, which can vouch for {100 * least:.1f} % and no less"
    )


def markdown_row(cells: Sequence[str]) -> str:
    """Write one row of a Markdown table."""
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
