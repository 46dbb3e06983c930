"""Entries of `datasets`: which keys they may have, where their paths start, and the whole ingest stage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import ingest
import pytest
from ruamel.yaml import YAML

from pelage.catalogue.entries import read_sources
from pelage.common.params import read_params
from pelage.common.stage import run_stage

ROOT = Path(__file__).resolve().parents[2]


def test_a_data_set_has_one_source_or_several():
    (one,) = read_sources({"source": "folder", "path": "x"}, "mine")
    assert (one.name, one.folder, one.key) == ("mine", "", "datasets.mine")
    listed = [{"name": "old", "source": "folder", "path": "x"}, {"name": "new", "source": "camtrap_dp", "path": "y"}]
    old, new = read_sources({"sources": listed, "boxes": "whole"}, "mine")
    assert (old.name, old.folder, new.kind, new.key) == ("old", "old", "camtrap_dp", "datasets.mine.sources[1]")


def test_paths_start_at_the_projects_root_and_keys_of_other_sources_may_stay(
    photo_folder, brought, tmp_path, monkeypatch
):
    photo_folder(["L1/a.jpg", "L2/b.jpg"])
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir("/")
    dataset = {"source": "folder", "path": "photos", "url": "x", "commit": "y", "seed": 1, "curated": True}
    assert brought(**dataset).claims["identity"].tolist() == ["L1", "L2"]


@pytest.mark.parametrize("name", ["leopard", "nyala", "lion"])
def test_entries_of_params_are_redirected_to_local_photos(shared_photos, brought, name):
    dataset = read_params()["datasets"][name] | {"source": "folder", "path": str(shared_photos(name))}
    data = brought(**dataset)
    assert len(data.photos) == {"leopard": 36, "nyala": 1942, "lion": 740}[name]
    assert data.counts["files"]["missing"] == 0


@pytest.fixture
def project(photo_folder, tmp_path, monkeypatch, capsys):
    """Return a function that runs the ingest stage on photos of a folder: exit status, what it said, errors."""
    photo_folder(["L1/a.jpg", "L2/b.jpg"])
    monkeypatch.chdir(tmp_path)
    yaml = YAML()

    def run(**dataset) -> tuple[int, str, str]:
        params = yaml.load(ROOT / "params.yaml")
        params["ingest"]["dataset"] = dataset.pop("name", "mine")
        params["datasets"]["mine"] = {"source": "folder", "path": "photos", **dataset}
        yaml.dump(params, tmp_path / "params.yaml")
        status = 0
        try:
            run_stage(ingest.main)
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        return status, said.out, " ".join(said.err.split())

    return run


def test_the_stage_writes_what_it_declares_and_keeps_it_when_the_next_run_fails(project, tmp_path):
    status, said, _ = project()
    assert status == 0
    assert "2 photos of 2 individuals" in said
    assert (tmp_path / "data/photos/L1/a.jpg").read_bytes() == (tmp_path / "photos/L1/a.jpg").read_bytes()
    assert (tmp_path / "data/truth/truth.csv").read_text().startswith("image_id,animal,identity")
    assert json.loads((tmp_path / "metrics/ingest.json").read_text())["photos"] == 2
    before = (tmp_path / "data/photos.csv").read_bytes()

    for change, message in (
        ({"name": "nothing"}, "datasets has no entry 'nothing'"),
        ({"path": "nowhere"}, "does not exist"),
        ({"metadata": "none.csv"}, "none.csv is missing"),
        ({"results": "none.json"}, "none.json cannot be read"),
    ):
        status, said, error = project(**change)
        assert (status, said) == (1, "")
        assert error.startswith("ERROR: ")
        assert message in error
        assert (tmp_path / "data/photos.csv").read_bytes() == before
        assert (tmp_path / "data/photos/L1/a.jpg").exists()
        written = sorted(path.name for path in (tmp_path / "data").iterdir())
        assert written == [
            *("boxes.csv", "claims.csv", "deployments.csv", "files.csv", "hashes"),
            *("photos", "photos.csv", "rejected", "truth"),
        ]

    assert project()[0] == 0
    assert (tmp_path / "data/photos.csv").read_bytes() == before
    shutil.rmtree(tmp_path / "photos/L2")
    assert "one individual only" in project()[1]
