"""The demo survey: same bytes for a seed, more photos only add, truth fits the masks, every kind of dirt is there."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import pelage.catalogue.demo.survey as survey_module
from pelage.catalogue.demo import write_survey
from pelage.catalogue.demo.schedule import MOST_ENCOUNTERS, RESET, START, Survey, plan_shots, wrong_clock_camera
from pelage.catalogue.demo.survey import before_camera, visible_side
from pelage.common.errors import PelageError
from pelage.common.tables import read_table

SMALL = {"source": "synthetic", "seed": 3, "individuals": 3, "stations": 2, "days": 10, "photos": 12}
FULL = Survey(seed=7, individuals=24, stations=12, days=60, photos=700)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    table = write_survey(SMALL, folder / "photos", folder / "truth")
    return folder, table


def test_same_seed_gives_same_bytes_with_one_worker_or_many(small, tmp_path, monkeypatch):
    folder, table = small
    monkeypatch.setattr(survey_module, "parallel_map", map)
    again = write_survey(SMALL, tmp_path / "photos", tmp_path / "truth")
    pd.testing.assert_frame_equal(table, again)
    assert hashes(folder) == hashes(tmp_path)


def test_more_photos_only_add(small, tmp_path):
    folder, table = small
    more = write_survey({**SMALL, "photos": 16}, tmp_path / "photos", tmp_path / "truth")
    assert len(table) == 12 and len(more) == 16
    pd.testing.assert_frame_equal(more[more.image_id.isin(table.image_id)].reset_index(drop=True), table)
    before, after = hashes(folder / "photos"), hashes(tmp_path / "photos")
    assert before.items() <= after.items()
    old, new = read_table(folder / "truth/truth.csv"), read_table(tmp_path / "truth/truth.csv")
    assert set(map(tuple, old.to_numpy())) <= set(map(tuple, new.to_numpy()))


def test_table_is_what_a_researcher_has(small):
    folder, table = small
    assert list(table.columns) == [
        *("image_id", "path", "identity", "date", "camera", "station"),
        *("orientation", "bbox", "species", "encounter", "sequence"),
    ]
    assert table.image_id.is_unique and table.image_id.is_monotonic_increasing
    assert set(table.path) == set(hashes(folder / "photos"))
    assert (table.orientation == "unknown").all() and (table.bbox == "").all() and (table.encounter == "").all()
    truth = read_table(folder / "truth/truth.csv", {"animal": int})
    first = truth[truth.animal == 0].set_index("image_id").identity
    assert table.set_index("image_id").identity.equals(
        first.reindex(table.image_id).fillna("unknown").rename("identity")
    )


def test_dates_are_those_of_exif(small):
    folder, table = small
    for row in table.itertuples():
        path = folder / "photos" / row.path
        if path.stat().st_size == 0:
            assert row.date == ""
            continue
        exif = Image.open(path).getexif()
        stamp = exif.get_ifd(0x8769).get(0x9003, "")
        assert stamp.replace(" ", "T").replace(":", "-", 2) == row.date
        assert row.date == "" or exif.get_ifd(0x8769)[0xA431] == f"TC12-{row.camera}"


def test_truth_boxes_contain_their_masks_and_faces(small):
    folder, _ = small
    numbers = dict.fromkeys(("x", "y", "w", "h", "face_x", "face_y", "face_w", "face_h", "occluded"), float)
    truth = read_table(folder / "truth/truth.csv", numbers)
    assert len(truth) >= 8
    for row in truth.itertuples():
        mask = cv2.imread(str(folder / "truth/masks" / row.mask), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (480, 640) and set(np.unique(mask)) == {0, 255}
        rows, columns = np.nonzero(mask)
        box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert box == (row.x, row.y, row.w, row.h)
        assert 0 <= row.occluded < 1
        assert row.orientation in ("left", "right", "front", "back")
        if not np.isnan(row.face_x):
            assert row.x <= row.face_x and row.face_x + row.face_w <= row.x + row.w
            assert row.y <= row.face_y and row.face_y + row.face_h <= row.y + row.h


def test_plan_of_the_full_survey():
    shots = plan_shots(FULL)
    assert len(shots) == 700 and len({shot.image_id for shot in shots}) == 700
    assert plan_shots(Survey(7, 24, 12, 60, 750))[:700] == shots

    visits = Counter(name.split("-")[0] for name in {shot.encounter for shot in shots if shot.encounter})
    assert (
        len(visits) == 24
        and set(visits.values()) <= set(range(4, MOST_ENCOUNTERS + 1))
        and len(set(visits.values())) > 1
    )
    bursts = Counter((s.encounter, s.camera) for s in shots if s.encounter and "duplicate" not in s.dirt)
    assert set(bursts.values()) == {1, 2, 3, 4, 5}
    assert {(s.station, s.side) for s in shots} <= {(station, side) for station in range(12) for side in (0, 1)}
    assert all(START <= s.time < START.replace(month=5) for s in shots)
    assert 0.03 < sum(not s.actors for s in shots) / 700 < 0.09
    assert sum(len(s.actors) == 2 for s in shots) >= 10

    for camera in {s.camera for s in shots}:  # numbers grow with time, as on a memory card
        of_camera = sorted((s for s in shots if s.camera == camera), key=lambda s: s.number)
        assert [s.time for s in of_camera] == sorted(s.time for s in of_camera)


def test_every_hundred_photos_have_every_kind_of_dirt():
    shots = plan_shots(FULL)
    for start in range(0, 700, 100):
        dirt = Counter(shot.dirt for shot in shots[start : start + 100])
        assert all(dirt[kind] == 1 for kind in ("zero_byte", "truncated", "png", "duplicate", "near_duplicate"))
        assert dirt["no_exif"] == 2 and dirt["blurred"] == dirt["over_exposed"] == 3


def test_dirty_files_are_what_they_are_called(tmp_path, monkeypatch):
    entry = {**SMALL, "photos": 100}
    survey = Survey.of(entry)
    shots = plan_shots(survey)
    numbers = {(shot.camera, shot.number) for shot in shots if shot.dirt and shot.dirt != "over_exposed"}
    first = shots[0]  # of the camera whose clock is wrong
    dirty = [shot for shot in shots if shot is first or (shot.camera, shot.number) in numbers]
    monkeypatch.setattr(survey_module, "plan_shots", lambda survey: dirty)
    table = write_survey(entry, tmp_path / "photos", tmp_path / "truth").set_index("image_id")
    content = {i: (tmp_path / "photos" / path).read_bytes() for i, path in table.path.items()}
    kinds = {shot.dirt: shot for shot in shots}
    assert content[kinds["zero_byte"].image_id] == b"" and table.identity[kinds["zero_byte"].image_id] == "unknown"
    assert content[kinds["png"].image_id].startswith(b"\x89PNG") and table.path[kinds["png"].image_id].endswith(".JPG")
    truncated = content[kinds["truncated"].image_id]
    assert truncated.startswith(b"\xff\xd8") and not truncated.endswith(b"\xff\xd9")
    assert table.date[kinds["no_exif"].image_id] == "" and b"Exif" not in content[kinds["no_exif"].image_id][:100]

    copy = kinds["duplicate"].image_id
    assert content[copy] == content[copy.removesuffix("-1")]
    edited = kinds["near_duplicate"].image_id
    one, other = (cv2.imdecode(np.frombuffer(content[i], np.uint8), 0) for i in (edited, edited.removesuffix("_edit")))
    assert content[edited] != content[edited.removesuffix("_edit")]
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98

    truth = read_table(tmp_path / "truth/truth.csv").drop_duplicates("image_id").set_index("image_id")
    station, side = wrong_clock_camera(survey)
    wrong = f"S{station + 1:02d}{'AB'[side]}"
    both = table.join(truth[["true_date"]], how="inner").query("date != ''")
    shift = pd.to_datetime(both.true_date) - pd.to_datetime(both.date)
    assert set(shift[both.camera == wrong]) == {START - RESET}
    assert set(shift[both.camera != wrong]) == {pd.Timedelta(0)}


def test_both_cameras_of_a_station_see_opposite_sides():
    opposite = {"left": "right", "right": "left", "front": "back", "back": "front"}
    seen = Counter()
    for shot in plan_shots(FULL):
        for actor in shot.actors:
            sides = [visible_side(before_camera(actor, side)) for side in (0, 1)]
            seen[sides[0]] += 1
            seen["opposite"] += sides[1] == opposite[sides[0]]
            seen["all"] += 1
    assert seen["opposite"] > 0.9 * seen["all"]  # not all: the two look from different angles
    assert min(seen["left"], seen["right"]) > 200 and min(seen["front"], seen["back"]) > 20


def test_senseless_numbers_are_named():
    with pytest.raises(PelageError, match="photos of the synthetic data set is 0"):
        Survey.of({**SMALL, "photos": 0})
    with pytest.raises(PelageError, match="cannot have 9999 photos"):
        plan_shots(Survey.of({**SMALL, "photos": 9999}))
