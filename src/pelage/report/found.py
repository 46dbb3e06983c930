"""What a run found: the tables and numbers of all stages that the report shows, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pelage.common.packs import Packs
from pelage.common.tables import PARTS, crop_file, read_parquet, read_table
from pelage.evaluation.verdicts import NUMBERS as NUMBERS_OF_VERDICTS
from pelage.report import animals_page, figures, sheets
from pelage.report.camera_counts import NUMBERS, with_people
from pelage.report.sightings import NUMBERS as NUMBERS_OF_ANIMALS
from pelage.report.tables import Method, best_local, leader, leaderboard, list_methods, read_metrics

SPLIT = [
    "crop_id", "image_id", "part", "identity", "label", "encounter", "camera", "station", "date", "orientation",
    "subset", "known",
]  # fmt: skip
"""Columns of `data/split.csv` that are shown or counted."""

PHOTO = ["image_id", "path", "camera", "station", "date"]
"""Columns of `data/clean.csv` that are shown."""

Views = Mapping[str, Mapping[str, Packs]]
"""Crops by part and view."""


@dataclass(frozen=True)
class Found:
    """Tables as the stages wrote them (see `data/README.md`), and what they tell at once.

    Attributes:
        params: `params.yaml`.
        methods: Those that were judged.
        metrics: Numbers by stage, those of training as `train/VARIANT`, of matching as `match/MATCHER`.
        rejected: Tables of rejected rows by stage.
        clean: Photos that are kept.
        split: Crops.
        animals: Boxes of animals, as text.
        detections: Boxes of their parts, as text.
        truth: Boxes that a drawn data set really has.
        clocks: Corrections of clocks.
        cameras: What became of each camera's photos.
        histories: By network, its training by epoch.
        planes: By network, what validation saw, laid out in a plane.
        curves: By method, its CMC curves.
        table: The leaderboard.
        first: Its row whose matches are shown.
        local: The method by local features that explains these; None if there is none.
        seeds: Metrics of single seeds.
        champions: The champion of each block of the leaderboard.
        verdicts: What the champions' differences are worth.
    """

    params: Mapping[str, Any]
    methods: list[Method]
    metrics: Mapping[str, Mapping[str, Any]]
    rejected: Mapping[str, pd.DataFrame]
    clean: pd.DataFrame
    split: pd.DataFrame
    animals: pd.DataFrame
    detections: pd.DataFrame
    truth: pd.DataFrame
    clocks: pd.DataFrame
    cameras: pd.DataFrame
    histories: Mapping[str, pd.DataFrame]
    planes: Mapping[str, pd.DataFrame]
    curves: Mapping[str, pd.DataFrame]
    table: pd.DataFrame
    first: pd.Series
    local: str | None
    seeds: Mapping[str, Any]
    champions: Any
    verdicts: pd.DataFrame

    @property
    def visible(self) -> pd.DataFrame:
        """Photos that are kept and show nobody."""
        return self.clean[~self.clean["image_id"].isin(with_people(self.rejected["detect"]))]


def read_found(params: Mapping[str, Any]) -> Found:
    """Read what the stages found, from the current folder.

    Raises:
        PelageError: A file is missing or no table.
    """
    methods = list_methods(params)
    networks = [method.name for method in methods if method.kind == "network"]
    table = leaderboard({m.name: read_metrics(Path(f"data/eval/{m.name}.json")) for m in methods}, methods)
    first = leader(table)
    return Found(
        params=params,
        methods=methods,
        metrics=_metrics(methods, params["parts"]),
        rejected=_rejected(params["parts"]),
        clean=read_table(Path("data/clean.csv"), columns=PHOTO),
        split=read_table(Path("data/split.csv"), {"known": bool}, columns=SPLIT),
        animals=read_table(Path("data/animals.csv"), columns=["image_id", *sheets.BOX]),
        detections=read_table(Path("data/detections.csv"), columns=["image_id", "part", *sheets.BOX]),
        truth=read_table(Path("data/truth/truth.csv"), sheets.BOX | sheets.FACE),
        clocks=read_table(Path("data/clocks.csv")),
        cameras=read_table(Path("data/cameras.csv"), NUMBERS),
        histories={name: read_table(Path(f"plots/training/{name}.csv"), figures.HISTORY) for name in networks},
        planes={name: read_parquet(Path(f"data/umap/{name}.parquet")) for name in networks},
        curves={method.name: read_table(Path(f"plots/cmc/{method.name}.csv"), figures.CURVES) for method in methods},
        table=table,
        first=first,
        local=best_local(table, first),
        seeds=read_metrics(Path("data/seeds.json")),
        champions=read_metrics(Path("data/champion.json"))["champions"],
        verdicts=read_table(Path("data/verdicts.csv"), dict.fromkeys(NUMBERS_OF_VERDICTS, float)),
    )


def _metrics(methods: list[Method], parts: list[str]) -> dict[str, Mapping[str, Any]]:
    """Return the numbers of all stages, those in `metrics/` and those in `data/numbers/`, in the order of the page."""
    made = [f"{stage}_{part}" for stage in ("background", "edges") for part in parts]
    compared = ["headline", "ingest", "clean", "detect", *made, "split", "leakage", "individuals", "count"]
    folders = {"network": "train", "local": "match"}
    told = [f"{folder}/{method.name}" for kind, folder in folders.items() for method in methods if method.kind == kind]
    metrics = {stage: read_metrics(Path(f"metrics/{stage}.json")) for stage in compared}
    for stage in [*told, "mlp", "pairs", "fuse", "insight"]:
        metrics[stage] = read_metrics(Path(f"data/numbers/{stage}.json"))
    return metrics | {"decisions": read_metrics(Path("data/numbers/individuals.json"))}


def _rejected(parts: list[str]) -> dict[str, pd.DataFrame]:
    made = [f"{stage}_{part}" for stage in ("crop", "background") for part in parts]
    stages = ["ingest", "clean", "detect", "claims", *made]
    return {stage: read_table(Path(f"data/rejected/{stage}.csv")) for stage in stages}


def read_answers(metrics: Mapping[str, Mapping[str, Any]]) -> animals_page.Answers:
    """Return what the stages individuals and count found.

    Args:
        metrics: `Found.metrics`.
    """
    return animals_page.Answers(
        individuals=read_table(Path("data/individuals.csv"), NUMBERS_OF_ANIMALS),
        crops=read_table(Path("data/unit_crops.csv")),
        links=read_parquet(Path("data/links.parquet"), columns=["query", "candidate", "probability"]),
        questions=read_table(Path("data/questions.csv"), animals_page.QUESTIONS),
        deployments=read_table(Path("data/deployments.csv")),
        estimates=read_table(Path("data/estimates.csv"), animals_page.ESTIMATES),
        rehearsal=metrics["individuals"].get("rehearsal") or {},
        grouped=metrics["individuals"]["survey"]["individuals"],
        count=metrics["count"],
        **read_metrics(Path("data/numbers/count.json")),
    )


def views_of_crops() -> Views:
    """Return where crops of each part are, in each view that the report shows."""
    return {part: {view: Packs(Path("data/views") / view / part) for view in sheets.VIEWS} for part in PARTS}


def crop_reader(views: Views) -> animals_page.Load:
    """Return what gives the picture of a crop, None where it has none."""

    def load(crop_id: str) -> np.ndarray | None:
        file = crop_file(crop_id)
        there = next((of_part["crop"] for of_part in views.values() if file in of_part["crop"]), None)
        return None if there is None else sheets.crop_picture(there, crop_id)

    return load
