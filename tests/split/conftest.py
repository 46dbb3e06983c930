"""A small survey as the tables clean.csv and detections.csv."""

import pandas as pd
import pytest


def make_survey(individuals=8, encounters=5, photos=2):
    """Each encounter has its own day and camera; photos show the left and the right flank in turn, and a face."""
    clean, crops = [], []
    for i in range(individuals):
        for e in range(encounters):
            for p in range(photos):
                image, serial = f"L{i}e{e}p{p}.jpg", (i * encounters + e) * photos + p
                clean.append({
                    "image_id": image, "identity": f"L{i}", "encounter": f"s{e}-{i}", "camera": f"c{e}",
                    "station": f"s{e}", "date": f"2026-{1 + e:02d}-{2 + i:02d}T10:00:{p:02d}", "orientation": "unknown",
                    "place": f"s{e}", "night": f"2026-{1 + e:02d}-{1 + i:02d}", "rests_on": "time",
                    "sha256": f"{serial:064x}", "phash": f"{(serial + 1) * 0x9E3779B97F4A7C15 % 2**64:016x}",
                    "fold": "test" if e == 0 else "train",
                })  # fmt: skip
                for n, part in enumerate(["flank", "face"]):
                    crops.append({
                        "crop_id": f"{image}#{n}", "image_id": image, "part": part, "animal": 0, "w": 100.0, "h": 50.0,
                        "orientation": ["left", "right"][p % 2],
                    })  # fmt: skip
    return pd.DataFrame(clean), pd.DataFrame(crops)


@pytest.fixture
def survey():
    """Return the function that makes the two tables."""
    return make_survey
