"""All pictures of the report, drawn from what a run found."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from safetensors.numpy import load_file

from pelage.common.tables import read_parquet, read_table
from pelage.matching.matches import matches_table
from pelage.matching.rankings import FUSED, RECIPROCAL_RANK, empty_rankings, ranking_files
from pelage.report import figures, insight_sheets, sheets
from pelage.report.found import Found, Views

INSIGHT = Path("data/insight")


def draw(found: Found, views: Views) -> dict[str, bytes]:
    """Return PNG bytes by name, of all but the pictures of the stage count."""
    wanted, split = found.params["report"], found.split
    count, seed = wanted["examples"], wanted["seed"]
    crops = views[found.first["part"]]["crop"]
    ranking = _ranking(found.first["method"], found.first["protocol"])
    looked = views[found.metrics["insight"]["part"]][found.metrics["insight"]["view"]]
    pairs = read_table(INSIGHT / "pairs.csv", insight_sheets.PAIRS)
    classes = read_table(INSIGHT / "classes.csv", insight_sheets.CLASSES)
    maps = load_file(INSIGHT / "maps.safetensors")
    boxes = found.animals, found.detections, found.truth
    return {
        "leaderboard": figures.leaderboard_figure(found.table),
        "cmc": figures.cmc_figure(found.curves, found.methods),
        "training": figures.training_figure(found.histories, found.methods),
        "counts": figures.counts_figure(split),
        "views": sheets.views_sheet(views, split, found.params["parts"], count, seed),
        "matches": sheets.matches_sheet(crops, ranking, split, count, wanted["candidates"], seed),
        "explained": sheets.explained_sheet(crops, *explained(found), split, count, seed),
        "attention": insight_sheets.attention_sheet(looked, pairs, maps, split, count, seed),
        "inversion": insight_sheets.inversion_sheet(looked, INSIGHT / "inverted", classes, split, count, seed),
        "detections": sheets.detections_sheet(Path("data/photos"), found.visible, *boxes, count, seed),
    }


def explained(found: Found) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the ranking by local features, its matches, and the fused ranking; without rows where there are none."""
    part, protocol = found.first["part"], found.first["protocol"]
    ranking = fused = empty_rankings()
    matches = matches_table([])
    if found.local:
        ranking = _ranking(found.local, protocol)
        matches = read_parquet(Path(f"data/matches/{found.local}.parquet"), where={"protocol": protocol})
    if found.metrics["fuse"]["part"] == part and found.metrics["fuse"]["calibration"] != RECIPROCAL_RANK:
        fused = _ranking(FUSED, protocol)
    return ranking, matches, fused


def _ranking(method: str, protocol: str) -> pd.DataFrame:
    return read_parquet(ranking_files(method)[0], where={"protocol": protocol})
