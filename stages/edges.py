"""Edges: data/views/{crop,nobg}/PART, data/masks/PART -> data/views/{crop_edge,nobg_edge}/PART, hashes, metrics."""

from pathlib import Path

import _path  # noqa: F401
import numpy as np

from pelage.common.files import write_json
from pelage.common.packs import Packs, packed_folder
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import PARTS
from pelage.common.workers import workers
from pelage.preprocess.edges import draw_edges, edges_ahead


def main() -> None:
    params = read_params()
    hed = {"params": params["edges"], "hed_weights": Path("data/weights/hed.safetensors")}
    for part in PARTS:
        views = Path("data/views")
        given = [Packs(folder / part) for folder in (views / "crop", views / "nobg", Path("data/masks"))]
        with workers(params["compute"]) as ahead:
            edges_ahead(ahead, *given, **hed)
        with (
            packed_folder(views / "crop_edge" / part) as crop_edge,
            packed_folder(views / "nobg_edge" / part) as nobg_edge,
        ):
            densities = draw_edges(*given, crop_edge, nobg_edge, **hed)
        density = round(float(np.mean(densities)), 4) if densities else None
        write_json(Path(f"metrics/edges_{part}.json"), {"maps": len(densities), "mean_density": density})
        print(f"edges {part}: {len(densities)} maps by {params['edges']['method']}, mean density {density}")


if __name__ == "__main__":
    run_stage(main)
