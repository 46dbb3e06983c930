"""Edges: data/views/{crop,nobg}/PART, data/masks/PART -> data/views/{crop_edge,nobg_edge}/PART, hashes, metrics."""

import sys
from pathlib import Path

import _path  # noqa: F401
import numpy as np

from pelage.common.files import write_json
from pelage.common.packs import Packs, packed_folder
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.preprocess.edges import draw_edges


def main() -> None:
    params = read_params()
    part = sys.argv[1]
    views = Path("data/views")
    with (
        packed_folder(views / "crop_edge" / part) as crop_edge,
        packed_folder(views / "nobg_edge" / part) as nobg_edge,
    ):
        densities = draw_edges(
            Packs(views / "crop" / part),
            Packs(views / "nobg" / part),
            Packs(Path("data/masks") / part),
            crop_edge,
            nobg_edge,
            params["edges"],
            Path("data/weights/hed.safetensors"),
        )
    density = round(float(np.mean(densities)), 4) if densities else None
    write_json(Path(f"metrics/edges_{part}.json"), {"maps": len(densities), "mean_density": density})
    print(f"edges {part}: {len(densities)} maps by {params['edges']['method']}, mean density {density}")


if __name__ == "__main__":
    run_stage(main)
