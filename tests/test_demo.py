"""The whole pipeline on a tiny demo: it ends, it ends again at once, and a change re-runs what it must and no more."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from pelage.common.hashes import hashes_of
from pelage.common.params import read_yaml
from pelage.common.tables import read_table
from pelage.split.protocols import ASKED, PROTOCOLS

TINY = {
    "datasets__demo__individuals": 5,
    "datasets__demo__stations": 3,
    "datasets__demo__days": 20,
    "datasets__demo__photos": 26,
    "crop__max_side": 128,
    "train__epochs": 1,
    "mlp__hidden": [[16]],
    "mlp__rates": [0.001],
    "mlp__batches": [32],
    "pairs__rounds": 20,
    "insight__steps": 10,
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


NOTE_READS = """
def _note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)) and not arguments[2] & os.O_ACCMODE:
        path = os.path.relpath(os.fsdecode(arguments[0]))
        if path.startswith("data/"):
            _noted.write(path + "\\n")

import os
_noted = open(f"reads.{os.environ['DVC_STAGE']}.txt", "w", buffering=1)
sys.addaudithook(_note)
"""
"""What is added to the copy's `_path.py`, which every stage imports first: Python tells of each file that is opened."""


@pytest.fixture(scope="module")
def project(scratch):
    made = scratch(**TINY)
    with (made.folder / "stages/_path.py").open("a") as file:
        file.write(NOTE_READS)
    made.first = ran(made.dvc("repro").stdout)
    return made


def test_every_stage_ran_and_a_second_time_only_the_look_at_the_sources(project):
    some = {"ingest", "detect", "edges", "train@cosface", "embed", "match@sift_lnbnn", "insight", "report"}
    assert some <= project.first
    assert ran(project.dvc("repro").stdout) == {"inventory"}


def test_a_stage_reads_what_it_depends_on_and_folders_whose_hashes_it_depends_on(project):
    seen = set()
    for name, stage in read_yaml(project.folder / "dvc.lock")["stages"].items():
        told = {entry["path"] for kind in ("deps", "outs") for entry in stage[kind]}
        for path in map(Path, (project.folder / f"reads.{name}.txt").read_text().splitlines()):
            if any(part.startswith(".") for part in path.parts):
                continue  # a folder that is being filled
            above = [path, *path.parents][:-2]
            tables = [Path("data/photos.csv"), Path("data/clean.csv")]
            if above[-1] != Path("data/photos"):
                tables = [hashes_of(folder) for folder in above]
            around = {str(place) for table in tables for place in (*above, table, *table.parents)}
            assert around & told, f"{name} reads {path}"
            seen |= {str(folder) for folder in above}
    assert {"data/photos", "data/truth", "data/masks/flank", "data/views/crop_edge/flank"} <= seen


def test_a_pack_that_is_changed_by_hand_is_made_again(project):
    pack = sorted((project.folder / "data/views/crop/flank").iterdir())[0]
    table = project.folder / "data/hashes/views/crop/flank.csv"
    images, told = pack.read_bytes(), table.read_bytes()
    pack.chmod(0o644)
    pack.write_bytes(images + b"by hand")
    project.dvc("repro", "background")
    assert (pack.read_bytes(), table.read_bytes()) == (images, told)


