"""Insight: what speaks for a network's matches, and what it takes individuals to look like -> data/insight/."""

from pathlib import Path

import _path  # noqa: F401
from safetensors.numpy import save

from pelage.common.files import fresh_folder, seed_files, write_bytes, write_json
from pelage.common.images import write_png
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import crop_file, read_parquet, write_table
from pelage.insight.attention import choose_pairs, explain_pairs
from pelage.insight.inversion import class_centroids, invert_classes
from pelage.insight.summary import summary
from pelage.matching.rankings import ranking_files
from pelage.matching.search.cosine import read_embeddings
from pelage.model.compute import prepare
from pelage.model.crops import read_crops, read_masks
from pelage.model.embedder import load_model
from pelage.split.labels import tells_its_label
from pelage.split.protocols import protocol_sets, read_split


def first_seed(path: str) -> Path:
    """Return the file of a network's lowest seed."""
    return seed_files(Path(path))[0]


def main() -> None:
    params = read_params()
    settings, batch = params["insight"], params["embed"]["batch"]
    name, device = settings["variant"], prepare(params["compute"]["device"], params["compute"]["threads"])
    embedder, about = load_model(first_seed(f"data/models/{name}.safetensors"))
    view, part, size = about["view"], about["part"], (about["model"]["width"], about["model"]["height"])
    split = read_split(Path("data/split.csv"))
    rankings = read_parquet(ranking_files(name)[0])
    pairs = choose_pairs(rankings, split.set_index("crop_id")["identity"], settings["queries"], settings["seed"])
    ids = sorted({*pairs["query"], *pairs["candidate"]})
    images = read_crops(ids, Packs(Path("data/views") / view / part), about["channels"], *size)[0]
    masks = read_masks(ids, Packs(Path("data/masks") / part), *size)[0]
    pairs, maps = explain_pairs(embedder, pairs, ids, images, masks, batch, device)

    learnt = protocol_sets(split, part)["validation"].gallery
    learnt = learnt[tells_its_label(learnt)]
    embeddings = read_embeddings(first_seed(f"data/embeddings/{name}.{params['embed']['format']}"))
    centroids = class_centroids(learnt, embeddings)
    classes, inverted = invert_classes(embedder, centroids, *size, settings, batch, device)

    with fresh_folder(Path("data/insight")) as folder:
        write_table(folder / "pairs.csv", pairs)
        write_bytes(folder / "maps.safetensors", save(maps))
        write_table(folder / "classes.csv", classes)
        for label, image in zip(classes["label"], inverted, strict=True):
            write_png(folder / "inverted" / crop_file(label), image)
    numbers = {"variant": name, "part": part, "view": view, **summary(pairs, classes)}
    write_json(Path("data/numbers/insight.json"), numbers)
    print("insight: " + ", ".join(f"{key} {value}" for key, value in numbers.items()))


if __name__ == "__main__":
    run_stage(main)
