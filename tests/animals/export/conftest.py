"""A small survey: two stations, one paired and one that failed for a while; five animals seen, one by nobody named."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pelage.animals.export.camtrap_dp import Survey, package_path
from pelage.animals.export.sightings import named_animals

PHOTOS = [  # id, time, station, camera, encounter, no animal on it
    ("a1", "2026-03-01T06:00:00", "S1", "S1A", "S1@1", False),
    ("a2", "2026-03-01T06:00:05", "S1", "S1B", "S1@1", False),
    ("a3", "2026-03-05T22:00:00", "S1", "S1A", "S1@2", False),
    ("b1", "2026-03-02T05:00:00", "S2", "S2", "S2@1", False),
    ("b2", "2026-03-02T05:00:30", "S2", "S2", "S2@1", False),
    ("b3", "2026-03-09T05:00:00", "S2", "S2", "S2@2", True),
    ("b4", "2026-03-04T12:00:00", "S2", "S2", "S2@3", False),
    ("c1", "2026-03-04T12:00:00", "S3", "S3", "S3@1", False),
    ("d1", "2026-03-04", "S1", "S1A", "S1@4", False),
]
ANIMALS = [  # photo, number, box, side, identity
    ("a1", 0, (100, 50, 200, 100), "right", "L01"),
    ("a2", 0, (-4, 0, 204, 300), "left", "L01"),
    ("a3", 0, (0, 0, 400, 300), "left", "unknown"),
    ("b1", 0, (10, 10, 50, 50), "left", "unknown"),
    ("b1", 1, (200, 10, 50, 50), "unknown", "unknown"),
    ("b2", 0, (10, 10, 50, 50), "left", "unknown"),
    ("b4", 0, (30, 30, 30, 30), "right", "L|2: x"),  # no crop: a name that nobody had to decide
    ("c1", 0, (30, 30, 30, 30), "right", "unknown"),
]
UNITS = {
    ("named", "S1@1|right"): ["a1#0"],
    ("named", "S1@1|left"): ["a2#0"],
    ("survey", "S1@2|left"): ["a3#0", "a3#1"],
    ("survey", "S2@1|left"): ["b1#0", "b2#0"],
    ("survey", "S2@1|unknown"): ["b1#1"],
    ("rehearsal", "S1@1|right"): ["a1#0"],
}
INDIVIDUALS = [  # scope, unit, individual, answer, probability, decided_by, side
    ("named", "S1@1|right", "L01", "named", "", "source", "right"),
    ("named", "S1@1|left", "L01", "named", "", "source", "left"),
    ("survey", "S1@2|left", "L01", "known", "0.97", "pelage", "left"),
    ("survey", "S2@1|left", "new-001", "new", "0.88", "Ana: B", "left"),
    ("survey", "S2@1|unknown", "L01", "cannot_tell", "0.4", "pelage", "unknown"),
    ("rehearsal", "S1@1|right", "L99", "known", "0.5", "pelage", "right"),
]
DEPLOYMENTS = [
    ("S1", "S1A", -22.123456, 31.5, "2026-03-01T00:00:00", "2026-03-10T12:00:00", "told"),
    ("S1", "S1B", -22.123456, 31.5, "2026-03-01T00:00:00", "2026-03-10T12:00:00", "told"),
    ("S2", "S2", -22.2, 31.61, "2026-03-01T00:00:00", "2026-03-03T00:00:00", "told"),
    ("S2", "S2", -22.2, 31.61, "2026-03-06T00:00:00", "2026-03-10T00:00:00", "told"),
]


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    """Return the tables of the pipeline, as the stages write them."""
    photos = pd.DataFrame(PHOTOS, columns=["image_id", "date", "station", "camera", "encounter", "blank"])
    photos = photos.assign(path=photos["camera"] + "/" + photos["image_id"] + ".JPG", width=400, height=300, flags="")
    rows = [(photo, n, *box, 0.9, "embedded", "Panthera pardus", side, who) for photo, n, box, side, who in ANIMALS]
    columns = ["image_id", "animal", "x", "y", "w", "h", "score", "found_by", "species", "orientation", "identity"]
    animals = pd.DataFrame(rows, columns=columns)
    crops = animals[animals["image_id"] != "b4"].assign(part="flank")
    face = crops[crops["image_id"] == "a3"].assign(part="face")
    crops = pd.concat([crops, face]).sort_values(["image_id", "animal"], kind="stable")
    number = crops.groupby("image_id").cumcount().astype(str)
    crops.insert(0, "crop_id", crops["image_id"] + "#" + number)
    detections = crops.drop(columns=["found_by", "species", "identity"])
    unit_crops = pd.DataFrame(
        [(scope, unit, crop) for (scope, unit), own in UNITS.items() for crop in own],
        columns=["scope", "unit", "crop_id"],
    )
    columns = ["scope", "unit", "individual", "answer", "probability", "decided_by", "side"]
    deployments = pd.DataFrame(
        DEPLOYMENTS, columns=["station", "camera", "latitude", "longitude", "start", "end", "rests_on"]
    )
    return {
        "photos": photos,
        "animals": animals,
        "detections": detections.reset_index(drop=True),
        "unit_crops": unit_crops,
        "individuals": pd.DataFrame(INDIVIDUALS, columns=columns),
        "deployments": deployments,
    }


@pytest.fixture
def survey(tables) -> Survey:
    """Return what leaves as a package."""
    animals = named_animals(*(tables[name] for name in ("animals", "detections", "unit_crops", "individuals")))
    paths = {
        photo: package_path(path) for photo, path in tables["photos"][["image_id", "path"]].itertuples(index=False)
    }
    return Survey(tables["photos"], animals, tables["deployments"], paths)


@pytest.fixture
def make_photo():
    """Return a function that makes a JPEG with an orientation, a time and a place."""

    def make(size=(400, 300), orientation: int = 1, place: bool = True) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = "Maker"
        exif.get_ifd(0x8769)[0x9003] = "2026:03:01 06:00:00"
        if place:
            exif.get_ifd(0x8825).update({1: "S", 2: (22.0, 7.0, 24.4), 3: "E", 4: (31.0, 30.0, 0.0)})
        out = BytesIO()
        pixels = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(out, "JPEG", exif=exif, comment=b"visit")
        return out.getvalue()

    return make


@pytest.fixture
def owner() -> dict:
    """Return what the owner of the survey tells of it."""
    return {
        "contributors": [{"title": "A. Keeper", "role": "contact"}],
        "project": {"title": "Leopards", "samplingDesign": "targeted", "captureMethod": ["activityDetection"]},
    }
