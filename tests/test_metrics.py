"""What a reviewer compares: which files are DVC's metrics, how many numbers they hold, and that tables fit a screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_pipeline import DVC, PARAMS, TEMPLATES, looped, needed, outputs

from pelage.common.params import read_params
from pelage.report.headline import MOST, count, headline
from pelage.report.trials import MARK, SHOWN, left_out

ROOT = Path(__file__).resolve().parents[1]
WIDE, HIGH, MOST_OF_ALL = 160, 30, 400


def metrics_files() -> list[Path]:
    """Return the files that are DVC's metrics, `foreach` written out."""
    files = []
    for name, stage in TEMPLATES.items():
        items = looped(DVC["stages"][name]["foreach"], PARAMS) if "foreach" in DVC["stages"][name] else [""]
        files += [path.replace("${item}", item) for path, _ in outputs(stage, "metrics") for item in items]
    return [ROOT / file for file in files]


def test_every_file_in_metrics_is_one_that_a_stage_writes():
    assert not {*(ROOT / "metrics").rglob("*.json")} - {*metrics_files()}


@pytest.mark.skipif(read_params(ROOT / "params.yaml")["ingest"]["dataset"] != "demo", reason="they count the demo's")
def test_there_are_no_more_numbers_than_can_be_reviewed():
    numbers = {path.name: count(json.loads(path.read_text())) for path in metrics_files()}
    assert numbers["headline.json"] <= MOST
    assert sum(numbers.values()) <= MOST_OF_ALL, numbers


def test_a_change_of_training_shows_in_the_headline_and_in_who_was_seen():
    """So that `dvc metrics diff` has few rows: numbers of methods in one place, and what a survey came to."""
    compared = {name for name, stage in TEMPLATES.items() if stage.get("metrics")}
    assert {name for name in compared if "train" in needed(name)} == {"headline", "individuals", "count"}
    assert count(headline({}, {}, {}, [], [])) <= MOST


STAGE = """
import json, pathlib, ruamel.yaml
params = ruamel.yaml.YAML(typ="safe").load(pathlib.Path("params.yaml"))
told = json.loads(pathlib.Path("told.json").read_text())
gain = params["loss"]["margin"] / 10 + params["detect"]["threshold"] / 10
for row in ("net", "sift", "fused"):
    told[row] = {key: f"{gain:.3f} to 0.900" if "interval" in key else gain for key in told[row]}
told["net"]["method"] = "cosface" if gain > 0.1 else "adaptive_cosface_nobg_edge"
told |= {"found": gain, "champion": "adaptive_cosface_nobg" if gain > 0.1 else "adaptive_cosface"}
pathlib.Path("metrics").mkdir(exist_ok=True)
pathlib.Path("metrics/headline.json").write_text(json.dumps(told))
pathlib.Path("metrics/detect.json").write_text(json.dumps({"animals": int(1000 * gain), "mean_iou": gain}))
"""


@pytest.fixture(scope="module")
def trial(tmp_path_factory, warm):
    """A project of one stage that writes the headline's keys, and a trial in it of two parameters that changes all."""
    folder = tmp_path_factory.mktemp("trial")
    (folder / "told.json").write_text(json.dumps(headline({}, {}, {}, [], [])))
    (folder / "stage.py").write_text(STAGE)
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    metrics = [{f"metrics/{name}.json": {"cache": False}} for name in ("headline", "detect")]
    stage = {"cmd": "python stage.py", "deps": ["told.json", "params.yaml"], "params": list(PARAMS), "metrics": metrics}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": {"headline": stage}}))
    environment = os.environ | {"COLUMNS": str(WIDE), "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(ROOT / "src")}
    environment["PATH"] = os.pathsep.join([str(warm), str(Path(sys.executable).parent), environment["PATH"]])

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
        return done.stdout

    for line in ("git init -q", "git config user.email a@b.c", "git config user.name a", "dvc init -q", "dvc repro -q",
                 "git add -A", "git commit -qm first"):  # fmt: skip
        run(*line.split())
    run("dvc", "exp", "run", "-q", "-S", "loss.margin=0.5", "-S", "detect.threshold=0.6")
    return run


def test_the_difference_of_a_trial_fits_a_screen(trial):
    lines = trial("dvc", "metrics", "diff").splitlines()
    assert any("net.top1" in line and line.split()[-1] not in ("-", "0.0") for line in lines)
    assert len(lines) <= HIGH and max(map(len, lines)) <= WIDE


def test_the_table_of_trials_fits_a_screen(trial):
    told = trial(sys.executable, "-c", "from pelage.command import main; main(['trials'])")
    for column in (*SHOWN, "loss.margin", "detect.threshold"):
        assert f" {column} " in told
    assert "…" not in told and "mean_iou" not in told and "interval" not in told
    assert "params.yaml" not in told
    lines = told.splitlines()
    assert len(lines) <= HIGH and max(map(len, lines)) <= WIDE


def test_the_readme_shows_a_trial_as_it_looks(trial):
    marks = f"a\\n<!-- {MARK} -->\\n<!-- /trial -->\\n"
    trial(sys.executable, "-c", f"open('README.md', 'w').write('{marks}')")
    trial(sys.executable, "-c", "from pelage.command import main; main(['trials', '--keep'])")
    text = trial(sys.executable, "-c", "print(open('README.md').read())")
    assert text.startswith("a\n<!-- trial") and "$ dvc metrics diff\nPath" in text and "$ pelage trials\n" in text
    assert trial("dvc", "metrics", "diff").splitlines()[5] in text


def test_the_trial_in_the_readme_fits_a_screen():
    text = (ROOT / "README.md").read_text(encoding="utf-8").split(f"<!-- {MARK} -->")[1].split("<!-- /trial -->")[0]
    assert max(map(len, text.splitlines())) <= WIDE


def test_numbers_without_a_column_are_left_out(tmp_path):
    (tmp_path / "a.json").write_text('{"net": {"top1": 1, "top1_interval": "x"}, "photos": {"kept": 1}}')
    assert left_out(tmp_path) == r"(.*/.*|params\.yaml|Created|net\.top1_interval|photos\.kept)$"
