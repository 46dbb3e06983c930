"""The page `data/report/index.html`: one file that holds everything, pictures inside, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from pelage.common.parallel import parallel_map
from pelage.common.params import entry
from pelage.common.tables import UNKNOWN
from pelage.report.camera_counts import camera_page
from pelage.report.tables import (
    HEADLINE,
    KINDS,
    METRIC_NAMES,
    PROTOCOLS,
    Method,
    asked,
    blocks,
    number,
    shown_metrics,
    verdict,
    with_seeds,
    with_spread,
)
from pelage.report.template import fill
from pelage.report.thumbnails import shrunk

SPELLED = {"auc": "AUC", "f1": "F1", "iou": "IoU", "map": "mAP", "roc": "ROC", "top1": "top-1"}
SUBSETS = {
    "train": "training, and the gallery of known individuals",
    "val": "validation: early stopping and thresholds",
    "test, known": "queries: new encounters of known individuals",
    "test, novel": "queries: individuals that training never saw",
    "survey": "nobody named the animal: it is asked who it is",
    "none": "neither trained on nor scored: the crop shows another animal, too, or the split leaves the photo out",
}


COUNTED = {
    "estimates": ("Estimates of the number of animals, with their intervals", "Dots: estimates; whiskers: intervals."),
    "discovery": ("How many animals were known by then", "Where it flattens, few animals are left to be found."),
    "captures": ("Which animal was seen on which occasion", "A row an animal, a column an occasion."),
    "stations": ("Map of stations, and of the centres of where animals live", "Stations, and centres of activity."),
}
"""Pictures of the stage count: what each shows, and its caption."""

PHOTOS = ("views", "matches", "explained", "attention", "inversion", "detections")
"""Pictures made of photos."""

SUMS = {
    True: "All places of a photo add up to the cosine of the pair.",
    False: "Its pooling or head is not linear, so the colours are a first-order estimate, not a sum.",
}


def facts(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten the metrics of a stage to `(words, number)`: `{"side": {"right_share": 0.9}}` to `side right share`."""
    rows: list[tuple[str, str]] = []
    for key, value in metrics.items():
        words = " ".join([prefix, *(SPELLED.get(word, word) for word in str(key).split("_"))]).strip()
        if isinstance(value, Mapping):
            rows += facts(value, words)
        elif not isinstance(value, list):
            rows.append((words, number(value)))
    return rows


