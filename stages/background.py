"""Background: data/views/crop/PART -> data/masks/PART, data/views/nobg/PART, those that fell back, metrics.

The true masks in data/truth only score the result.
"""

import sys
from pathlib import Path

import _path  # noqa: F401
import numpy as np

from pelage.common.files import fresh_folder, write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import crop_file, read_table, rejected_table, write_table
from pelage.preprocess.background import Background, load_segmenter, remove_backgrounds, score_masks


def rejected_row(found: Background, image_id: str) -> tuple[str, str, str, str]:
    detail = f"{found.file}: the mask covers {found.cover:.4f} of the crop; the whole crop is used instead."
    return image_id, found.file, f"mask_{found.fallback}", detail


def mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def main() -> None:
    params = read_params()
    part = sys.argv[1]
    segmenter = load_segmenter(params["background"]["model"], Path("data/weights/u2netp.onnx"))
    numbers = {"x": float, "y": float, "w": float, "h": float}
    detections = read_table(Path("data/detections.csv"), numbers, ["crop_id", "image_id", *numbers])
    detections.index = detections.crop_id.map(crop_file)
    truth = read_table(Path("data/truth/truth.csv"), required=["image_id", "mask"])
    masks = Path(f"data/masks/{part}")
    with fresh_folder(masks) as mask_folder, fresh_folder(Path(f"data/views/nobg/{part}")) as view_folder:
        crops = Path(f"data/views/crop/{part}")
        found = remove_backgrounds(crops, mask_folder, view_folder, segmenter, params["background"])

    files = [one.file for one in found]
    image_ids = detections.image_id.reindex(files)
    rejected = [rejected_row(one, image_id) for one, image_id in zip(found, image_ids, strict=True) if one.fallback]
    write_table(Path(f"data/rejected/background_{part}.csv"), rejected_table(rejected))
    scores = score_masks(detections.loc[files], files, masks, truth, Path("data/truth/masks"), params["crop"])
    metrics = {
        "crops": len(found),
        "fallback_small": sum(one.fallback == "small" for one in found),
        "fallback_large": sum(one.fallback == "large" for one in found),
        "mean_cover": mean([one.cover for one in found]),
        "scored": len(scores),
        "mean_iou": mean(scores),
    }
    write_json(Path(f"metrics/background_{part}.json"), metrics)
    print(f"background {part}: {len(found)} crops, {len(rejected)} kept whole, mean IoU {metrics['mean_iou']}")


if __name__ == "__main__":
    run_stage(main)
