"""The table of wildlife-datasets (Cermak et al., WACV 2024): a crop a row, with identity, path and box."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pelage.animals.export.files import Export, table_text
from pelage.animals.export.sightings import NAMES
from pelage.common.tables import UNKNOWN

METADATA = "metadata.csv"
SIDES = ("left", "right", "front", "back")


def wildlife_datasets(
    photos: pd.DataFrame, animals: pd.DataFrame, detections: pd.DataFrame, paths: Mapping[str, str], folder: str
) -> Export:
    """Return `metadata.csv`.

    Args:
        photos: Rows of `data/clean.csv` that may leave.
        animals: What `sightings.named_animals` returns.
        detections: Rows of `data/detections.csv`.
        paths: Path of each photo in the export, by `image_id`.
        folder: Where these paths start, in words.
    """
    shown = photos[["image_id", "path", "date", "station", "camera", "encounter"]].rename(columns={"path": "photo"})
    told = detections.merge(shown, on="image_id")
    told = told.merge(animals[["image_id", "animal", "species", *NAMES]], on=["image_id", "animal"])
    told = told.sort_values("crop_id", kind="stable")
    box = told[["x", "y", "w", "h"]].astype(int).astype(str)
    table = pd.DataFrame(
        {
            "image_id": told["crop_id"],
            "identity": told["individual"].where(told["individual"] != "", UNKNOWN),
            "path": told["image_id"].map(paths),
            "bbox": "[" + box["x"] + ", " + box["y"] + ", " + box["w"] + ", " + box["h"] + "]",
            "date": told["date"],
            "orientation": told["orientation"].where(told["orientation"].isin(SIDES), UNKNOWN),
            "species": told["species"],
            **{name: told[name] for name in ("part", "station", "camera", "encounter", "answer", "probability")},
            "decided_by": told["decided_by"],
        }
    )
    about = [
        f"{METADATA}: a crop a row. identity is {UNKNOWN!r} where nobody is named; bbox is x, y, width and height in "
        f"pixels of the upright photo; path starts at {folder}. A photo with two animals has two rows, and so has an "
        "animal with a flank and a face (column part): choose one part before counting.",
        "In Python:\n"
        "  import pandas as pd\n  from wildlife_datasets.datasets import WildlifeDataset\n"
        f'  table = pd.read_csv("{METADATA}", dtype={{"identity": str}})\n'
        '  dataset = WildlifeDataset(root, table, img_load="bbox", load_label=True)',
    ]
    photo_files = dict(zip(table["path"], told["photo"], strict=True))
    return Export({METADATA: table_text(table)}, about, photos=photo_files)
