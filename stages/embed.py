"""Embed [VARIANT ...]: models of all variants, or of those that are named, and crops -> data/embeddings/."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _path  # noqa: F401
import numpy as np
import pandas as pd
import torch

from pelage.common.files import fresh_folder, seed_files, sha256_file
from pelage.common.packs import Packs
from pelage.common.params import entry, read_params
from pelage.common.stage import run_stage
from pelage.common.workers import Ahead, workers
from pelage.model.compute import prepare
from pelage.model.crops import present
from pelage.model.embedder import load_model
from pelage.model.embeddings import SYMMETRIC, write_embeddings
from pelage.model.export import embed_ahead, embed_crops, embedding_memo, fingerprint, forget_others
from pelage.split.protocols import SURVEY, read_asked, read_split


def main() -> None:
    params = read_params()
    device = prepare(params["compute"]["device"], params["compute"]["threads"])
    split = read_split(Path("data/split.csv"))
    with workers(params["compute"]) as ahead:
        for name in sys.argv[1:] or params["variants"]:
            entry(params["variants"], name, "variants")
            embed(name, split, params, device, ahead)


def embed(name: str, split: pd.DataFrame, params: Mapping[str, Any], device: torch.device, ahead: Ahead) -> None:
    """Write the embeddings of one variant, a file a seed."""
    settings, states = params["embed"], []
    unseen = {"none"} if SURVEY in read_asked(Path(f"data/asked/{name}.json")) else {"none", SURVEY}
    with fresh_folder(Path(f"data/embeddings/{name}")) as folder:
        for file in seed_files(Path(f"data/models/{name}.safetensors")):
            model, about = load_model(file)
            wanted = split.loc[(split["part"] == about["part"]) & ~split["subset"].isin(unseen), "crop_id"]
            digest = sha256_file(file)
            depends = digest, settings["batch"], settings["tta"], params["compute"]["threads"], device.type
            states.append(fingerprint(*depends))
            ids, points = [], np.empty((0, about["model"]["dim"]))
            if model is not None:
                crops = Packs(Path("data/views") / about["view"] / about["part"])
                ids = present(wanted, crops)
                place = {"crops": crops, "settings": settings, "device": device}
                place["memo"] = embedding_memo(name, states[-1])
                embed_ahead(ahead, ids, place | {"model": file})
                points = embed_crops(model.to(device), about, ids, **place)
            dim = points.shape[1]
            told = {"model": digest, "tta": settings["tta"]}
            target = folder / f"{file.stem}.{settings['format']}"
            write_embeddings(target, ids, points, dim, settings["precision"], told)
    forget_others(name, states)
    seeds = ", ".join(file.stem for file in seed_files(Path(f"data/embeddings/{name}.{settings['format']}")))
    print(f"embed {name}: {len(ids)} of {len(wanted)} crops, {dim} numbers each, seed {seeds}")
    if settings["tta"] == "flips" and about["part"] not in SYMMETRIC:
        print(f"embed.tta flips: no part {about['part']} is mirrored, it would look like another animal's other side")


if __name__ == "__main__":
    run_stage(main)
