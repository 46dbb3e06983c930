"""All pictures of the report, drawn from what a run found."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from safetensors.numpy import load_file

from pelage.common.tables import read_parquet, read_table
from pelage.matching.fusion import RECIPROCAL_RANK
from pelage.matching.matches import matches_table
from pelage.matching.rankings import FUSED, ranking_files
from pelage.report import figures, insight_sheets, sheets
from pelage.report.found import Found, Views

INSIGHT = Path("data/insight")


def draw(found: Found, views: Views) -> dict[str, bytes]:
    """Return PNG bytes by name, of all but the pictures of the stage count."""
    wanted, split = found.params["report"], found.split
    count, seed = wanted["examples"], wanted["seed"]
    crops = views[found.first["part"]]["crop"]
    ranking = _of_protocol(ranking_files(found.first["method"])[0], found.first["protocol"])
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
    ranking = fused = _of_protocol(ranking_files(found.first["method"])[0], protocol).head(0)
    matches = matches_table([])
    if found.local:
        ranking = _of_protocol(ranking_files(found.local)[0], protocol)
        matches = _of_protocol(Path(f"data/matches/{found.local}.parquet"), protocol)
    if found.metrics["fuse"]["part"] == part and found.metrics["fuse"]["calibration"] != RECIPROCAL_RANK:
        fused = _of_protocol(ranking_files(FUSED)[0], protocol)
    return ranking, matches, fused


def _of_protocol(path: Path, protocol: str) -> pd.DataFrame:
    return read_parquet(path, where={"protocol": protocol})
