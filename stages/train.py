"""Train VARIANT: crops and split -> data/models/VARIANT.safetensors, its history, pictures and metrics.

`torchrun --nproc-per-node 2 stages/train.py VARIANT` trains with two processes, as does `train.processes: 2`.
"""

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import _path  # noqa: F401
import pandas as pd

from pelage.common.files import cache_root, sha256_file, write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_parquet, write_table
from pelage.model.backbone import read_weights
from pelage.model.compute import prepare
from pelage.model.embedder import save_model
from pelage.split.protocols import protocol_sets, read_split
from pelage.training.checkpoint import Checkpoint, fingerprint
from pelage.training.dataset import training_data
from pelage.training.loop import HISTORY_COLUMNS, train
from pelage.training.settings import check_settings
from pelage.training.summary import summary
from pelage.training.umap import umap_table
from pelage.training.variant import read_variant
from pelage.training.world import join

SPLIT = Path("data/split.csv")


def main() -> None:
    params = read_params()
    variant = read_variant(params, sys.argv[1])
    check_settings(variant.train, variant.name)
    world, device = join(prepare(**params["compute"]), variant.train["processes"])
    weights = None if variant.model["weights"] == "none" else Path(variant.model["weights"])
    tensors = None if weights is None else read_weights(weights)
    validation = protocol_sets(read_split(SPLIT), variant.part)["validation"]
    views, masks = Path("data/views") / variant.view / variant.part, Path("data/masks") / variant.part
    data, told = training_data(variant, validation, views, masks)

    trained = None
    if data is not None:
        files = [told, sha256_file(SPLIT), weights and sha256_file(weights)]
        state = fingerprint(asdict(variant), params["compute"], device.type, world.size, files)
        kept = Checkpoint(cache_root() / "checkpoints" / variant.name / state) if world.first else nullcontext()
        with kept as checkpoint:
            trained = train(variant, data, tensors, device, params["embed"]["batch"], checkpoint, world)
    if not world.first:
        return

    numbers = summary(data, trained, told)
    about = {**asdict(variant), **numbers}
    save_model(Path(f"data/models/{variant.name}.safetensors"), trained.state if trained else {}, about)
    history = pd.DataFrame(trained.history if trained else [], columns=HISTORY_COLUMNS)
    write_table(Path(f"plots/training/{variant.name}.csv"), history)
    write_parquet(Path(f"data/umap/{variant.name}.parquet"), umap_table(data, trained.pictures if trained else {}))
    write_json(Path(f"metrics/train/{variant.name}.json"), numbers)
    print(f"train {variant.name}: " + ", ".join(f"{name} {value}" for name, value in numbers.items()))


if __name__ == "__main__":
    run_stage(main)
