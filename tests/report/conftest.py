"""A tiny run to report on: four individuals, two parts, blank pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from packing import pack_images

from pelage.common.images import write_png
from pelage.common.tables import crop_file


@pytest.fixture(scope="session")
def survey(tmp_path_factory):
    """Folder with photos, views by part and name, and the tables split, clean, animals, detections and truth."""
    folder = tmp_path_factory.mktemp("survey")
    rows, boxes, views = [], [], {}
    for index in range(16):
        identity, image_id = f"cat {index % 4}", f"photo {index:02d}"
        subset = ["train", "train", "val", "test"][index // 4]
        for n, part in enumerate(["flank", "face"][: 1 + index % 2]):
            crop_id = f"{image_id}#{n}"
            colour = np.random.default_rng(index).integers(0, 255, (24, 48, 4), np.uint8)
            for view, channels in (("crop", 3), ("nobg", 3), ("crop_edge", 4), ("nobg_edge", 4)):
                views.setdefault((part, view), {})[crop_file(crop_id)] = colour[:, :, :channels].copy()
            rows.append({
                "crop_id": crop_id, "image_id": image_id, "part": part, "identity": identity, "label": identity,
                "encounter": f"visit {index}", "camera": "A" if index % 3 else "", "station": "", "subset": subset,
                "date": f"2026-01-{index + 1:02d}T10:00:00" if index % 5 else "", "known": identity != "cat 3",
                "orientation": ["left", "unknown", ""][index % 3], "gallery": subset == "train",
            })  # fmt: skip
            box = {"x": 5.0, "y": 5.0, "w": 40.0, "h": 20.0}
            boxes.append({"image_id": image_id, "animal": 0, **box, "part": part})
        write_png(folder / "photos" / f"{index}.png", np.full((60, 80, 3), 8 * index, np.uint8))
    split, detections = pd.DataFrame(rows), pd.DataFrame(boxes)
    clean = split.drop_duplicates("image_id").reset_index(drop=True)
    clean = clean.assign(path=[f"{index}.png" for index in range(16)])
    animals = detections.drop_duplicates("image_id").assign(x=2.0, y=2.0, w=50.0, h=30.0)
    truth = detections.drop_duplicates("image_id").assign(face_x=np.nan, face_y=1.0, face_w=1.0, face_h=1.0)
    packs = {part: {} for part, _ in views}
    for (part, view), images in views.items():
        packs[part][view] = pack_images(folder, f"views/{view}/{part}", images)
    tables = {"split": split, "clean": clean, "animals": animals, "detections": detections, "truth": truth}
    return {"folder": folder, "views": packs, **tables}


@pytest.fixture(scope="session")
def ranking(survey):
    """Test flanks against train flanks; the individual is first for every second query, last for the others."""
    flanks = survey["split"][survey["split"]["part"] == "flank"]
    rows = []
    for place, query in enumerate(flanks[flanks["subset"] == "test"].itertuples()):
        gallery = flanks[flanks["gallery"]]
        same = gallery["identity"] == query.identity
        order = gallery.assign(last=same if place % 2 else ~same).sort_values(["last", "crop_id"])["crop_id"]
        rows += [(query.crop_id, candidate, rank) for rank, candidate in enumerate(order, 1)]
    return pd.DataFrame(rows, columns=["query", "candidate", "rank"])
