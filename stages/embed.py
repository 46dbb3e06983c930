"""Embed VARIANT: its trained models and its crops -> data/embeddings/VARIANT/SEED.parquet (or .safetensors)."""

import shutil
import sys
from pathlib import Path

import _path  # noqa: F401
import numpy as np

from pelage.common.files import cache_root, fresh_folder, seed_files, sha256_file
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.workers import workers
from pelage.model.compute import prepare
from pelage.model.crops import present
from pelage.model.embedder import load_model
from pelage.model.embeddings import SYMMETRIC, write_embeddings
from pelage.model.export import embed_ahead, embed_crops, fingerprint
from pelage.split.protocols import SURVEY, read_asked, read_split


def main() -> None:
    name = sys.argv[1]
    params = read_params()
    settings = params["embed"]
    device = prepare(params["compute"]["device"], params["compute"]["threads"])
    split = read_split(Path("data/split.csv"))
    unseen = {"none"} if SURVEY in read_asked(Path(f"data/asked/{name}.json")) else {"none", SURVEY}
    tables, caches = {}, []
    with workers(params["compute"]) as ahead:
        for file in seed_files(Path(f"data/models/{name}.safetensors")):
            model, about = load_model(file)
            wanted = split.loc[(split["part"] == about["part"]) & ~split["subset"].isin(unseen), "crop_id"]
            digest = sha256_file(file)
            state = fingerprint(digest, settings["batch"], settings["tta"], params["compute"]["threads"], device.type)
            caches.append(cache_root() / "embeddings" / name / state)
            ids, points = [], np.empty((0, about["model"]["dim"]))
            if model is not None:
                crops = Packs(Path("data/views") / about["view"] / about["part"])
                ids = present(wanted, crops)
                place = {"crops": crops, "settings": settings, "device": device, "cache": caches[-1]}
                embed_ahead(ahead, ids, place | {"model": file})
                points = embed_crops(model.to(device), about, ids, **place)
            dim = points.shape[1]
            tables[file.stem] = ids, points, dim, settings["precision"], {"model": digest, "tta": settings["tta"]}

    with fresh_folder(Path(f"data/embeddings/{name}")) as folder:
        for seed, table in tables.items():
            write_embeddings(folder / f"{seed}.{settings['format']}", *table)
    for cache in caches:
        shutil.rmtree(cache, ignore_errors=True)
    print(f"embed {name}: {len(ids)} of {len(wanted)} crops, {dim} numbers each, seed {', '.join(tables)}")
    if settings["tta"] == "flips" and about["part"] not in SYMMETRIC:
        print(f"embed.tta flips: no part {about['part']} is mirrored, it would look like another animal's other side")


if __name__ == "__main__":
    run_stage(main)
