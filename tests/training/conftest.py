"""A tiny survey to train on, and a process that imports once and then trains as often as it is asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packing import pack_images
from ruamel.yaml import YAML

from pelage.common.params import read_params
from pelage.common.tables import crop_file, write_table

ROOT = Path(__file__).resolve().parents[2]

# Imports once, then forks a process for each line of input: folder, moment, count. Answers with its exit status.
# Ends at `end`: processes that tests fork hold its input open.
DRIVER = """
import os, runpy, signal, sys
root = sys.argv[1]
sys.path[:0] = [root + "/stages", root + "/src"]
import torch
import pelage.training.loop, pelage.training.dataset
import pelage.model.embedder as embedder
from pelage.training.optimisation import Optimisation

def deadly(function, count):
    calls = 0
    def call(*arguments, **named):
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return call

def prepare(moment, count):
    if moment == "step":
        Optimisation.step = deadly(Optimisation.step, count)
    if moment == "replace":  # a checkpoint is written, but its file is not yet in place
        replace = os.replace
        killer = deadly(replace, count)
        os.replace = lambda source, target: (killer if str(target).endswith("last.pt") else replace)(source, target)
    if moment == "double":
        torch.set_default_dtype(torch.float64)
    if moment == "output":
        embedder.save_model = deadly(embedder.save_model, count)

while (line := sys.stdin.readline()) not in ("", "end\\n"):
    folder, moment, count = line.split()
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.dup2(2, 1)
        prepare(moment, int(count))
        sys.argv = ["train.py", "tiny"]
        runpy.run_path(root + "/stages/train.py", run_name="__main__")
        sys.stdout.flush()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def make_survey(folder: Path, dropout: float = 0.2, **train) -> None:
    """Six labels with two encounters of two photos to learn and one encounter of one photo to validate."""
    params = read_params(ROOT / "params.yaml")
    params["model"] |= {"backbone": "test_efficientnet", "weights": "none", "dim": 8, "width": 32, "height": 32}
    params["model"] |= {"dropout": dropout}
    params["train"] |= {"epochs": 3, "validate_every": 1, "identities_per_batch": 3, "photos_per_identity": 2}
    params["train"] |= {"optimizer": "adamw", **train}
    params["compute"] |= {"device": "cpu", "threads": 1}
    params["variants"] = {"tiny": {"part": "flank", "view": "crop_edge"}}
    folder.mkdir(parents=True)
    with open(folder / "params.yaml", "w") as file:
        YAML().dump(params, file)
    rng = np.random.default_rng(0)
    rows, images = [], {}
    for label in range(6):
        for encounter, subset, photos in (("a", "train", 2), ("b", "train", 2), ("c", "val", 1)):
            for photo in range(photos):
                image = f"{label}{encounter}{photo}"
                pixels = rng.integers(0, 256, (24, 40, 4), np.uint8) // 2 + 20 * label
                images[crop_file(f"{image}#0")] = pixels.astype(np.uint8)
                rows.append((f"{image}#0", image, f"i{label}", f"i{label}:left", f"{label}{encounter}", subset))
    pack_images(folder / "data", "views/crop_edge/flank", images)
    pack_images(folder / "data", "masks/flank", {})
    split = pd.DataFrame(rows, columns=["crop_id", "image_id", "identity", "label", "encounter", "subset"])
    split = split.assign(group=split["encounter"], place="", night="")
    split = split.assign(part="flank", camera="", station="", date="", orientation="left", known=True)
    write_table(folder / "data/split.csv", split.assign(gallery=split["subset"] == "train", published=False))


@pytest.fixture(scope="session")
def tiny_survey():
    """Return a function that makes a survey in a folder, with the given dropout and parameters of section `train`."""
    return make_survey


@pytest.fixture(scope="session")
def run(warm, tmp_path_factory):
    """Return a function that trains in a folder, in a process of its own, and returns its exit status."""
    environment = {key: value for key, value in os.environ.items() if key not in ("DVC_ROOT", "PELAGE_CACHE")}
    script = tmp_path_factory.mktemp("driver") / "driver.py"
    script.write_text(DRIVER)
    command = [warm / "python", script, ROOT]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:

        def ask(folder: Path, moment: str = "never", count: int = 0) -> int:
            print(folder, moment, count, file=driver.stdin, flush=True)
            return int(driver.stdout.readline())

        yield ask
        print("end", file=driver.stdin, flush=True)
