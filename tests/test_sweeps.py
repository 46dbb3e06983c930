"""Sweeps: trials that are what the recipe says, and effects that are counted right."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pelage import presets
from pelage.common.errors import PelageError
from pelage.common.params import read_yaml
from pelage.settings.check import check_params
from pelage.sweeps.effects import best_epochs, effects, effects_figure, summary, trial_table
from pelage.sweeps.experiments import sweep
from pelage.sweeps.recipe import override, trial_names, trials

ROOT = Path(__file__).resolve().parents[1]
SWEEPS = [
    name for name in presets.preset_names(ROOT / "presets") if "sweep" in read_yaml(ROOT / f"presets/{name}.yaml")
]


def test_grids_are_every_combination_once():
    found = trials({"grids": [{"a": [1, 2], "b": ["x", "y"]}, {"a": [2], "b": ["y"]}, {"c": [0.5]}]}, "p")
    expected = [{"a": a, "b": b} for a, b in itertools.product([1, 2], "xy")]
    assert found == [*expected, {"c": 0.5}]
    assert trial_names("my_sweep", 2) == ["my-sweep-001", "my-sweep-002"]


def test_draws_are_the_same_for_a_seed_and_even_in_the_logarithm():
    spec = {"trials": 400, "seed": 3, "factors": {"lr": {"low": 1e-5, "high": 1e-1, "log": True}, "k": [1, 2, 3, 4]}}
    found = trials({"random": [spec]}, "p")
    assert found == trials({"random": [spec]}, "p")
    assert found[:5] == trials({"random": [{**spec, "trials": 5}]}, "p")  # more trials keep the first ones
    table = pd.DataFrame(found)
    assert table["lr"].between(1e-5, 1e-1).all()
    assert 0.4 < (table["lr"] < 1e-3).mean() < 0.6
    assert table["k"].value_counts(normalize=True).between(0.15, 0.35).all()


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({}, "a sweep has grids, random or both"),
        ({"grid": []}, r"\['grid'\] is not known"),
        ({"grids": [{"a": "x"}]}, r"a of the sweep is 'x'; give a list"),
        ({"random": [{"trials": 1, "seed": 1}]}, "does not say its factors"),
        ({"random": [{"trials": 1, "seed": 1, "factors": {"a": {"low": 2, "high": 1}}}]}, "a larger high"),
    ],
)
def test_wrong_recipes_are_named(sweep, message):
    with pytest.raises(PelageError, match=message):
        trials(sweep, "p")


def test_overrides_have_no_exponent():
    given = {"lr": 0.00002, "dim": 512, "flag": True, "name": "sgd"}
    assert [override(*item) for item in given.items()] == ["lr=0.00002", "dim=512", "flag=true", "name=sgd"]


@pytest.mark.parametrize("name", SWEEPS)
def test_every_trial_of_every_sweep_is_allowed(name):
    preset = presets.read_preset(name, ROOT / "presets")
    params = presets.laid_over((ROOT / "params.yaml").read_text(encoding="utf-8"), preset)
    for trial in trials(preset["sweep"], name):
        for key, value in trial.items():
            section, field = key.split(".")
            assert field in params[section]
            params[section][field] = value
        check_params(params)


def shown(scores):
    """What `dvc exp show --json` tells of experiments: name -> (executor's state, score); a score is a commit here."""
    return [
        {"rev": "workspace", "experiments": None},
        {
            "rev": "abc",
            "experiments": [
                {
                    "name": name,
                    "executor": state and {"state": state},
                    "revs": [{"rev": str(score)}],
                }
                for name, (state, score) in scores.items()
            ],
        },
    ]


def history(commit):
    """Two seeds of two epochs; the first of the one and the last of the other are best, around the commit's score."""
    score = float(commit)
    scores = [score + 0.1, 0.0, 0.01, score - 0.1]
    return pd.DataFrame({"seed": [1, 1, 2, 2], "epoch": [1, 2, 1, 2], "val_flank_map": scores, "val_top1": 1.0})


def test_the_best_epoch_of_each_seed_counts():
    assert best_epochs(history("0.4")) == {"val_top1": 1.0, "val_flank_map": 0.4}
    assert best_epochs(pd.DataFrame()) == best_epochs(history("nan").assign(val_flank_map=None)) == {}


def test_effects_by_hand():
    wanted = [{"m": 0.1, "n": "x"}, {"m": 0.1, "n": "y"}, {"m": 0.3, "n": "x"}, {"m": 0.3}, {"m": 0.3}, {"m": 0.3}]
    told = {"s-001": ("success", 0.2), "s-002": (None, 0.6), "s-003": ("success", 0.5), "s-004": ("failed", 0.9),
            "s-005": ("queued", 0.9)}  # fmt: skip
    table = trial_table(shown(told), trial_names("s", 6), wanted, history)
    assert list(table["state"]) == ["done", "done", "done", "failed", "waiting", "waiting"]
    assert table["val_flank_map"].tolist()[:3] == [0.2, 0.6, 0.5] and table["val_flank_map"].isna().sum() == 3
    rows = effects(table, ["m", "n"]).to_numpy().tolist()
    assert rows == [
        ["m", "0.1", 2, 0.4, 0.6],
        ["m", "0.3", 1, 0.5, 0.5],
        ["n", "x", 2, 0.35, 0.5],
        ["n", "y", 1, 0.6, 0.6],
    ]
    text = summary(table, ["m", "n"], "What it is.")
    assert "6 trials: 3 done, 1 failed, 2 waiting." in text and "| s-002 | 0.1 | y | 1.000 | 0.600 |" in text
    picture = effects_figure(table, ["m", "n"])
    assert picture.startswith(b"\x89PNG") and picture == effects_figure(table, ["m", "n"])
    with pytest.raises(PelageError, match="No trial of the sweep is done"):
        effects_figure(table[table["state"] == "waiting"], ["m"])


def test_many_levels_of_a_number_are_cut_at_quartiles():
    wanted = [{"lr": 0.001 * (place + 1)} for place in range(12)]
    told = {name: ("success", place / 12) for place, name in enumerate(trial_names("s", 12))}
    rows = effects(trial_table(shown(told), trial_names("s", 12), wanted, history), ["lr"])
    assert rows["trials"].tolist() == [3, 3, 3, 3] and rows["best"].is_monotonic_increasing


def test_queued_run_and_read_with_dvc(tmp_path, monkeypatch, warm):
    """A sweep over a pipeline of one stage: what is queued, what a second call adds, and what is read."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    preset = {
        "about": "a test",
        "variants": {"t": {"part": "flank", "view": "crop"}},
        "sweep": {"grids": [{"loss.margin": [0.25]}]},
    }
    (tmp_path / "params.yaml").write_text(presets.applied(text, preset))
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/tiny.yaml").write_text(json.dumps(preset))
    (tmp_path / "stage.py").write_text(
        "import pathlib, ruamel.yaml\n"
        "margin = ruamel.yaml.YAML(typ='safe').load(pathlib.Path('params.yaml'))['loss']['margin']\n"
        "pathlib.Path('plots/training').mkdir(parents=True, exist_ok=True)\n"
        "pathlib.Path('plots/training/t.csv').write_text(f'seed,epoch,val_top1,val_flank_map\\n1,1,{margin},{margin}\\n')\n"
    )
    plots = {"plots/training/t.csv": {"cache": False}}
    stage = {"cmd": "python stage.py", "params": ["loss.margin"], "plots": [plots]}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"train": stage}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", os.pathsep.join([str(warm), str(Path(sys.executable).parent), os.environ["PATH"]]))
    for command in ("git init -q", "git config user.email a@b.c", "git config user.name a", "dvc init -q", "git add -A",
                    "git commit -qm first"):  # fmt: skip
        subprocess.run(command.split(), check=True)
    sweep("queue", "tiny")
    again = subprocess.run(["dvc", "queue", "status"], capture_output=True, text=True, check=True).stdout
    sweep("queue", "tiny")
    assert again == subprocess.run(["dvc", "queue", "status"], capture_output=True, text=True, check=True).stdout
    assert "tiny-001" in again
    subprocess.run(["dvc", "exp", "run", "--run-all"], check=True, capture_output=True)
    sweep("read", "tiny")
    table = pd.read_csv("sweeps/tiny/trials.csv")
    assert table["state"].tolist() == ["done"] and table["val_flank_map"].tolist() == [0.25]
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    with pytest.raises(PelageError, match=r"run `pelage presets tiny` and commit it"):
        sweep("queue", "tiny")
