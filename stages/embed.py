"""Embed VARIANT: a trained model and its crops -> data/embeddings/VARIANT.parquet."""

import sys
from pathlib import Path

import _path  # noqa: F401
import numpy as np

from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.model.compute import prepare
from pelage.model.crops import present, read_crops
from pelage.model.embedder import load_model
from pelage.model.embeddings import embed_images, write_embeddings
from pelage.split.protocols import read_split


def main() -> None:
    name = sys.argv[1]
    params = read_params()
    device = prepare(**params["compute"])
    model, about = load_model(Path(f"data/models/{name}.safetensors"))
    split = read_split(Path("data/split.csv"))
    wanted = split.loc[(split["part"] == about["part"]) & (split["subset"] != "none"), "crop_id"]
    width, height, dim = (about["model"][key] for key in ("width", "height", "dim"))
    ids, points = [], np.empty((0, dim))
    if model is not None:
        folder = Path("data/views") / about["view"] / about["part"]
        ids = present(wanted, folder)
        images, _ = read_crops(ids, folder, about["channels"], width, height)
        points = embed_images(model.to(device), images, params["embed"]["batch"], device)

    write_embeddings(Path(f"data/embeddings/{name}.parquet"), ids, points, dim)
    print(f"embed {name}: {len(ids)} of {len(wanted)} crops, {dim} numbers each")


if __name__ == "__main__":
    run_stage(main)
