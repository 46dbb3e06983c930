"""Names: what cannot be a file's, a stage's and a key's name is refused before DVC stumbles over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pelage.common.errors import PelageError
from pelage.common.params import read_yaml
from pelage.matching.rankings import NAMED
from pelage.settings.check import TOLD, check_params
from pelage.settings.names import NAME, RESERVED, mended

ROOT = Path(__file__).resolve().parents[2]
VARIANT = {"part": "flank", "view": "crop"}
MATCHER = {"part": "flank", "kind": "ratio_test"}


def told(params) -> str:
    with pytest.raises(PelageError) as error:
        check_params(params)
    return str(error.value)


@pytest.mark.parametrize(
    "name",
    ["2024", 2024, "kruger.2024", "cosface_0.35", "two words", " a", "a/b", "../a", "a@b", "${a}", "", "_a", "-a", "é",
     "a" * 101, None, True, 1.5, "a\n", "a:b", "a,b"],
)  # fmt: skip
@pytest.mark.parametrize("section", ["datasets", "variants", "matchers", "rematchers"])
def test_names_that_cannot_be_used_are_refused(params, section, name):
    params[section][name] = VARIANT
    assert f"params.yaml: {section}.{name}: the name {name!r} " in told(params)
    assert "Rename it, to " in told(params)


@pytest.mark.parametrize("name", ["a", "kruger_2024", "kruger-2024", "A9", "a" * 100])
def test_other_names_are_right(params, name):
    params["datasets"][name] = {"source": "folder", "path": "../photos"}
    params["variants"][name] = VARIANT
    params["ingest"]["dataset"] = params["insight"]["variant"] = name
    check_params(params)


@pytest.mark.parametrize(("name", "other"), [("kruger.2024", "kruger_2024"), ("2024", "n2024"), ("é", "n")])
def test_a_name_is_mended(name, other):
    assert mended(name) == other and NAME.fullmatch(other)


def test_two_methods_have_two_names(params):
    for section, entry in (("variants", VARIANT), ("matchers", MATCHER), ("rematchers", {"features": "disk"})):
        for name in ("Cosface", "SIFT_lnbnn", *RESERVED, "Mlp"):
            if name.lower() not in params[section]:
                changed = {**params, section: {**params[section], name: entry}}
                said = told(changed)
                assert f"{section}.{name} has the name of " in said or f"has the name of {section}.{name}, or " in said
    params["datasets"]["Demo"] = params["datasets"]["demo"]
    assert "datasets.Demo has the name of datasets.demo, or one that differs in case only" in told(params)


def test_reserved_names_are_those_of_the_methods_that_are_always_there():
    assert set(RESERVED) == set(NAMED)


def test_sources_have_names(params):
    sources = [{"name": name, "source": "folder", "path": "../a"} for name in ("north", "North", "2.1", 7)]
    params["datasets"]["mine"] = {"sources": sources}
    said = told(params)
    assert "datasets.mine.sources[1].name has the name of datasets.mine.sources[0].name" in said
    assert "sources[2].name: the name '2.1' cannot be used" in said and "sources[3].name: the name 7 is no text" in said


def test_many_faults_are_counted(params):
    params["variants"] |= {f"v.{number}": VARIANT for number in range(TOLD + 3)}
    assert told(params).endswith("And 3 more.")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"datasets": {"kruger.2024": {"source": "synthetic"}}, "dataset": "kruger.2024"}, "'kruger.2024'"),
        ({"datasets": {2024: {"source": "synthetic"}}, "dataset": 2024}, "2024"),
        ({"variants": {"cosface_0.35": VARIANT}}, "'cosface_0.35'"),
        ({"variants": {"two words": VARIANT}}, "'two words'"),
        ({"matchers": {2024: MATCHER}}, "2024"),
    ],
)
def test_dvc_comes_as_far_as_the_check(scratch, changes, name):
    project = scratch()
    for section, entries in changes.items():
        if section == "dataset":
            project.params["ingest"]["dataset"] = entries
        else:
            project.params[section] |= entries
    project.set()
    done = project.dvc("repro", check=False)
    said = " ".join(done.stderr.split())
    assert done.returncode and f"the name {name} " in said and "Rename it, to " in said, said
    assert "stages/weights.py" not in done.stdout


def test_a_name_that_dvc_cannot_parse_is_in_its_message(scratch):
    project = scratch()
    project.params["variants"]["a/b@c"] = VARIANT
    project.set()
    done = project.dvc("repro", check=False)
    assert done.returncode and "a/b@c" in done.stderr


def test_the_check_writes_the_same_whatever_the_parameters(scratch):
    project = scratch()
    project.dvc("repro", "check_params")
    first = (project.folder / "data/params_checked.txt").read_bytes()
    project.set(train__lr=2e-05)
    project.dvc("repro", "check_params")
    assert (project.folder / "data/params_checked.txt").read_bytes() == first
    assert read_yaml(project.folder / "params.yaml")["train"]["lr"] == 2e-05
