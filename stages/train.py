"""Train VARIANT: crops and split -> data/models/VARIANT/SEED.safetensors, its history, pictures and metrics.

`torchrun --nproc-per-node 2 stages/train.py VARIANT` trains with two processes, as does `train.processes: 2`.
"""

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import cache_root, fresh_folder, sha256_file, write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_parquet, write_table
from pelage.model.backbone import read_weights, weights_file
from pelage.model.compute import prepare
from pelage.model.embedder import save_model
from pelage.split.protocols import protocol_sets, read_split
from pelage.training.checkpoint import Checkpoint, fingerprint
from pelage.training.dataset import training_data
from pelage.training.learner import as_it_is
from pelage.training.loop import train
from pelage.training.summary import history_table, over_seeds, summary
from pelage.training.umap import umap_table
from pelage.training.variant import for_each_seed, read_variant
from pelage.training.world import join

SPLIT = Path("data/split.csv")


def main() -> None:
    params = read_params()
    variant = read_variant(params, sys.argv[1])
    world, device = join(prepare(params["compute"]["device"], params["compute"]["threads"]), variant.train["processes"])
    weights = weights_file(variant.model)
    tensors = None if weights is None else read_weights(weights, variant.model["rename"])
    validation = protocol_sets(read_split(SPLIT), variant.part)["validation"]
    crops, masks = (Packs(Path("data") / folder / variant.part) for folder in (f"views/{variant.view}", "masks"))
    data, told = training_data(variant, validation, crops, masks)

    trainings = for_each_seed(variant)
    runs = dict.fromkeys(trainings)
    if data is not None:
        files = [told, weights and sha256_file(weights)]
        for seed, training in trainings.items():
            state = fingerprint(asdict(training), params["compute"]["threads"], device.type, world.size, files)
            folder = cache_root() / "checkpoints" / variant.name / str(seed) / state
            with Checkpoint(folder) if world.first else nullcontext() as checkpoint:
                runs[seed] = train(training, data, tensors, device, params["embed"]["batch"], checkpoint, world)
    if not world.first:
        return

    state = {}
    if data is None and tensors is not None and not variant.train["epochs"]:
        state, told = as_it_is(variant, tensors), f"{told}; train.epochs is 0, so its weights are taken as they are"
    summaries = {seed: summary(data, trained, told) for seed, trained in runs.items()}
    numbers = over_seeds(list(summaries.values()))
    with fresh_folder(Path(f"data/models/{variant.name}")) as folder:
        for seed, trained in runs.items():
            about = {**asdict(trainings[seed]), **summaries[seed]}
            save_model(folder / f"{seed}.safetensors", trained.state if trained else state, about)
    first = runs[min(runs)]
    write_table(Path(f"plots/training/{variant.name}.csv"), history_table(runs))
    write_parquet(Path(f"data/umap/{variant.name}.parquet"), umap_table(data, first.pictures if first else {}))
    write_json(Path(f"data/numbers/train/{variant.name}.json"), numbers)
    print(f"train {variant.name}: " + ", ".join(f"{name} {value}" for name, value in numbers.items()))


if __name__ == "__main__":
    run_stage(main)
