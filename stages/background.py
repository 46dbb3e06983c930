"""Background: views/crop/PART, photos, animals.csv -> masks/PART, views/nobg/PART, hashes, fallbacks, metrics.

The true masks in data/truth only score the result.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _path  # noqa: F401
import numpy as np
import pandas as pd

from pelage.common.files import write_json
from pelage.common.packs import Packs, packed_folder
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import PARTS, crop_file, read_table, rejected_table, write_table
from pelage.common.workers import workers
from pelage.preprocess.background import (
    FALLBACKS,
    Background,
    Place,
    Segmenter,
    crop_places,
    load_segmenter,
    opacities_ahead,
    remove_backgrounds,
    score_masks,
)
from pelage.preprocess.shared_bands import read_bands

SENTENCES = {
    "band": "hardly anything of the animal's box is free of what all photos of the camera share",
    "small": "the mask covers {:.4f} of the crop",
    "large": "the mask covers {:.4f} of the crop",
    "disagrees": "the mask ({:.4f} of the crop) leaves out most of the animal's box",
}

PHOTO_COLUMNS = ["image_id", "path", "sha256", "width", "height", "station", "camera"]


def rejected_row(found: Background, image_id: str) -> tuple[str, str, str, str]:
    why = SENTENCES[found.fallback].format(found.cover)
    detail = f"{found.file}: {why}; the animal's box, or the whole crop where none is told, is used instead."
    return image_id, found.file, f"mask_{found.fallback}", detail


def mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def main() -> None:
    params = read_params()
    network = params["background"]["model"], Path("data/weights/u2netp.onnx")
    segmenter = load_segmenter(*network)
    numbers = {"x": float, "y": float, "w": float, "h": float}
    detections = read_table(Path("data/detections.csv"), numbers, ["crop_id", "image_id", "part", "animal", *numbers])
    animals = read_table(Path("data/animals.csv"), numbers, ["image_id", "animal", "outline", *numbers])
    photos = read_table(Path("data/clean.csv"), {"width": int, "height": int}, PHOTO_COLUMNS)
    bands = read_bands(Path("data/shared_bands.csv"))
    truth = read_table(Path("data/truth/truth.csv"), required=["image_id", "mask"])
    for part in PARTS:
        own = detections[detections.part == part]
        places = crop_places(own, animals, photos, bands, params["crop"]["padding"])
        mask_part(part, own.set_axis(own.crop_id.map(crop_file)), places, params, network, segmenter, truth)


def mask_part(
    part: str,
    detections: pd.DataFrame,
    places: Mapping[str, Place],
    params: Mapping[str, Any],
    network: tuple[str, Path],
    segmenter: Segmenter,
    truth: pd.DataFrame,
) -> None:
    """Mask the crops of one part, whose `detections` have their files as index, and score the masks."""
    settings, photos_folder = params["background"], Path("data/photos")
    folder, crops = Path(f"data/masks/{part}"), Packs(Path(f"data/views/crop/{part}"))
    with workers(params["compute"]) as ahead:
        opacities_ahead(ahead, crops, *network, settings, places, photos_folder)
    with packed_folder(folder) as masks, packed_folder(Path(f"data/views/nobg/{part}")) as views:
        found = remove_backgrounds(crops, masks, views, segmenter, settings, places=places, photos=photos_folder)

    files = [one.file for one in found]
    image_ids = detections.image_id.reindex(files)
    rejected = [rejected_row(one, image_id) for one, image_id in zip(found, image_ids, strict=True) if one.fallback]
    write_table(Path(f"data/rejected/background_{part}.csv"), rejected_table(rejected))
    scores = score_masks(detections.loc[files], files, Packs(folder), truth, Path("data/truth/masks"), params["crop"])
    metrics = {
        "crops": len(found),
        "outlined": sum(one.outlined for one in found),
        "with_bands": sum(one.shared > 0 for one in found),
        **{f"fallback_{reason}": sum(one.fallback == reason for one in found) for reason in FALLBACKS},
        "fallback_share": mean([one.fallback != "" for one in found]),
        "mean_cover": mean([one.cover for one in found]),
        "scored": len(scores),
        "mean_iou": mean(scores),
    }
    write_json(Path(f"metrics/background_{part}.json"), metrics)
    told = f"{len(found)} crops, {metrics['outlined']} outlined as the animal was found, {len(rejected)} have but a box"
    print(f"background {part}: {told} for a mask, mean IoU {metrics['mean_iou']}")


if __name__ == "__main__":
    run_stage(main)