def test_what_came_out(project):
    split = read_table(project.folder / "data/split.csv", {"known": bool})
    detections = read_table(project.folder / "data/detections.csv")
    assert split["crop_id"].tolist() == detections["crop_id"].tolist()
    named = split[~split["subset"].isin(["survey", "none"])]
    assert named.groupby("encounter")["subset"].nunique().max() == 1
    assert set(split.loc[split["identity"] == "unknown", "subset"]) <= {"survey", "none"}
    asked = set(pd.read_parquet(project.folder / "data/fused.parquet")["protocol"]) - set(PROTOCOLS)
    assert {"practice", "rehearsal"} <= asked <= set(ASKED)
    assert ("survey" in asked) == ((split["subset"] == "survey") & (split["part"] == "flank")).any()
    controls = ("random_mlp", "random", "majority")
    others = ("sift_lnbnn", "mlp", "orb_sift_brisk_lightgbm", "fused", "fused_sightings", *controls)
    for method in ("cosface", "face", *others):
        metrics = json.loads((project.folder / f"data/eval/{method}.json").read_text())
        assert {"closed", "open", "disjoint"} <= set(metrics)
        assert len({tuple(protocol) for protocol in metrics.values()}) == 1, "the same keys everywhere"
        assert metrics["closed"]["seeds"] == (2 if method == "cosface" else 1)
    assert set(json.loads((project.folder / "data/seeds.json").read_text())["cosface"]["closed"]) == {"1", "2"}
    page = (project.folder / "data/report/index.html").read_text()
    assert "sift_lnbnn" in page and "cosface (2 seeds)" in page


AFTER_TRAINING = {"embed", "search", "fuse", "individuals", "count", "evaluate", "insight", "headline", "report"}


def would_run(project, key, value):
    """Return the stages that a changed parameter runs, and all that read what these write; nothing is run."""
    *path, last = key.split("__")
    section = project.params
    for name in path:
        section = section[name]
    before = section[last]
    project.set(**{key: value})
    stages = ran(project.dvc("repro", "--dry").stdout) - ALWAYS
    project.set(**{key: before})
    return with_readers(read_yaml(project.folder / "dvc.lock")["stages"], stages)


def with_readers(every, stages):
    """Return `stages` and all of `every` that read what these write, or what is made of it."""
    read, written = (
        {name: [Path(entry["path"]) for entry in stage.get(kind, [])] for name, stage in every.items()}
        for kind in ("deps", "outs")
    )

    def reads(name):
        changed = [path for stage in stages for path in written[stage]]
        return any(one in (other, *other.parents) or other in one.parents for one in read[name] for other in changed)

    while more := {name for name in every if name not in stages and reads(name)}:
        stages = stages | more
    return stages


def test_margin_retrains_and_nothing_before(project):
    stages = would_run(project, "loss__margin", 0.5)
    assert {name.split("@")[0] for name in stages} <= {"train"} | AFTER_TRAINING
    assert {"train@cosface", "train@face"} <= stages


def test_hed_reruns_edges_and_what_reads_edge_views(project):
    stages = would_run(project, "edges__method", "hed")
    assert {"edges", "train@cosface"} <= stages
    assert {name.split("@")[0] for name in stages} <= {"edges", "train"} | AFTER_TRAINING
    assert "train@face" not in stages, "the face variant reads the view without edges"


def test_a_part_is_dropped_by_one_edit(project):
    """The face variant stays in params.yaml; its stages find no crop, and it is told once.

    The edges of a test above are changed by the same run. That no table shows the face: tests/test_discovery.py.
    """
    project.set(parts=["flank"], edges__method="hed")
    wanted = "edges", "check_leakage", "train@face"
    done = project.dvc("repro", *wanted).stdout
    assert {"crop", "background", *wanted} <= ran(done)
    assert done.count("left out: variants.face") == 1
    split = read_table(project.folder / "data/split.csv")
    assert set(split["part"]) == {"flank"} and not any((project.folder / "data/views/crop/face").iterdir())
    assert any((project.folder / "data/views/crop_edge/flank").iterdir())
    assert ran(project.dvc("repro", *wanted).stdout) == {"inventory"}


def test_an_unknown_data_set_is_named_and_nothing_is_lost(project):
    before = (project.folder / "data/photos.csv").read_bytes()
    project.set(ingest__dataset="nowhere")
    failed = project.dvc("repro", check=False)
    project.set(ingest__dataset="demo")
    assert failed.returncode != 0
    assert "ingest.dataset names 'nowhere'; datasets has" in failed.stderr
    assert (project.folder / "data/photos.csv").read_bytes() == before
