"""A training that is killed, at any moment and as often as one likes, ends with the same files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from pelage.common.images import write_png
from pelage.common.params import read_params
from pelage.common.tables import crop_file, write_table

ROOT = Path(__file__).resolve().parents[2]
OUTPUTS = ["data/models/tiny.safetensors", "plots/training/tiny.csv", "metrics/train/tiny.json"]

DRIVER = """
import os, runpy, signal, sys
root, moment, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.path[:0] = [root + "/stages", root + "/src"]
import pelage.model.embedder as embedder
calls = 0
def deadly(function):
    def call(*arguments, **named):
        global calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return call
if moment == "step":
    import torch
    torch.optim.AdamW.step = deadly(torch.optim.AdamW.step)
if moment == "replace":  # a checkpoint is written, its file not yet in place
    replace = os.replace
    os.replace = lambda source, target: (deadly_replace if str(target).endswith("last.pt") else replace)(source, target)
    deadly_replace = deadly(replace)
if moment == "output":
    embedder.save_model = deadly(embedder.save_model)
sys.argv = ["train.py", "tiny"]
runpy.run_path(root + "/stages/train.py", run_name="__main__")
"""


def survey(folder: Path) -> None:
    """Six labels with two encounters of two photos to learn and one encounter of one photo to validate."""
    params = read_params(ROOT / "params.yaml")
    params["model"] |= {"backbone": "test_efficientnet", "weights": "none", "dim": 8, "width": 32, "height": 32}
    params["model"] |= {"dropout": 0.2}
    params["train"] |= {"epochs": 3, "validate_every": 1, "identities_per_batch": 3, "photos_per_identity": 2}
    params["train"] |= {"optimizer": "adamw"}
    params["compute"] |= {"device": "cpu", "threads": 1}
    params["variants"] = {"tiny": {"part": "flank", "view": "crop_edge"}}
    folder.mkdir()
    with open(folder / "params.yaml", "w") as file:
        YAML().dump(params, file)
    rng = np.random.default_rng(0)
    rows = []
    for label in range(6):
        for encounter, subset, photos in (("a", "train", 2), ("b", "train", 2), ("c", "val", 1)):
            for photo in range(photos):
                image = f"{label}{encounter}{photo}"
                pixels = rng.integers(0, 256, (24, 40, 4), np.uint8) // 2 + 20 * label
                write_png(folder / "data/views/crop_edge/flank" / crop_file(f"{image}#0"), pixels.astype(np.uint8))
                rows.append((f"{image}#0", image, f"i{label}", f"i{label}:left", f"{label}{encounter}", subset))
    split = pd.DataFrame(rows, columns=["crop_id", "image_id", "identity", "label", "encounter", "subset"])
    split = split.assign(part="flank", camera="", station="", date="", orientation="left", known=True)
    write_table(folder / "data/split.csv", split.assign(gallery=split["subset"] == "train", published=False))


def run(folder: Path, moment: str = "never", count: int = 0) -> int:
    environment = {key: value for key, value in os.environ.items() if key not in ("DVC_ROOT", "PELAGE_CACHE")}
    command = [sys.executable, "-c", DRIVER, str(ROOT), moment, str(count)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume") / "whole"
    survey(folder)
    assert run(folder) == 0
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def test_killed_again_and_again_ends_with_the_same_bytes(tmp_path, undisturbed):
    folder = tmp_path / "killed"
    survey(folder)
    # an epoch has four steps: within the first, within the second, while the second's checkpoint is put in place,
    # within the last, and when all is learnt but nothing written
    for moment, count in (("step", 3), ("step", 6), ("replace", 1), ("step", 6), ("output", 1)):
        assert run(folder, moment, count) == -9
        assert not any((folder / name).exists() for name in OUTPUTS)
    (checkpoint,) = folder.glob(".pelage/checkpoints/tiny/*/last.pt")
    finished = checkpoint.stat().st_mtime_ns
    assert run(folder) == 0
    assert checkpoint.stat().st_mtime_ns == finished  # the outputs come from the checkpoint, nothing is learnt again
    assert {name: (folder / name).read_bytes() for name in OUTPUTS} == undisturbed
    assert pd.read_csv(folder / OUTPUTS[1])["epoch"].tolist() == [1, 2, 3]
