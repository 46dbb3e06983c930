"""The stages train, embed and search one after another, in a folder of their own."""

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
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pelage.common.errors import PelageError
from pelage.common.files import write_json
from pelage.common.params import read_params
from pelage.common.tables import crop_file, read_parquet, read_table, write_table
from pelage.matching.rankings import empty_rankings
from pelage.model.backbone import create_backbone
from pelage.split.protocols import ASKED
from pelage.training import loop

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def survey(tmp_path, monkeypatch):
    """Four labels with two encounters to learn, one to validate, one to test; two novel individuals; no faces."""
    rng = np.random.default_rng(0)
    rows, images = [], {}
    for label in range(6):
        for number, subset in enumerate(("train", "train", "val", "test") if label < 4 else ("test", "test")):
            image = f"{label}-{number}"
            pixels = rng.integers(0, 256, (24, 40, 4), np.uint8) // 2 + 20 * label
            images[crop_file(f"{image}#0")] = pixels.astype(np.uint8)
            rows.append((f"{image}#0", image, f"i{label}", f"i{label}:left", image, subset, label < 4))
    images[crop_file("u#0")] = np.full((24, 40, 4), 99, np.uint8)
    pack_images(tmp_path / "data", "views/crop_edge/flank", images)
    for folder in ("views/crop/face", "masks/face", "masks/flank"):
        pack_images(tmp_path / "data", folder, {})
    rows.append(("u#0", "u", "unknown", "unknown", "u", "survey", False))
    for name, asked in (("tiny", ASKED), ("faces", ())):
        write_json(tmp_path / f"data/asked/{name}.json", list(asked))
    columns = ["crop_id", "image_id", "identity", "label", "encounter", "subset", "known"]
    split = pd.DataFrame(rows, columns=columns)
    split = split.assign(group=split["encounter"], place="", night="")
    split = split.assign(part="flank", camera="", station="", date="", orientation="left", published=False)
    write_table(tmp_path / "data/split.csv", split.assign(gallery=split["subset"] == "train"))
    params = read_params(ROOT / "params.yaml")
    params["compute"] |= {"device": "cpu", "threads": 1}
    params["model"] |= {"backbone": "test_efficientnet", "weights": "none", "dim": 8, "width": 32, "height": 32}
    params["train"] |= {"epochs": 2, "validate_every": 1, "identities_per_batch": 2, "photos_per_identity": 2}
    params["variants"] = {
        "tiny": {"part": "flank", "view": "crop_edge"},
        "faces": {"part": "face", "view": "crop"},
    }
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("PELAGE_CACHE", raising=False)
    monkeypatch.chdir(tmp_path)
    save_params(params)
    return params


def save_params(params):
    with open("params.yaml", "w") as file:
        YAML().dump(params, file)


