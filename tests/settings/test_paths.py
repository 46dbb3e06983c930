"""Paths: whatever way it is spelt, a folder of the user's is refused where the pipeline writes, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from pelage.common.errors import PelageError
from pelage.common.files import fresh_folder
from pelage.common.params import read_yaml
from pelage.settings import paths
from pelage.settings.paths import check_paths, find_place, user_paths, written_paths

ROOT = Path(__file__).resolve().parents[2]
DVC = read_yaml(ROOT / "dvc.yaml")
LITE0 = "data/weights/tf_efficientnet_lite0.safetensors"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with photos in `data/photos`, and a home beside it; the project's own dvc.yaml is read once for all."""
    root = tmp_path / "project"
    (root / "data/photos/L1").mkdir(parents=True)
    (root / "data/photos/L1/a.jpg").write_bytes(b"a")
    monkeypatch.setattr(paths, "read_yaml", {Path("dvc.yaml"): DVC}.get)
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PELAGE_CACHE", str(root / ".pelage"))
    for name in ("DVC_ROOT", "PELAGE_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    return root


def mine(path: str, **more) -> dict:
    return {"datasets": {"mine": {"source": "folder", "path": path, **more}}}


def refused(path: str, **more) -> str:
    with pytest.raises(PelageError) as told:
        check_paths(mine(path, **more))
    assert f"params.yaml: datasets.mine.path is {path!r}" in str(told.value)
    assert "Move them elsewhere, such as photos to ../photos" in str(told.value)
    return str(told.value)


def test_all_that_stages_write_is_known():
    written = written_paths(DVC)
    assert {"data/photos", "data/photos.csv", "data/views/crop/face", "metrics/count.json", "plots/cmc"} <= set(written)
    assert {"data/models", "data/rankings", "data/matches", LITE0} <= set(written)
    assert not any("$" in path for path in written) and "data" not in written


SPELLINGS = [
    "data/photos",
    "./data/photos",
    "data//photos",
    "data/photos/",
    "data/./photos/.",
    "data/../data/photos",
    "src/../data/photos",
    "../project/data/photos",
    "data/photos/L1",
    "data/photos/none/yet",
    "Data/Photos",
    "DATA/PHOTOS/l1",
    "~/project/data/photos",
    "data",
    ".",
    "..",
    "/",
    "~",
    "../project",
    "data/views/crop/flank/mine",
    "data/views",
    "data/models/mine",
    "data/rejected",
    "data/masks",
    "metrics",
    "data/eval/mine",
    "plots/cmc",
    "data/report/photos",
    ".dvc",
    ".dvc/cache",
    ".git/photos",
    ".pelage",
    ".pelage/git/x",
    "data/photos.csv",
    "data/report/package.zip",
]


@pytest.mark.parametrize("path", SPELLINGS)
def test_what_is_holds_or_lies_in_an_output_is_refused_however_it_is_spelt(project, path):
    refused(path)
    if not path.startswith(("~", "/")):
        refused(f"{project}/{path}")


@pytest.mark.parametrize("path", ["data/mine", "../photos", "photos", "data/photos2", "data/photo", "databank"])
def test_what_no_stage_writes_is_free(project, path):
    check_paths(mine(path))
    check_paths(mine(str(project / path)))
    (project / path).mkdir(parents=True)
    check_paths(mine(path))


def link(place: Path, target: Path | str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def test_links_of_the_user_are_followed(project):
    link(project.parent / "into", project / "data/photos")
    link(project.parent / "chain", "into")
    link(project.parent / "above", project / "data")
    link(project.parent / "broken", project / "data/masks/flank")
    link(project.parent / "circle", "circle")
    for path in ("../into", "../into/L1", "../chain", "../chain/L1/..", "../above", "../above/photos", "../broken"):
        assert "leads to" in refused(path)
    check_paths(mine("../circle"))
    check_paths(mine("../above/mine"))


def test_a_link_inside_an_output_is_lost_with_it(project):
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    link(project / "data/photos/mine", elsewhere)
    assert "lies in data/photos" in refused("data/photos/mine")
    link(project.parent / "around", project / "data/photos/mine")
    assert "lies in data/photos" in refused("../around")


def test_an_output_may_be_a_link_to_another_disk_as_long_as_no_photos_of_the_user_are_there(project):
    disk = project.parent / "disk"
    shutil.move(project / "data/photos", disk / "photos")
    link(project / "data/photos", disk / "photos")
    for path in ("../disk/photos", "../disk/photos/L1", "../disk", "data/photos"):
        refused(path)
    check_paths(mine("../disk/mine"))
    link(project / "data/views/crop/flank", disk / "crops")
    assert "data/views/crop" in refused("../disk/crops/mine")


def test_the_folder_of_data_may_be_a_link_and_so_may_the_project(project):
    shutil.move(project / "data", project.parent / "disk")
    link(project / "data", "../disk")
    for path in ("../disk", "../disk/photos", "../disk/photos/L1", "../disk/masks"):
        refused(path)
    check_paths(mine("../disk/mine"))
    check_paths(mine("data/mine"))
    link(project.parent / "same", "project")
    refused("../same/data/photos")


def test_links_among_the_photos_are_seen(project):
    folder = project.parent / "mine"
    (folder / "L2").mkdir(parents=True)
    link(folder / "L2/far.jpg", project.parent / "far.jpg")
    link(folder / "home", project.parent)  # not followed, so not lost
    check_paths(mine("../mine"))
    link(folder / "L2/a.jpg", project / "data/photos/L1/a.jpg")
    assert "in it is the link 'L2/a.jpg', which leads to" in refused("../mine")
    (folder / "L2/a.jpg").unlink()
    link(folder / "L1", project / "data/photos/L1")
    refused("../mine")


def test_two_unicode_forms_are_one_name(project, monkeypatch):
    root = project.parent / "José"
    for form in ("NFC", "NFD"):
        other = Path(unicodedata.normalize("NFD" if form == "NFC" else "NFC", str(root)))
        here = Path(unicodedata.normalize(form, str(root)))
        here.mkdir(exist_ok=True)
        monkeypatch.chdir(here)
        refused(str(other / "data/photos"))


def test_tables_packages_and_sources_count(project):
    with pytest.raises(PelageError, match=r"datasets.mine.metadata is '\.\./project/data/photos.csv'"):
        check_paths(mine("../photos", metadata="../project/data/photos.csv"))
    link(project.parent / "photos/metadata.csv", project / "data/photos.csv")
    refused("../photos")
    several = [
        {"name": "a", "source": "folder", "path": "../a"},
        {"name": "b", "source": "camtrap_dp", "path": "data/x/.."},
    ]
    with pytest.raises(PelageError, match=r"datasets.mine.sources\[1\].path is 'data/x/\.\.'.* holds data/"):
        check_paths({"datasets": {"mine": {"sources": several}}})


def test_paths_inside_a_fetched_repository_are_not_the_users(project):
    check_paths({"datasets": {"mine": {"source": "git", "path": "data/photos"}}})
    check_paths({"datasets": {"mine": {"source": "synthetic", "path": ""}, "odd": None, "no": {"path": 3}}})


def test_files_that_parameters_name_are_the_users_too(project):
    for params, key in (
        ({"background": {"reference": "data/photos/L1/a.jpg"}}, "background.reference"),
        ({"background": {"reference": LITE0}}, "background.reference"),
        ({"datasets": {"mine": {"source": "git", "results": "data/photos/md.json"}}}, "datasets.mine.results"),
        ({"datasets": {"mine": {"sources": [], "results": ["a.json", "data/boxes.csv"]}}}, "datasets.mine.results"),
        ({"datasets": {"mine": {"source": "git", "deployments": "data/photos/a.csv"}}}, "datasets.mine.deployments"),
        (
            {"datasets": {"mine": {"sources": [{"deployments": "data/boxes.csv"}]}}},
            r"datasets.mine.sources\[0\].deployments",
        ),
        ({"datasets": {"mine": {"source": "git", "habitat": "data/photos/a.csv"}}}, "datasets.mine.habitat"),
        ({"detect": {"megadetector": {"model": "data/models/md.onnx"}}}, "detect.megadetector.model"),
        ({"model": {"weights": "data/photos/net.safetensors"}}, "model.weights"),
        ({"model": {"weights": "data/embeddings/../models/net.safetensors"}}, "model.weights"),
        ({"variants": {"v": {"model": {"weights": "data/models/v/1.safetensors"}}}}, "variants.v.model.weights"),
    ):
        with pytest.raises(PelageError, match=rf"params.yaml: {key} is "):
            check_paths(params)


@pytest.mark.parametrize(
    "weights",
    [LITE0, f"./{LITE0}", "none", "pretrained", "data/weights/own.safetensors", ".pelage/weights/x.safetensors"],
)
def test_weights_may_be_those_that_the_pipeline_fetches(project, weights):
    check_paths({"model": {"weights": weights}})
    check_paths({"detect": {"megadetector": {"model": "data/weights/md.onnx"}}})


def test_the_folder_of_own_weights_is_not_where_weights_are_written(project, monkeypatch):
    monkeypatch.setenv("PELAGE_WEIGHTS", "data/weights")
    with pytest.raises(PelageError, match=r"The environment's PELAGE_WEIGHTS is 'data/weights', which holds data/w"):
        check_paths({})
    for path in ("../weights", ".pelage/weights", "data/own"):
        monkeypatch.setenv("PELAGE_WEIGHTS", path)
        check_paths({})


def test_a_cache_elsewhere_is_written_too(project, monkeypatch):
    monkeypatch.setenv("PELAGE_CACHE", str(project.parent / "cache"))
    refused("../cache/git")
    check_paths(mine("../caches"))
    (project / ".dvc").mkdir()
    (project / ".dvc/config.local").write_text("[core]\n    autostage = true\n[cache]\n    dir = ../../store\n")
    refused("../store/photos")


def test_an_experiment_in_a_copy_writes_in_both(project, monkeypatch):
    copy = project / ".dvc/tmp/exps/tmp1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(project))
    refused("data/photos")
    refused("../project/data/photos")
    check_paths(mine("../photos"))


def test_a_path_is_followed_link_by_link(tmp_path):
    (tmp_path / "real/inner").mkdir(parents=True)
    link(tmp_path / "one", "two")
    link(tmp_path / "two", tmp_path / "real/inner")
    found = find_place(tmp_path / "one/../new")
    assert found.written == str(tmp_path / "new") and found.end == str(tmp_path / "real/new")
    assert found.passed == (str(tmp_path / "one"), str(tmp_path / "two"))


def test_all_paths_of_the_parameters_are_looked_at():
    keys = {path.key for path in user_paths(read_yaml(ROOT / "params.yaml") | mine("~nobody-of-this-name/x"))}
    assert keys == {"datasets.mine.path", "model.weights"}


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/mine.txt").write_text("mine")
    link(tmp_path / "out", "disk")
    with fresh_folder(tmp_path / "out") as folder:
        (folder / "new").write_text("new")
    assert os.listdir(tmp_path / "out") == ["new"] and not (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk/mine.txt").read_text() == "mine"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("where", "target"),
    [
        ("data/photos", []),
        ("data/photos", ["ingest"]),
        ("data/weights", ["weights"]),
        ("linked", []),
        ("data/views/crop/flank", ["--force", "crop"]),
    ],
)
def test_dvc_removes_no_photo_whatever_it_is_asked_for(scratch, where, target):
    project = scratch(datasets__mine={"source": "folder", "path": where}, ingest__dataset="mine")
    photos = project.folder / ("data/photos" if where == "linked" else where)
    photos.mkdir(parents=True)
    for number in range(3):
        (photos / f"{number}.jpg").write_bytes(bytes([number]) * 9)
    if where == "linked":
        (project.folder / "linked").symlink_to(photos)
    before = tree(photos)
    done = project.dvc("repro", *target, check=False)
    assert done.returncode and f"datasets.mine.path is {where!r}" in done.stderr, done.stderr
    assert tree(photos) == before and len(before) == 3
