"""Presets: applied visibly, reversibly, and only to what is there."""

from __future__ import annotations

import itertools
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from pelage import presets
from pelage.common.errors import PelageError
from pelage.common.params import read_yaml
from pelage.losses.registry import create_loss
from pelage.model.embedder import Embedder
from pelage.training.variant import read_variant

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
OWN = read_yaml(ROOT / "params.yaml")["variants"]
TINY = {
    "about": "a test",
    "variants": {"mine": {"part": "flank", "view": "nobg", "loss": {"name": "cosface"}}},
    "set": {"loss": {"margin": 0.4}, "train": {"epochs": 3}},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def changed(before: str, after: str) -> list[str]:
    lines = presets.difference(before, after).splitlines()[2:]
    return [line for line in lines if line[0] in "+-"]


def test_nothing_to_set_changes_no_byte():
    assert presets.applied(TEXT, {}) == TEXT


def test_only_what_is_set_changes_and_comments_stay():
    after = presets.applied(TEXT, {"set": TINY["set"]})
    assert len(changed(TEXT, after)) == 4
    assert [line.split("#")[1:] for line in TEXT.splitlines()] == [line.split("#")[1:] for line in after.splitlines()]


def test_variants_are_replaced_and_the_sections_around_them_stay(tmp_path):
    after = presets.applied(TEXT, TINY)
    (tmp_path / "p.yaml").write_text(after)
    params, was = read_yaml(tmp_path / "p.yaml"), read_yaml(ROOT / "params.yaml")
    assert params.pop("variants") == TINY["variants"] and was.pop("variants")
    assert params["loss"].pop("margin") == 0.4 and params["train"].pop("epochs") == 3
    del was["loss"]["margin"], was["train"]["epochs"]
    assert params == was
    assert "\n\n# A matcher is a part" in after


@pytest.mark.parametrize("name", presets.preset_names(ROOT / "presets"))
def test_every_preset_fits_and_can_be_taken_back(name, project):
    assert "+++ params.yaml" in presets.apply(name)
    assert Path("params.yaml").read_text() != TEXT
    presets.undo()
    assert Path("params.yaml").read_text() == TEXT


def test_the_empty_line_after_a_list_stays():
    few = {"variants": TINY["variants"], "set": {"parts": ["flank"]}}
    assert "\nparts:\n  - flank\n\nsplit:" in presets.applied(TEXT, few)
    assert "  grid: [3, 3]   " in presets.applied(TEXT, {"set": {"model": {"grid": [3, 3]}}})


def test_matchers_and_rematchers_may_be_added():
    glue = {"part": "flank", "features": "disk", "network": "glue", "local": "wbia", "global": "mine"}
    added = {"matchers": {"wbia": {"part": "flank", "kind": "hotspotter"}}, "rematchers": {"glue": glue}}
    lines = presets.applied(TEXT, TINY | {"set": added}).splitlines()
    start = lines.index("matchers:")
    assert lines[start + 1 : start + 5] == ["  wbia:", "    part: flank", "    kind: hotspotter", "  sift_lnbnn:"]
    start = lines.index("rematchers:")
    assert lines[start + 1 : start + 3] == ["  glue:", "    part: flank"] and not lines[start + 7]
    added["matchers"]["wbia"]["kind"] = "luck"
    with pytest.raises(PelageError, match=r"matchers.wbia.kind is 'luck'"):
        presets.applied(TEXT, TINY | {"set": added})


@cache
def laid(name):
    """Return the parameters under a preset."""
    return presets.laid_over(TEXT, presets.read_preset(name, ROOT / "presets"))


def all_variants():
    for name in presets.preset_names(ROOT / "presets"):
        preset = presets.read_preset(name, ROOT / "presets")
        yield from ((name, variant) for variant in preset.get("variants", OWN))


@pytest.mark.parametrize(("preset", "name"), all_variants())
def test_every_variant_of_every_preset_can_be_built(preset, name):
    variant = read_variant(laid(preset), name)
    with torch.device("meta"):
        embedder = Embedder(variant.model, variant.channels)
        create_loss(variant.loss, 10, embedder.dim)
        seen = embedder.layout
        maps = {"maps": (seen.width, seen.rows, seen.columns), "maps_last": (seen.rows, seen.columns, seen.width)}
        shape = maps.get(seen.kind, (seen.prefix + seen.rows * seen.columns, seen.width))
        assert embedder.project(torch.zeros(2, *shape)).shape == (2, embedder.dim)
    assert embedder.dim == (variant.model["dim"] if variant.model["depth"] else embedder.layout.width)


def test_an_edit_after_a_preset_is_not_lost(project):
    with pytest.raises(PelageError, match="No preset was applied"):
        presets.undo()
    presets.apply(presets.preset_names()[0])
    edited = Path("params.yaml").read_text() + "# mine\n"
    Path("params.yaml").write_text(edited)
    with pytest.raises(PelageError, match="edited after"):
        presets.undo()
    assert Path("params.yaml").read_text() == edited


def test_mistakes_are_named(project):
    with pytest.raises(PelageError, match=r"no preset 'x'; presets has .*leopard_paper"):
        presets.apply("x")
    with pytest.raises(PelageError, match=r"sets loss.margins, which params.yaml does not have"):
        presets.applied(TEXT, {"set": {"loss": {"margins": 1}}})
    with pytest.raises(PelageError, match=r"variants.mine.loss.name is 'x'"):
        presets.applied(TEXT, {"variants": {"mine": {"part": "flank", "view": "nobg", "loss": {"name": "x"}}}})
    Path("presets/odd.yaml").write_text("about: odd\nsets: {}\n")
    with pytest.raises(PelageError, match=r"odd.yaml.*sets"):
        presets.apply("odd")
    assert Path("params.yaml").read_text() == TEXT


def told(name):
    """`KEY=VALUE` in the header of a preset: what it says of its own parameters."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), (ROOT / f"presets/{name}.yaml").open())
    return re.findall(r"([a-z]+(?:\.[a-z0-9_]+)+)=([^\s,]+)", " ".join(line.strip("#\n ") for line in lines))


@pytest.mark.parametrize("name", presets.preset_names(ROOT / "presets"))
def test_what_a_header_tells_is_what_the_preset_sets(name):
    assert (ROOT / f"presets/{name}.yaml").read_text(encoding="utf-8").startswith("# ")
    params = laid(name)
    for key, value in told(name):
        found = params
        for part in key.split("."):
            found = found[part]
        assert found == YAML(typ="safe").load(value), key


def test_headers_of_published_systems_tell_what_they_train_with():
    told_of = {name: dict(told(name)) for name in ("leopard_paper", "jaguars", "megadescriptor", "bears")}
    for name, keys in told_of.items():
        assert {"train.optimizer", "train.schedule", "train.sampler", "loss.margin"} <= keys.keys(), name
    triplet = read_variant(laid("leopard_paper"), "triplet")
    assert triplet.loss["miner"] == "one_semihard" and triplet.model["edge_filters"] == "red"
    assert told_of["jaguars"]["embed.tta"] == "reflections" and told_of["jaguars"]["search.rerank"] == "20"
