"""Match weights REMATCHER: its entries of matching/learned/weights.yaml -> data/match_weights/, checksums verified."""

import sys
from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import fresh_folder, write_bytes
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.matching.learned.rematchers import needed_weights, read_rematcher
from pelage.model.weights import provide_weights


def main() -> None:
    name = sys.argv[1]
    weights = needed_weights(read_rematcher(read_params(), name)["features"])
    files = provide_weights(weights)
    with fresh_folder(Path("data/match_weights") / name) as folder:
        for weight, file in zip(weights, files, strict=True):
            write_bytes(folder / weight.name, file.read_bytes())
    print(f"match_weights {name}: " + ", ".join(f"{weight.name} ({weight.licence})" for weight in weights))


if __name__ == "__main__":
    run_stage(main)