def listed(metrics: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return the lists of rows among the metrics of a stage as tables of text: what they are, headings, cells."""
    found = []
    for key, rows in metrics.items():
        if isinstance(rows, list) and rows and isinstance(rows[0], Mapping):
            columns = list(dict.fromkeys(column for row in rows for column in row))
            headings = [column.replace("_", " ") for column in columns]
            found.append((key.replace("_", " "), headings, [[number(row.get(c)) for c in columns] for row in rows]))
    return found


def rejected_counts(tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, str, int]]:
    """Count the rows that stages rejected: `(stage, reason, rows)`, most frequent reason of a stage first."""
    return [
        (stage, reason.replace("_", " "), int(count))
        for stage, table in tables.items()
        for reason, count in sorted(table["reason"].value_counts().items(), key=lambda item: (-item[1], item[0]))
    ]


CLOCKS = 200
"""Corrections of clocks that the page lists."""

FILES = {
    "photo": "used",
    "table": "read",
    "unlisted": "photos that the table does not list: not used",
    "missing": "photos that the table lists and that are not there",
    "video": "videos: not used",
    "unsupported": "HEIC, raw, GIF and other kinds that cannot be read: not used",
    "link": "linked folders: not followed",
    "broken_link": "links to nothing",
    "thumbnail": "small copies that a system made: not used",
    "system": "files and folders of a system, such as a recycle bin: not used",
    "hidden": "hidden: not used",
    "unnameable": "names that no table can hold: not used",
    "other": "other files: not used",
}


def file_counts(counts: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Return `(verdict, files, words)` of what lies below the source, those that are there."""
    return [(verdict.replace("_", " "), n, FILES.get(verdict, "")) for verdict, n in counts.items() if n]


def clock_rows(clocks: pd.DataFrame) -> list[dict[str, str]]:
    """Return the first `CLOCKS` corrections of clocks as text: camera, from when to when, by how much, its drift."""
    return [
        {
            "camera": f"{row.station} {row.camera}",
            "span": f"{row.since[:16]} to {row.until[:16]}".replace("T", " "),
            "offset": duration(float(row.offset_s)),
            "drift": f"{float(row.drift_s_per_day):+.1f} s a day" if float(row.drift_s_per_day) else "",
            "visits": f"{int(row.visits):,}",
        }
        for row in clocks.head(CLOCKS).itertuples()
    ]


def duration(seconds: float) -> str:
    """Return seconds as text in a unit that people read: `+3,600 s` is `+1.0 h`."""
    for unit, size in (("years", 31_557_600), ("days", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= size:
            return f"{seconds / size:+,.1f} {unit}"
    return f"{seconds:+.0f} s"


def split_counts(split: pd.DataFrame) -> list[dict[str, Any]]:
    """Count crops, individuals and encounters of each part and subset, and say what the subset is for."""
    subset = split["subset"]
    told = subset.where(subset != "test", "test, " + split["known"].map({True: "known", False: "novel"}))
    crops = split[["part", "identity", "encounter"]].assign(subset=told).astype("category")
    groups, named = (rows.groupby(["part", "subset"]) for rows in (crops, crops[crops["identity"] != UNKNOWN]))
    sizes, encounters, individuals = groups.size(), groups["encounter"].nunique(), named["identity"].nunique()
    rows = []
    for part in sorted(set(split["part"]), reverse=True):
        for subset, purpose in SUBSETS.items():
            if (group := (part, subset)) in sizes:
                counts = int(sizes[group]), int(individuals.get(group, 0)), int(encounters[group])
                rows.append({"part": part, "subset": subset, "purpose": purpose, "counts": counts})
    return rows


def table_block(part: str, protocol: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Prepare a part and protocol of the leaderboard for the page: words, headings and cells.

    A cell has its text (with the spread between seeds), its interval, whether it is the best of its column, and, for
    the metric that orders the table, where bar and whisker stand (percent).
    """
    shown = shown_metrics(rows)
    best = {metric: rows[metric].max() for metric in shown}
    lines = []
    for _, row in rows.iterrows():
        cells = []
        for metric in shown:
            value, low, high = row[metric], row.get(f"{metric}_low"), row.get(f"{metric}_high")
            told = number(value) != "–"
            ranged = told and number(low) != "–" and number(high) != "–"
            cell = {
                "text": with_spread(row, metric),
                "interval": f"{number(low)} to {number(high)}" if ranged else "",
                "best": told and value == best[metric],
                "bar": None,
            }
            if metric == HEADLINE[protocol] and told:
                start, end = (low, high) if ranged else (value, value)
                cell["bar"] = tuple(f"{100 * share:.1f}" for share in (value, start, end - start))
            cells.append(cell)
        line = {"place": number(row["place"]), "method": with_seeds(row), "kind": row["kind"], "note": row["note"]}
        lines.append(line | {"told": ", ".join(filter(None, [KINDS[row["kind"]], row["view"]])), "cells": cells})
    return {
        "part": part,
        "protocol": protocol,
        "question": PROTOCOLS[protocol],
        "verdict": verdict(rows),
        "asked": asked(rows),
        "columns": [METRIC_NAMES[metric] for metric in shown],
        "lines": lines,
    }


def seed_rows(seeds: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> list[dict[str, str]]:
    """Flatten the metrics of single seeds, method -> protocol -> seed -> metric, to rows of words and numbers."""
    return [
        {"method": method, "protocol": protocol, "seed": seed}
        | {METRIC_NAMES[metric]: number(value) for metric, value in found.items()}
        for method, protocols in seeds.items()
        for protocol, runs in protocols.items()
        for seed, found in runs.items()
    ]


def describe_run(
    params: Mapping[str, Any],
    shown: Mapping[str, Any],
    local: str | None,
    clean: pd.DataFrame,
    rejected: pd.DataFrame,
    detections: pd.DataFrame,
    insight: Mapping[str, Any],
) -> dict[str, str]:
    """Say in words what was run on what.

    Args:
        params: `params.yaml`.
        shown: Row of the leaderboard whose matches are shown.
        local: The method whose keypoints are shown, if there is one.
        clean: Photos that were kept.
        rejected: Photos that cleaning rejected.
        detections: What was found on the photos that were kept.
        insight: Metrics of the stage insight.
    """
    kept, found = len(clean), detections["image_id"].nunique()
    photos = f"Of {kept + len(rejected):,} photos {kept:,} were kept; on {found:,} of these an animal was found."
    of_seed = " with the lowest of its seeds" if shown.get("seeds", 1) > 1 else ""
    dataset = entry(params["datasets"], params["ingest"]["dataset"], "datasets")
    sources = {
        "synthetic": "A procedural survey: no photo is real, so the truth about every animal is known.",
        "folder": f"Photos of the folder {dataset.get('path')}.",
        "git": f"Photos of {dataset.get('url')} at commit {str(dataset.get('commit'))[:12]}.",
        "camtrap_dp": f"Photos of the Camtrap Data Package {dataset.get('path')}.",
    }
    several = [str(source.get("name")) for source in dataset.get("sources", ())]
    splits = {
        "drawn": "The split was drawn by group: no visit, no copy, and no day or night of an individual at one place "
        "stands on two sides, and no photo is compared with its own group.",
        "column": f"The split is the published one (column {dataset.get('split_column')}); "
        "what it leaks is counted below, and the closed and open protocols keep it as published.",
    }
    return {
        "source": sources.get(dataset.get("source"), f"Photos of several sources: {', '.join(several)}."),
        "split": splits[params["split"]["source"]],
        "photos": photos,
        "gap": f"{params['split']['burst_gap_s'] / 60:g}",
        "confidence": f"{100 * params['evaluate']['confidence']:g}",
        "insight": f"The network of the variant {insight['variant']} ({insight['part']}, {insight['view']}).",
        "attention": SUMS[bool(insight["exact"])],
        "matches": f"Photos as {shown['method']} ranked them{of_seed}, {shown['part']}, {shown['protocol']} protocol.",
        "explained": f"The keypoints by which {local} matched them." if local else "No method has keypoints here.",
    }


def render(
    dataset: str,
    table: pd.DataFrame,
    methods: Sequence[Method],
    pictures: Mapping[str, bytes | None],
    stages: Mapping[str, Mapping[str, Any]],
    rejected: Mapping[str, pd.DataFrame],
    split: pd.DataFrame,
    words: Mapping[str, str],
    seeds: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]],
    clocks: pd.DataFrame,
    cameras: pd.DataFrame,
    seen: Mapping[str, Any],
    verdicts: Sequence[Mapping[str, Any]],
) -> str:
    """Return the page.

    Args:
        dataset: Name of the data set.
        table: `tables.leaderboard`.
        methods: Its methods, in the order of the parameters.
        pictures: PNG bytes by name: leaderboard, cmc, training, views, matches, explained, attention, inversion,
            counts, detections, umap, and those of `COUNTED`; None is left out.
        stages: Metrics by stage, those of training as `train/VARIANT`, of matching as `match/MATCHER`, what else is
            told of individuals as `decisions`.
        rejected: Tables of rejected rows by stage.
        split: Rows of `data/split.csv`.
        words: Words about the run, as `describe_run` gives them.
        seeds: Metrics of single seeds, method -> protocol -> seed -> metric, of methods that were trained with several.
        clocks: Rows of `data/clocks.csv`.
        cameras: Rows of `data/cameras.csv`, with numbers.
        seen: The first screen, as `animals_page.first_screen` gives it.
        verdicts: What the champions' differences are worth, as `verdict_table.verdict_blocks` gives it.
    """
    return fill(
        "report.html",
        dataset=dataset,
        blocks=[table_block(*block) for block in blocks(table)],
        methods=methods,
        kinds=KINDS,
        pictures=dict(zip(pictures, parallel_map(_drawn, pictures.items()), strict=True)),
        tables=listed(stages["decisions"]),
        stages={stage: facts(metrics) for stage, metrics in stages.items()},
        rejected=rejected_counts(rejected),
        split=split_counts(split),
        words=words,
        seeds=seed_rows(seeds),
        files=file_counts(stages["ingest"].get("files", {})),
        clocks=clock_rows(clocks),
        clocks_left=max(len(clocks) - CLOCKS, 0),
        cameras=camera_page(cameras),
        seen=seen,
        verdicts=verdicts,
        counted=COUNTED,
        thousands=thousands,
    )


def _drawn(picture: tuple[str, bytes | None]) -> str | None:
    name, png = picture
    return png and shrunk(png, name in PHOTOS)


def thousands(values: Iterable[int]) -> list[str]:
    """Return counts as text with thousands set off."""
    return [f"{value:,}" for value in values]
