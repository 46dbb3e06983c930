"""Weights: src/pelage/model/weights.yaml -> data/weights/, fetched once, checksums verified."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import fresh_folder, write_bytes
from pelage.common.stage import run_stage
from pelage.model.weights import provide_weights, read_weights


def main() -> None:
    weights = read_weights()
    files = provide_weights(weights)
    with fresh_folder(Path("data/weights")) as folder:
        for weight, file in zip(weights, files, strict=True):
            write_bytes(folder / weight.name, file.read_bytes())
    print("weights: " + ", ".join(f"{weight.name} ({weight.licence})" for weight in weights))


if __name__ == "__main__":
    run_stage(main)
