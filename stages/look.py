"""Look: what detect found -> data/cameras.csv (what became of each camera's photos), data/look.html (photos, boxes)."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.errors import PelageError
from pelage.common.files import write_text
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import read_table, write_table
from pelage.report.camera_counts import PEOPLE, camera_counts, sentence
from pelage.report.detection_sheet import draw_sheet, survey_photos
from pelage.report.sheets import BOX

NUMBERS = BOX | {"score": float, "shared": bool}


def main() -> None:
    """Count all photos, and show those that are worth a look."""
    folder = Path("data/photos")
    if not folder.is_dir():
        raise PelageError(f"{folder} is missing: bring it back with `dvc checkout`, or run the stage ingest.")
    clean = read_table(Path("data/clean.csv"))
    animals, detections = (read_table(Path(f"data/{name}.csv"), NUMBERS) for name in ("animals", "detections"))
    rejected, truth = read_table(Path("data/rejected/detect.csv")), read_table(Path("data/truth/truth.csv"), NUMBERS)

    cameras = camera_counts(clean, animals, detections, rejected)
    photos = survey_photos(folder, clean, animals, detections, rejected, truth)
    lead = sentence(cameras)
    if cameras[PEOPLE].any():
        lead += f" {cameras[PEOPLE].sum():,} photos with people are shown nowhere."
    html = draw_sheet(read_params()["ingest"]["dataset"], photos, lead, cameras)

    write_table(Path("data/cameras.csv"), cameras)
    write_text(Path("data/look.html"), html)
    print(f"look: {sentence(cameras)}")
    print(f"look: {len(cameras)} cameras in data/cameras.csv, photos in data/look.html ({len(html) // 1024} kB)")


if __name__ == "__main__":
    run_stage(main)
