"""Detect: data/clean.csv, data/photos -> data/detections.csv, data/rejected/detect.csv, metrics/detect.json."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.errors import PelageError
from pelage.common.files import write_json
from pelage.common.params import entry, read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table, write_table
from pelage.preprocess.detect import detect, detection_table, read_settings, undetected_table
from pelage.preprocess.detection_score import detection_metrics

NUMBERS = ["x", "y", "w", "h", "face_x", "face_y", "face_w", "face_h"]


def main() -> None:
    params = read_params()
    dataset = entry(params["datasets"], params["ingest"]["dataset"], "datasets")
    settings = read_settings(params["detect"], dataset, params["parts"])
    required = ["image_id", "path", "camera", "orientation", "bbox", "encounter", "sha256"]
    photos = read_table(Path("data/clean.csv"), required=required)
    truth = read_table(
        Path("data/truth/truth.csv"), dict.fromkeys(NUMBERS, float), ["image_id", "orientation", *NUMBERS]
    )

    sightings = detect(photos, Path("data/photos"), settings, Path("data/weights/u2netp.onnx"))
    detections = detection_table(photos, sightings)
    if detections.empty:
        raise PelageError(
            f"No animal was found in any of the {len(photos)} photos of data/clean.csv. Lower detect.min_score or "
            "detect.min_area in params.yaml, or choose another detect.backend."
        )
    metrics = detection_metrics(photos, sightings, truth)

    write_table(Path("data/detections.csv"), detections)
    write_table(Path("data/rejected/detect.csv"), undetected_table(photos, sightings))
    write_json(Path("metrics/detect.json"), metrics)
    parts = ", ".join(f"{count} {part}" for part, count in metrics["detections"].items())
    print(f"detect: {parts} in {len(photos)} photos; {metrics['photos_without_animal']} show no animal")


if __name__ == "__main__":
    run_stage(main)
