"""Detect: data/photos, clean.csv, claims.csv -> data/animals.csv, data/detections.csv, rejected rows, metrics."""

from pathlib import Path
from typing import Any

import _path  # noqa: F401
import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.files import write_json
from pelage.common.parallel import cores
from pelage.common.params import entry, read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table, write_table
from pelage.common.workers import workers
from pelage.model.weights import find_model
from pelage.preprocess.animals import claims_by_photo
from pelage.preprocess.detect import NETWORKS_AT_ONCE, animal_tables, detect, detect_ahead, read_settings
from pelage.preprocess.detection_score import detection_metrics, name_metrics, shared_metrics
from pelage.preprocess.detectors.embedded import NETWORK_LEAST
from pelage.preprocess.detectors.onnx_network import OnnxDetector
from pelage.preprocess.detectors.results import NUMBERS as RESULT_NUMBERS
from pelage.preprocess.detectors.results import results_by_photo
from pelage.preprocess.saliency import Saliency
from pelage.preprocess.shared_bands import read_bands

NUMBERS = ["x", "y", "w", "h", "face_x", "face_y", "face_w", "face_h"]
PHOTOS = ["image_id", "path", "camera", "station", "place", "encounter", "sha256"]


def load_network(backend: str, megadetector: dict[str, Any]) -> OnnxDetector | None:
    if backend == "embedded":
        return OnnxDetector(Path("data/weights/megadetector_lite.onnx"), NETWORK_LEAST)
    if backend == "megadetector":
        model = find_model(megadetector["model"], megadetector["sha256"] or "")
        return OnnxDetector(model, threads=max(1, cores() // NETWORKS_AT_ONCE))
    return None


def by_reason(rejected: pd.DataFrame) -> str:
    counts = rejected["reason"].value_counts().sort_index()
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "none"


def main() -> None:
    params = read_params()
    dataset = entry(params["datasets"], params["ingest"]["dataset"], "datasets")
    settings, padding = read_settings(params["detect"], dataset, params["parts"]), params["crop"]["padding"]
    results = None
    if settings.backend == "megadetector" and dataset.get("results"):
        results = results_by_photo(read_table(Path("data/boxes.csv"), RESULT_NUMBERS))
    network = None if results is not None else load_network(settings.backend, params["detect"]["megadetector"])
    photos = read_table(Path("data/clean.csv"), {"width": int, "height": int}, PHOTOS)
    claims = claims_by_photo(read_table(Path("data/claims.csv")), read_table(Path("data/copies.csv")))
    truth = read_table(Path("data/truth/truth.csv"), dict.fromkeys(NUMBERS, float), ["image_id", "identity", *NUMBERS])

    saliency, bands = Saliency(Path("data/weights/u2netp.onnx")), read_bands(Path("data/shared_bands.csv"))
    asked = photos, claims, Path("data/photos"), settings, saliency, network, results, bands
    with workers(params["compute"]) as ahead:
        detect_ahead(ahead, *asked)
    sightings = detect(*asked)
    wanted = dataset.get("species") or ()
    shared_score = params["detect"]["shared_score"]
    animals, detections, refused, rejected = animal_tables(photos, sightings, claims, padding, shared_score, wanted)
    write_table(Path("data/animals.csv"), animals)
    write_table(Path("data/detections.csv"), detections)
    write_table(Path("data/rejected/detect.csv"), rejected)
    write_table(Path("data/rejected/claims.csv"), refused)
    if detections.empty:
        raise PelageError(
            f"No animal with a part that is wanted was found in any of the {len(photos)} photos of data/clean.csv "
            f"({by_reason(rejected)}; see data/rejected/detect.csv). Lower detect.min_score or detect.min_area in "
            "params.yaml, or choose another detect.backend."
        )
    metrics = detection_metrics(photos, sightings, truth) | name_metrics(animals, truth)
    metrics |= shared_metrics(detections, animals, photos, truth, Path("data/truth/masks"), padding)

    write_json(Path("metrics/detect.json"), metrics)
    parts = ", ".join(f"{count} {part}" for part, count in metrics["detections"].items())
    print(f"detect: {parts} in {len(photos)} photos; not used, in data/rejected/detect.csv: {by_reason(rejected)}")
    named = sum(metrics["claimed"][way] for way in ("box", "alone"))
    print(
        f"detect: {named} of {metrics['animals']} animals are named; {metrics['crops_shared']} crops show another too"
    )
    if len(refused):
        print(f"detect: names not given, in data/rejected/claims.csv: {by_reason(refused)}")


if __name__ == "__main__":
    run_stage(main)
