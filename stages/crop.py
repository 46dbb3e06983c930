"""Crop: data/photos, data/clean.csv, data/detections.csv -> data/views/crop/PART and its hashes, rejected rows."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.packs import packed_folder
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import PARTS, read_table, rejected_table, write_table
from pelage.preprocess.crop import crop_photos


def main() -> None:
    params = read_params()
    photos = read_table(Path("data/clean.csv"), required=["image_id", "path"])
    numbers = {"x": float, "y": float, "w": float, "h": float}
    detections = read_table(Path("data/detections.csv"), numbers, ["crop_id", "image_id", "part", *numbers])
    paths = dict(zip(photos.image_id, photos.path, strict=True))
    for part in PARTS:
        own = detections[detections.part == part]
        with packed_folder(Path(f"data/views/crop/{part}")) as crops:
            rejected = crop_photos(own, paths, Path("data/photos"), crops, **params["crop"])
        write_table(Path(f"data/rejected/crop_{part}.csv"), rejected_table(rejected))
        print(f"crop {part}: {len(own) - len(rejected)} crops, {len(rejected)} detections rejected")


if __name__ == "__main__":
    run_stage(main)
