"""The examples of CONTRIBUTING.md work as they stand there."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from packing import pack_images
from PIL import Image
from ruamel.yaml import YAML
from test_pipeline import ROOT, closure, code_deps, script_of

from pelage.common.images import write_png
from pelage.common.params import read_yaml
from pelage.common.tables import read_table
from pelage.losses.registry import create_loss
from pelage.matching.local import matchers
from pelage.model.embedder import Embedder
from pelage.settings.check import find_faults
from pelage.training.variant import read_variant

PARAMS = read_yaml(ROOT / "params.yaml")


def example(title: str, language: str) -> str:
    """Return the code of one language below a heading."""
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL).group(1)


def test_the_citation_and_the_package_tell_the_same():
    cited = read_yaml(ROOT / "CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {key: cited[key] for key in ("version", "license")} == {key: project[key] for key in ("version", "license")}
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert cited["title"].startswith("pelage") and cited["message"] and cited["authors"]


def with_example(title: str) -> dict:
    """Return the project's parameters with an example's entries among them."""
    params = copy.deepcopy(PARAMS)
    for section, entries in YAML(typ="safe").load(example(title, "yaml")).items():
        params[section] |= entries
    return params


def run(folder: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_data_set(tmp_path):
    params = with_example("A data set")
    assert not list(find_faults(params))
    project, photos = tmp_path / "project", tmp_path / "mine"
    for name in ("Kali/S01A_20260301_061500.jpg", "Kali/S02B_20260302_221500.jpg", "Moto/S01B_20260301_061502.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)).save(photos / name)
    shutil.copytree(ROOT / "stages", project / "stages")
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", project)
    YAML().dump(params, project / "params.yaml")
    for stage in ("inventory", "ingest"):
        run(project, f"stages/{stage}.py")
    claims = read_table(project / "data/claims.csv").merge(read_table(project / "data/photos.csv"), on="image_id")
    told = sorted(zip(claims["identity"], claims["station"], claims["camera"], claims["date"], strict=True))
    assert told[0] == ("Kali", "S01", "A", "2026-03-01T06:15:00") and [row[0] for row in told] == [
        "Kali",
        "Kali",
        "Moto",
    ]


def test_a_variant():
    params = with_example("A variant")
    assert not list(find_faults(params))
    variant = read_variant(params, "arcface_wide")
    with torch.device("meta"):
        embedder = Embedder(variant.model, variant.channels)
        create_loss(variant.loss, 10, embedder.dim)
    assert embedder.dim == 512 and variant.loss["margin"] == 0.4 and variant.loss["scale"] == PARAMS["loss"]["scale"]


COLOURS = [250, 0, 0], [200, 10, 0], [0, 0, 250]


def test_a_matcher(tmp_path, monkeypatch):
    written: dict = {"__name__": __name__}
    exec(example("A matcher", "python"), written)
    monkeypatch.setitem(matchers.KINDS, "colour_histogram", written["ColourHistogram"])
    params = with_example("A matcher")
    assert not list(find_faults(params))
    method = matchers.read_matcher(params, "colours").method
    assert method.bins == 4
    files = ["red.png", "also_red.png", "blue.png"]
    coats = {file: np.full((8, 16, 3), colour, np.uint8) for file, colour in zip(files, COLOURS, strict=True)}
    crops = pack_images(tmp_path, "crops", coats)
    masks = pack_images(tmp_path, "masks", dict.fromkeys(files, np.full((8, 16), 255, np.uint8)))
    found = method.features(crops, masks, files)
    scores = method.score(found[:1], found[1:], np.array([[True, True]]), np.array(["a", "b"]))
    assert scores.score.tolist() == [[0.999, 0.0]] and not scores.verified.any()
    assert method.score(found[:1], found[1:], np.array([[False, True]]), np.array(["a", "b"])).score.tolist() == [
        [0, 0]
    ]


def test_a_stage(tmp_path):
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    shutil.copytree(ROOT / "src/pelage/common", tmp_path / "src/pelage/common")
    (tmp_path / "stages/brightness.py").write_text(example("A stage", "python"))
    write_png(tmp_path / "data/photos/a.png", np.full((4, 4, 3), 80, np.uint8))
    (tmp_path / "data/clean.csv").write_text("image_id,path\na,a.png\n")
    assert run(tmp_path, "stages/brightness.py").startswith("brightness: 1 photos\n")
    assert (tmp_path / "data/brightness.csv").read_text() == "image_id,brightness\na,80.0\n"


def test_the_entry_of_the_stage_lists_what_it_imports(tmp_path):
    stage = YAML(typ="safe").load(example("A stage", "yaml"))["stages"]["brightness"]
    assert script_of(stage) == ROOT / "stages/brightness.py"
    (tmp_path / "brightness.py").write_text(example("A stage", "python"))
    missing = [
        file
        for file in closure(tmp_path / "brightness.py") - {tmp_path / "brightness.py"}
        if not any(file == dep or dep in file.parents for dep in code_deps(stage))
    ]
    assert not missing


@pytest.mark.parametrize("title", ["A data set", "A variant", "A matcher"])
def test_an_example_adds_a_name_that_is_new(title):
    for section, entries in YAML(typ="safe").load(example(title, "yaml")).items():
        assert section == "ingest" or not set(entries) & set(PARAMS[section])
