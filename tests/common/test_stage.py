"""A stage that fails on bad input: one paragraph, status 1, and under DVC the outputs of the run before."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT / "src")!r})
from pathlib import Path
from pelage.common.errors import PelageError
from pelage.common.stage import run_stage

def main():
    if Path("bad").read_text() == "yes":
        raise PelageError("photos.csv, row 3: the clock is wrong.\\n   Mend it.")
    for name in ("data/out.csv", "metrics/out.json"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("{{}}")

run_stage(main)
"""

DVC_YAML = """
stages:
  make:
    cmd: python make.py
    deps:
      - make.py
      - bad
    outs:
      - data/out.csv
    metrics:
      - metrics/out.json:
          cache: false
"""


def test_bad_input_is_one_paragraph_and_keeps_previous_outputs(tmp_path, warm):
    path = os.pathsep.join([str(warm), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PELAGE_CACHE": str(tmp_path / "cache")}

    def run(*command):
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)

    (tmp_path / "make.py").write_text(SCRIPT)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / ".gitignore").write_text("/data/*\n/cache/\n")
    (tmp_path / "bad").write_text("no")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    run("git", "init", "-q")
    assert run("dvc", "init", "-q").returncode == 0
    done = run("dvc", "repro")
    assert done.returncode == 0, done.stderr
    run(*git, "add", "-A")
    run(*git, "commit", "-qm", "first")

    (tmp_path / "bad").write_text("yes")
    failed = run("dvc", "repro")
    assert failed.returncode != 0
    assert "ERROR: photos.csv, row 3: the clock is wrong. Mend it." in failed.stderr
    assert "Traceback" not in failed.stderr
    (noted,) = (tmp_path / "cache/times.jsonl").read_text().splitlines()  # of the run that ended well
    assert json.loads(noted)["stage"] == "make" and json.loads(noted)["seconds"] >= 0
    assert (tmp_path / "data/out.csv").read_text() == "{}"
    assert (tmp_path / "metrics/out.json").read_text() == "{}"
