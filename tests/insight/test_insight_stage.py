"""The stage insight in a folder of its own: what it writes, the same again, and what when there is nothing."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from packing import pack_images
from ruamel.yaml import YAML
from safetensors.numpy import load_file

from pelage.common.files import write_json
from pelage.common.images import read_image
from pelage.common.params import read_params
from pelage.common.tables import crop_file, write_table
from pelage.insight.attention import EXPLAINED_COLUMNS
from pelage.insight.inversion import CLASS_COLUMNS
from pelage.model.embedder import Embedder, save_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def insight(tmp_path, monkeypatch):
    """Run the stage for a variant: three individuals, each with two training photos and a query; no faces."""
    rng = np.random.default_rng(0)
    rows, images = [], {}
    for label in range(3):
        for number, subset in enumerate(("train", "train", "test")):
            image = f"{label}-{number}"
            pixels = (rng.integers(0, 100, (24, 40, 4)) + 70 * label).clip(0, 255).astype(np.uint8)
            images[crop_file(f"{image}#0")] = pixels
            rows.append((f"{image}#0", image, f"i{label}", f"i{label}:left", image, subset))
    split = pd.DataFrame(rows, columns=["crop_id", "image_id", "identity", "label", "encounter", "subset"])
    split = split.assign(group=split["encounter"], place="", night="")
    split = split.assign(part="flank", camera="", station="", date="", orientation="left", published=False, known=True)
    write_table(tmp_path / "data/split.csv", split.assign(gallery=split["subset"] == "train"))
    pack_images(tmp_path / "data", "views/crop_edge/flank", images)
    for folder in ("views/crop/face", "masks/face", "masks/flank"):
        pack_images(tmp_path / "data", folder, {})
    params = read_params(ROOT / "params.yaml")
    params["compute"] |= {"device": "cpu", "threads": 1}
    params["model"] |= {"backbone": "test_efficientnet", "stride": 8, "dim": 8, "width": 40, "height": 24}
    params["insight"] |= {"queries": 2, "classes": 2, "steps": 3}
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    state = Embedder(params["model"], 4).state_dict()
    about = {"model": params["model"], "channels": 4, "part": "flank", "view": "crop_edge", "trained": True}
    save_model(Path("data/models/tiny/1.safetensors"), state, about)
    nothing = {"channels": 3, "part": "face", "view": "crop", "trained": False}
    save_model(Path("data/models/faces/1.safetensors"), {}, about | nothing)

    def run(variant: str) -> dict:
        params["insight"]["variant"] = variant
        params["variants"] = {variant: {"part": "flank" if variant == "tiny" else "face"}}
        with open("params.yaml", "w") as file:
            YAML().dump(params, file)
        monkeypatch.setattr(sys, "argv", ["stage.py", variant])
        write_json(Path(f"data/asked/{variant}.json"), [])
        for name in ("embed", "search", "insight"):
            runpy.run_path(str(ROOT / "stages" / f"{name}.py"))["main"]()
        return json.loads(Path("data/numbers/insight.json").read_text())

    return run


def test_maps_and_images_of_a_network_and_the_same_bytes_again(insight):
    numbers = insight("tiny")
    pairs, maps = pd.read_csv("data/insight/pairs.csv"), load_file("data/insight/maps.safetensors")
    assert pairs["query"].nunique() == 2 and pairs["right"].tolist() == [True, False] * 2
    ranked = pd.read_parquet("data/rankings/networks/tiny/1.parquet")
    ranked = ranked.set_index(["protocol", "query", "candidate"])["score"]
    np.testing.assert_allclose(pairs["cosine"], ranked.loc[list(zip(*pairs.to_numpy().T[:3], strict=True))], atol=1e-4)
    for side in maps.values():
        assert side.shape == (4, 3, 5)
        np.testing.assert_allclose(side.sum(axis=(1, 2)), pairs["cosine"], atol=1e-4)
    classes = pd.read_csv("data/insight/classes.csv")
    assert len(classes) == 2 and (classes["crops"] == 2).all()
    for label in classes["label"]:
        assert read_image(Path("data/insight/inverted") / crop_file(label)).shape == (24, 40, 4)
    assert (
        numbers["exact"]
        and numbers["right"]["pairs"] == numbers["wrong"]["pairs"] == numbers["inverted"]["classes"] == 2
    )

    files = {path: path.read_bytes() for path in Path("data/insight").rglob("*.*") if path.is_file()}
    assert len(files) == 5
    assert insight("tiny") == numbers
    assert all(path.read_bytes() == content for path, content in files.items())


def test_a_network_that_was_not_trained(insight):
    numbers = insight("faces")
    assert numbers["variant"] == "faces" and numbers["inverted"] == {
        "classes": 0,
        "cosine": None,
        "next_cosine": None,
        "photos_cosine": None,
        "told_apart": None,
    }
    assert Path("data/insight/pairs.csv").read_text() == ",".join(EXPLAINED_COLUMNS) + "\n"
    assert Path("data/insight/classes.csv").read_text() == ",".join(CLASS_COLUMNS) + "\n"
    assert load_file("data/insight/maps.safetensors")["query"].shape == (0, 1, 1)