def stage(name, variant, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", variant])
    runpy.run_path(str(ROOT / "stages" / f"{name}.py"))["main"]()


def outputs(variant):
    names = ["data/models/{}/1.safetensors", "plots/training/{}.csv", "data/numbers/train/{}.json"]
    names += ["data/embeddings/{}/1.parquet", "data/rankings/networks/{}/1.parquet"]
    return [Path(name.format(variant)) for name in names]


def test_from_crops_to_rankings_and_the_same_bytes_again(survey, monkeypatch):
    contents = []
    for cache in ("first", "second"):
        monkeypatch.setenv("PELAGE_CACHE", cache)
        for name in ("train", "embed", "search"):
            stage(name, "tiny", monkeypatch)
        contents.append([path.read_bytes() for path in outputs("tiny")])
    assert contents[0] == contents[1]

    metrics = json.loads(Path("data/numbers/train/tiny.json").read_text())
    assert metrics["trained"] and metrics["photos"] == 8 and metrics["labels"] == 4 and metrics["val_queries"] == 4
    assert metrics["seeds"] == 1
    history = pd.read_csv("plots/training/tiny.csv")
    assert history["seed"].tolist() == [1, 1] and history["epoch"].tolist() == [1, 2]
    best = history.iloc[metrics["best_epoch"] - 1].filter(like="val_").to_dict()
    assert (
        len(best) == 8 and best.items() <= metrics.items() and best["val_flank_map"] == history["val_flank_map"].max()
    )
    embeddings = pd.read_parquet("data/embeddings/tiny/1.parquet")
    assert "u#0" in set(embeddings["crop_id"]) and len(embeddings) == 21
    np.testing.assert_allclose(np.linalg.norm(np.stack(embeddings["embedding"]), axis=1), 1, rtol=1e-5)
    rankings = pd.read_parquet("data/rankings/networks/tiny/1.parquet")
    counts = rankings.groupby("protocol")["query"].nunique().to_dict()
    judged = {"validation": 4, "pseudo_novel": 4, "closed": 4, "open": 8, "disjoint": 4}
    assert counts == judged | {"practice": 4, "rehearsal": 8, "survey": 1}

    write_json(Path("data/asked/tiny.json"), [])
    for name in ("embed", "search"):
        stage(name, "tiny", monkeypatch)
    assert "u#0" not in set(pd.read_parquet("data/embeddings/tiny/1.parquet")["crop_id"]), "nobody asks this network"
    alone = pd.read_parquet("data/rankings/networks/tiny/1.parquet")
    pd.testing.assert_frame_equal(alone, rankings[rankings["protocol"].isin(list(judged))])


def test_a_further_seed_is_the_only_one_that_is_trained(survey, monkeypatch):
    epochs, run_epoch = [], loop._Trainer.run_epoch

    def counted(trainer):
        epochs.append(trainer.variant.train["seed"])
        run_epoch(trainer)

    monkeypatch.setattr(loop._Trainer, "run_epoch", counted)
    for name in ("train", "embed", "search"):
        stage(name, "tiny", monkeypatch)
    alone = [path.read_bytes() for path in outputs("tiny")]
    first = json.loads(Path("data/numbers/train/tiny.json").read_text())
    (checkpoint,) = Path(".pelage/checkpoints/tiny/1").glob("*/last.pt")
    finished = checkpoint.stat().st_mtime_ns

    survey["variants"]["tiny"]["train"] = {"seeds": [1, 10]}
    save_params(survey)
    for name in ("train", "embed", "search"):
        stage(name, "tiny", monkeypatch)
    assert epochs == [1, 1, 10, 10] and checkpoint.stat().st_mtime_ns == finished
    both = [path.read_bytes() for path in outputs("tiny")]
    model, history, _, *rest = range(5)
    assert all(both[place] == alone[place] for place in (model, *rest))
    assert both[history].startswith(alone[history]) and both[history].count(b"\n10,") == 2
    for folder in ("models", "embeddings", "rankings/networks"):
        one, other = (path.read_bytes() for path in sorted(Path("data", folder, "tiny").iterdir()))
        assert one != other
    other = pd.read_parquet("data/rankings/networks/tiny/10.parquet")
    assert "survey" not in set(other["protocol"]), "one seed is asked"
    metrics, rows = json.loads(Path("data/numbers/train/tiny.json").read_text()), pd.read_csv("plots/training/tiny.csv")
    best = rows.loc[rows.groupby("seed")["val_flank_map"].idxmax()]
    assert metrics["seeds"] == 2 and metrics["photos"] == first["photos"]
    for key, column in (("best_epoch", "epoch"), ("val_flank_map", "val_flank_map"), ("train_loss", "loss")):
        assert metrics[key] == pytest.approx(best[column].mean(), abs=2e-4)

    survey["variants"]["tiny"]["train"] = {"seeds": [1]}
    save_params(survey)
    for name in ("train", "embed", "search"):
        stage(name, "tiny", monkeypatch)
    assert epochs == [1, 1, 10, 10] and [path.read_bytes() for path in outputs("tiny")] == alone
    assert [path.name for path in Path("data/rankings/networks/tiny").iterdir()] == ["1.parquet"]


def test_photos_without_a_name_train_nothing_anew_and_another_name_does(survey, monkeypatch):
    epochs, run_epoch = [], loop._Trainer.run_epoch

    def counted(trainer):
        epochs.append(trainer.epoch)
        run_epoch(trainer)

    monkeypatch.setattr(loop._Trainer, "run_epoch", counted)
    stage("train", "tiny", monkeypatch)
    model = Path("data/models/tiny/1.safetensors").read_bytes()
    split = read_table(Path("data/split.csv"))
    more = split[split["crop_id"] == "u#0"].assign(crop_id="w#0", image_id="w", encounter="w", group="w")
    write_table(Path("data/split.csv"), pd.concat([more, split]))
    stage("train", "tiny", monkeypatch)
    assert epochs == [0, 1] and Path("data/models/tiny/1.safetensors").read_bytes() == model
    write_table(Path("data/split.csv"), split.replace({"label": {"i0:left": "i9:left"}}))
    stage("train", "tiny", monkeypatch)
    assert epochs == [0, 1, 0, 1]


def test_a_part_without_crops_is_told_and_leaves_empty_outputs(survey, monkeypatch):
    for name in ("train", "embed", "search"):
        stage(name, "faces", monkeypatch)
    reason = "0 training crops of face with 0 labels; two labels are needed"
    assert json.loads(Path("data/numbers/train/faces.json").read_text()) == {
        "trained": False,
        "reason": reason,
        "seeds": 1,
    }
    columns = "seed,epoch,loss,lr,val_top1,val_top3,val_top5,val_top10,val_map,val_dynamic_top5_ap,"
    columns += "val_flank_top1,val_flank_map"
    assert Path("plots/training/faces.csv").read_text() == columns + "\n"
    with safe_open("data/models/faces/1.safetensors", "pt") as file:
        assert list(file.keys()) == [] and not json.loads(file.metadata()["pelage"])["trained"]
    embeddings = pd.read_parquet("data/embeddings/faces/1.parquet")
    assert list(embeddings.columns) == ["crop_id", "embedding"] and len(embeddings) == 0
    told = read_parquet(Path("data/rankings/networks/faces/1.parquet"), categories=["protocol", "query", "candidate"])
    pd.testing.assert_frame_equal(told, empty_rankings(), check_categorical=False)


def test_weights_that_are_taken_as_they_are_need_nothing_to_learn_from(survey, monkeypatch):
    torch.manual_seed(5)
    save_file(create_backbone("test_efficientnet", 3).state_dict(), "weights.safetensors")
    split = read_table(Path("data/split.csv"))
    nobody = {"subset": "survey", "identity": "unknown", "label": "unknown", "known": "false", "gallery": "false"}
    write_table(Path("data/split.csv"), split.assign(**nobody))
    survey["model"] |= {"weights": "weights.safetensors", "depth": 0}
    survey["train"] |= {"epochs": 0}
    save_params(survey)
    for name in ("train", "embed", "search"):
        stage(name, "tiny", monkeypatch)
    told = json.loads(Path("data/numbers/train/tiny.json").read_text())
    assert not told["trained"] and told["reason"].endswith("train.epochs is 0, so its weights are taken as they are")
    rankings = pd.read_parquet("data/rankings/networks/tiny/1.parquet")
    assert rankings["protocol"].unique().tolist() == ["survey"] and rankings["query"].nunique() == 21
    given, taken = (load_file(file) for file in ("weights.safetensors", "data/models/tiny/1.safetensors"))
    edges = "backbone.conv_stem.weight"  # which has a channel more
    assert all(torch.equal(tensor, given[name[9:]]) for name, tensor in taken.items() if name != edges)


def test_what_is_wrong_is_told_before_anything_is_written(survey, monkeypatch):
    def refused(message, **changes):
        params = {**survey, **{section: {**survey[section], **values} for section, values in changes.items()}}
        save_params(params)
        with pytest.raises(PelageError, match=message):
            stage("train", "tiny", monkeypatch)

    refused("weights w.safetensors are missing", model={"weights": "w.safetensors"})
    refused("model.backbone is 'x'", model={"backbone": "x"})
    refused("compute.device is 'x'", compute={"device": "x"})
    del survey["variants"]["tiny"]
    refused("variants has no entry 'tiny'")
    assert not any(path.exists() for path in outputs("tiny"))
