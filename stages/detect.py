"""Detect: data/photos, clean.csv, claims.csv -> data/animals.csv, data/detections.csv, rejected rows, metrics."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.errors import PelageError
from pelage.common.files import write_json
from pelage.common.params import entry, read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table, write_table
from pelage.preprocess.animals import claims_by_photo
from pelage.preprocess.detect import animal_tables, detect, read_settings, undetected_table
from pelage.preprocess.detection_score import detection_metrics, name_metrics, shared_metrics
from pelage.preprocess.saliency import Saliency

NUMBERS = ["x", "y", "w", "h", "face_x", "face_y", "face_w", "face_h"]
PHOTOS = ["image_id", "path", "camera", "place", "encounter", "sha256"]


def main() -> None:
    params = read_params()
    dataset = entry(params["datasets"], params["ingest"]["dataset"], "datasets")
    settings, padding = read_settings(params["detect"], dataset, params["parts"]), params["crop"]["padding"]
    photos = read_table(Path("data/clean.csv"), {"width": int, "height": int}, PHOTOS)
    claims = claims_by_photo(read_table(Path("data/claims.csv")), read_table(Path("data/copies.csv")))
    truth = read_table(Path("data/truth/truth.csv"), dict.fromkeys(NUMBERS, float), ["image_id", "identity", *NUMBERS])

    sightings = detect(photos, claims, Path("data/photos"), settings, Saliency(Path("data/weights/u2netp.onnx")))
    animals, detections, refused = animal_tables(photos, sightings, claims, padding, params["detect"]["shared_score"])
    if detections.empty:
        raise PelageError(
            f"No animal was found in any of the {len(photos)} photos of data/clean.csv. Lower detect.min_score or "
            "detect.min_area in params.yaml, or choose another detect.backend."
        )
    metrics = detection_metrics(photos, sightings, truth) | name_metrics(animals, truth)
    metrics |= shared_metrics(detections, animals, photos, truth, Path("data/truth/masks"), padding)

    write_table(Path("data/animals.csv"), animals)
    write_table(Path("data/detections.csv"), detections)
    write_table(Path("data/rejected/detect.csv"), undetected_table(photos, sightings))
    write_table(Path("data/rejected/claims.csv"), refused)
    write_json(Path("metrics/detect.json"), metrics)
    parts = ", ".join(f"{count} {part}" for part, count in metrics["detections"].items())
    print(f"detect: {parts} in {len(photos)} photos; {metrics['photos_without_animal']} show no animal")
    named = sum(metrics["claimed"][way] for way in ("box", "alone"))
    print(
        f"detect: {named} of {metrics['animals']} animals are named; {metrics['crops_shared']} crops show another too"
    )
    if len(refused):
        reasons = ", ".join(f"{count} {reason}" for reason, count in refused["reason"].value_counts().items())
        print(f"detect: names not given, in data/rejected/claims.csv: {reasons}")


if __name__ == "__main__":
    run_stage(main)
