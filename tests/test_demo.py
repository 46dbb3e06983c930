"""The whole pipeline on a tiny demo: it ends, it ends again at once, and a change re-runs what it must and no more."""

from __future__ import annotations

import json
import re

import pytest

from pelage.common.tables import read_table

TINY = {
    "datasets__demo__individuals": 5,
    "datasets__demo__stations": 3,
    "datasets__demo__days": 20,
    "datasets__demo__photos": 60,
    "crop__max_side": 128,
    "train__epochs": 1,
    "fusion__methods": ["sift_lnbnn", "cosface"],
    "variants": {
        "cosface": {"part": "flank", "view": "crop_edge", "loss": {"name": "cosface"}, "train": {"seeds": [1, 2]}},
        "face": {"part": "face", "view": "crop"},
    },
}


ALWAYS = {"inventory", "check_params"}
"""What a change of any parameter runs: the look at the sources, and the check of all parameters."""


def ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([\w@]+)'", output))


@pytest.fixture(scope="module")
def project(scratch):
    made = scratch(**TINY)
    made.first = ran(made.dvc("repro").stdout)
    return made


def test_every_stage_ran_and_a_second_time_only_the_look_at_the_sources(project):
    some = {"ingest", "detect", "edges@flank", "train@cosface", "search@face", "match@sift_lnbnn", "insight", "report"}
    assert some <= project.first
    assert ran(project.dvc("repro").stdout) == {"inventory"}


def test_what_came_out(project):
    split = read_table(project.folder / "data/split.csv", {"known": bool})
    detections = read_table(project.folder / "data/detections.csv")
    assert split["crop_id"].tolist() == detections["crop_id"].tolist()
    assert split.groupby("encounter")["subset"].nunique().max() <= 2  # one subset, and `none` for unknown animals
    others = ("sift_lnbnn", "mlp", "orb_sift_brisk_lightgbm", "fused", "random_mlp", "random", "majority")
    for method in ("cosface", "face", *others):
        metrics = json.loads((project.folder / f"metrics/eval/{method}.json").read_text())
        assert {"closed", "open", "disjoint"} <= set(metrics)
        assert len({tuple(protocol) for protocol in metrics.values()}) == 1, "the same keys everywhere"
        assert metrics["closed"]["seeds"] == (2 if method == "cosface" else 1)
    assert set(json.loads((project.folder / "metrics/seeds.json").read_text())["cosface"]["closed"]) == {"1", "2"}
    page = (project.folder / "data/report/index.html").read_text()
    assert "sift_lnbnn" in page and "cosface (2 seeds)" in page


def test_margin_retrains_and_nothing_before(project):
    project.set(loss__margin=0.5)
    stages = ran(project.dvc("repro").stdout) - ALWAYS
    assert stages
    after = {"train", "embed", "search", "fuse", "evaluate", "insight", "report"}
    assert {name.split("@")[0] for name in stages} <= after
    assert {"train@cosface", "train@face"} <= stages


def test_hed_reruns_edges_and_what_reads_edge_views(project):
    project.set(edges__method="hed")
    stages = ran(project.dvc("repro").stdout) - ALWAYS
    assert {"edges@flank", "train@cosface"} <= stages
    after = {"edges", "train", "embed", "search", "fuse", "evaluate", "insight", "report"}
    assert {name.split("@")[0] for name in stages} <= after
    assert "train@face" not in stages, "the face variant reads the view without edges"


def test_an_unknown_data_set_is_named_and_nothing_is_lost(project):
    before = (project.folder / "data/photos.csv").read_bytes()
    project.set(ingest__dataset="nowhere")
    failed = project.dvc("repro", check=False)
    project.set(ingest__dataset="demo")
    assert failed.returncode != 0
    assert "ingest.dataset names 'nowhere'; datasets has" in failed.stderr
    assert (project.folder / "data/photos.csv").read_bytes() == before
