"""Pure discovery: a data set in which nobody, or one animal, has a name goes from its photos to the page."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from pelage.common.params import read_params
from pelage.common.tables import read_table
from pelage.matching.rankings import ranking_files

ROOT = Path(__file__).resolve().parents[1]
STAGES = (
    *("weights", "inventory", "ingest", "clean", "detect", "look", "crop", "background", "edges"),
    *("split", "ask", "check_leakage"),
    *("train:net", "train:idle", "embed", "search", "match:sift_lnbnn", "mlp", "pairs", "naive"),
    *("fuse", "individuals", "evaluate", "insight", "count", "headline", "report"),
)


def coat(seed: int) -> np.ndarray:
    """A pattern of blobs, `(96, 160, 3)` uint8."""
    rough = np.random.default_rng(seed).integers(0, 256, (24, 40, 3), np.uint8)
    return cv2.resize(rough, (160, 96), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def discovery(tmp_path, monkeypatch):
    """Return a function that runs all stages on three animals, each twice at another place and day, named as told."""

    def run(names: list[str]) -> None:
        rows = []
        for animal, name in enumerate(names):
            for visit in range(2):
                path = f"{animal}{visit}.png"
                photo = np.roll(coat(animal), 3 * visit, axis=1)
                (tmp_path / "photos").mkdir(exist_ok=True)
                cv2.imwrite(str(tmp_path / "photos" / path), photo)
                rows.append((path, path, name, f"2026-03-{1 + 3 * visit + animal:02d} 06:00:00", f"S{visit}"))
        table = pd.DataFrame(rows, columns=["image_id", "path", "identity", "date", "station"])
        table.assign(orientation="left").to_csv(tmp_path / "photos/metadata.csv", index=False)
        params = read_params(ROOT / "params.yaml")
        entry = {"source": "folder", "path": "photos", "boxes": "whole", "part": "flank", "parts": ["flank"]}
        params["datasets"]["mine"] = {**entry, "curated": True}
        params["ingest"]["dataset"], params["parts"] = "mine", ["flank"]
        params["variants"] = {"net": {"part": "flank", "view": "crop"}, "idle": {"part": "face", "view": "crop"}}
        params["matchers"] = {"sift_lnbnn": params["matchers"]["sift_lnbnn"]}
        params["model"] |= {"backbone": "test_efficientnet", "weights": "none"}
        params["fusion"]["methods"], params["insight"]["variant"] = ["sift_lnbnn", "net"], "net"
        params["compute"] |= {"device": "cpu", "threads": 1}
        monkeypatch.delenv("DVC_ROOT", raising=False)
        monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / ".pelage"))
        monkeypatch.setenv("PELAGE_WEIGHTS", os.environ.get("PELAGE_WEIGHTS") or str(ROOT / ".pelage/weights"))
        shutil.copy(ROOT / "dvc.yaml", tmp_path)
        monkeypatch.chdir(tmp_path)
        with open("params.yaml", "w") as file:
            YAML().dump(params, file)
        for stage in STAGES:
            name, *arguments = stage.split(":")
            monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
            runpy.run_path(str(ROOT / "stages" / f"{name}.py"))["main"]()

    return run


def test_nobody_has_a_name_and_everybody_is_found_again(discovery):
    discovery(["", "", ""])
    split = read_table(Path("data/split.csv"))
    assert set(split["subset"]) == {"survey"} and set(split["identity"]) == {"unknown"}
    told = json.loads(Path("data/numbers/fuse.json").read_text())
    assert told["calibration"] == "reciprocal rank" and told["pairs"] == 0
    fused = pd.read_parquet("data/fused.parquet")
    assert set(fused["protocol"]) == {"survey"}
    first = fused[fused["rank"] == 1]
    assert len(first) == 6 and (first["query"].str[0] == first["candidate"].str[0]).all()
    assert pd.read_parquet(ranking_files("net")[0]).empty, "a network that learnt nothing says nothing"
    assert json.loads(Path("metrics/headline.json").read_text())["champion"] is None
    shown = set(read_table(Path("plots/leaderboard.csv"))["method"])
    assert {"net", "sift_lnbnn", "mlp"} <= shown and "idle" not in shown, "no table shows a part that is not wanted"
    assert "it is asked who it is" in Path("data/report/index.html").read_text()


def test_one_animal_has_a_name_and_is_told_from_those_without(discovery):
    discovery(["Ayo", "", ""])
    split = read_table(Path("data/split.csv")).set_index("image_id")
    assert set(split.loc[split["identity"] == "Ayo", "subset"]) == {"train"}, "nobody else to learn or test with"
    fused = pd.read_parquet("data/fused.parquet")
    first = fused[fused["rank"] == 1]
    assert set(first["query"].str[0]) == {"1", "2"} and (first["query"].str[0] == first["candidate"].str[0]).all()
    assert "0" in set(fused["candidate"].str[0]), "the named animal may answer"
    told = json.loads(Path("data/numbers/train/net.json").read_text())
    assert not told["trained"] and "two labels are needed" in told["reason"]
