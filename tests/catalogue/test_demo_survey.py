"""The demo survey: same bytes for a seed, more photos only add, truth fits the masks, every kind of dirt is there; who
passes which station where a reserve has how many animals."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import pelage.catalogue.demo.survey as survey_module
from pelage.catalogue.demo import write_survey
from pelage.catalogue.demo.reserve import CRS, OFTEN, SIGMA_M, START, degrees
from pelage.catalogue.demo.schedule import PATROLS, RESET, REST, Shot, Survey, plan_shots, wrong_clock_camera
from pelage.catalogue.demo.survey import before_camera, visible_side
from pelage.common.errors import PelageError
from pelage.common.tables import read_table

SMALL = {"source": "synthetic", "seed": 3, "individuals": 3, "stations": 2, "days": 10, "photos": 12}
FULL = Survey(seed=7, individuals=36, stations=12, days=60, photos=700)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    table = write_survey(SMALL, folder / "photos", folder / "truth").photos
    return folder, table


@pytest.fixture(scope="module")
def full():
    return plan_shots(FULL)


def sightings(shots: list[Shot]) -> dict[int, list[tuple]]:
    """Return of each animal when and where it was met, in order."""
    met = {(actor.individual, s.encounter): (s.time, s.station) for s in reversed(shots) for actor in s.actors}
    return {i: sorted(met[key] for key in met if key[0] == i) for i in {individual for individual, _ in met}}


def test_same_seed_gives_same_bytes_with_one_worker_or_many(small, tmp_path, monkeypatch):
    folder, table = small
    monkeypatch.setattr(survey_module, "parallel_map", map)
    again = write_survey(SMALL, tmp_path / "photos", tmp_path / "truth").photos
    pd.testing.assert_frame_equal(table, again)
    assert hashes(folder) == hashes(tmp_path)


def test_more_photos_only_add(small, tmp_path):
    folder, table = small
    more = write_survey({**SMALL, "photos": 16}, tmp_path / "photos", tmp_path / "truth").photos
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
    first = truth[truth.animal == 0].set_index("image_id").reindex(table.image_id)
    late = first.true_date >= "2025-03-09"  # the last two of ten days
    assert late.any() and table.identity.tolist() == first.identity.mask(late).fillna("unknown").tolist()


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


def test_plan_of_the_full_survey(full):
    shots = full
    assert len(shots) == 700 and len({shot.image_id for shot in shots}) == 700
    assert plan_shots(Survey(7, 36, 12, 60, 750))[:700] == shots

    visits = Counter(name.split("-")[0] for name in {shot.encounter for shot in shots if shot.encounter})
    assert 200 < sum(visits.values()) < 225 and max(visits.values()) <= PATROLS
    bursts = Counter((s.encounter, s.camera) for s in shots if s.encounter and "duplicate" not in s.dirt)
    assert set(bursts.values()) == {1, 2, 3, 4, 5}
    assert {(s.station, s.side) for s in shots} <= {(station, side) for station in range(12) for side in (0, 1)}
    assert all(START <= s.time < START.replace(month=5) for s in shots)
    assert 0.03 < sum(not s.actors for s in shots) / 700 < 0.09
    assert sum(len(s.actors) == 2 for s in shots) >= 10

    for camera in {s.camera for s in shots}:  # numbers grow with time, as on a memory card
        of_camera = sorted((s for s in shots if s.camera == camera), key=lambda s: s.number)
        assert [s.time for s in of_camera] == sorted(s.time for s in of_camera)


def test_who_is_named_who_is_new_and_who_comes_again(full):
    """36 animals, most of them named; of those that nobody has named yet three come in the last days only."""
    reserve = FULL.reserve
    met = sightings(full)
    assert set(met) == set(range(36)) and len(reserve.rare) == 3
    named = {i: sum(time < reserve.unnamed_from for time, _ in seen) for i, seen in met.items()}
    assert sum(number >= 4 for number in named.values()) >= 25 and sum(number >= 3 for number in named.values()) >= 28
    assert not any(named[i] for i in reserve.rare)
    days = {i: len({time.date() for time, _ in seen}) for i, seen in met.items()}
    assert sum(number <= 2 for number in days.values()) >= 3  # met so seldom that others could have been missed
    assert sum(len({station for _, station in seen}) > 1 for seen in met.values()) >= 25
    unnamed = sum(s.time >= reserve.unnamed_from for s in full if s.actors)
    assert 0.15 < unnamed / len(full) < 0.3


def test_animals_walk_from_station_to_station(full):
    reserve = FULL.reserve
    for seen in sightings(full).values():
        for (before, one), (after, other) in pairwise(seen):
            assert after - before >= REST
            metres = np.linalg.norm(reserve.places[one] - reserve.places[other])
            assert metres / (after - before).total_seconds() < 0.5


def test_detection_falls_with_distance_as_a_half_normal():
    """Of a large survey: encounters per animal and station over what the half-normal expects, near and far alike."""
    large = Survey(seed=1, individuals=60, stations=12, days=600, photos=2600)
    reserve = large.reserve
    seen = np.zeros((60, 12))
    for i, met in sightings(plan_shots(large)).items():
        for _, station in met:
            seen[i, station] += i not in reserve.rare
    distance = np.linalg.norm(reserve.homes[:, None] - reserve.places, axis=2)
    expected = np.exp(-(distance**2) / (2 * SIGMA_M**2))
    assert np.allclose(reserve.passing, OFTEN * expected / expected.sum(axis=1).max())
    common = [i for i in range(60) if i not in reserve.rare]
    near = distance[common] < SIGMA_M
    far = (distance[common] > 1.5 * SIGMA_M) & (distance[common] < 2.5 * SIGMA_M)
    rates = [seen[common][which].sum() / expected[common][which].sum() for which in (near, far)]
    assert rates[0] > 0 and 0.75 < rates[1] / rates[0] < 1.3


def test_cameras_take_photos_while_they_run_and_one_station_has_a_gap(full):
    reserve = FULL.reserve
    assert all(reserve.runs((s.station, s.side), s.time) for s in full)
    running = list(reserve.operation.values())
    assert [len(own) for own in running].count(2) == 2 and len(running) == 24
    first = sorted(own[0][0] for own in running)
    assert (first[-1] - START).days == 10 > (first[-2] - START).days
    pause = max(after[0] - before[1] for before, after in (own for own in running if len(own) == 2))
    assert pause.days == 10


def test_stations_stand_some_kilometres_apart_and_homes_within_the_fence():
    reserve = FULL.reserve
    apart = np.linalg.norm(reserve.places[:, None] - reserve.places, axis=2) + 1e9 * np.eye(12)
    assert apart.min() > 2000 and apart.min(axis=1).max() < 3700
    assert np.linalg.norm(reserve.homes[:, None] - reserve.places, axis=2).min(axis=1).max() < 2000
    assert (Survey(7, 42, 12, 60, 1).reserve.homes[:36] == reserve.homes).all()
    latitude, longitude = degrees(reserve.places).T
    assert (abs(latitude + 22.12) < 0.05).all() and (abs(longitude - 28.6) < 0.06).all()


def test_deployments_and_population_are_written(tmp_path):
    made = write_survey({**SMALL, "photos": 1}, tmp_path / "photos", tmp_path / "truth")
    assert made.deployments.columns.tolist() == ["station", "camera", "latitude", "longitude", "start", "end"]
    assert made.deployments["camera"].tolist() == sorted(made.deployments["camera"])
    population = read_table(
        tmp_path / "truth/population.csv", dict.fromkeys(("x", "y", "latitude", "longitude"), float)
    )
    assert population["identity"].tolist() == ["L01", "L02", "L03"] and set(population["crs"]) == {CRS}
    assert np.allclose(degrees(population[["x", "y"]].to_numpy()), population[["latitude", "longitude"]], atol=2e-6)


def test_every_hundred_photos_have_every_kind_of_dirt(full):
    shots = full
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
    table = write_survey(entry, tmp_path / "photos", tmp_path / "truth").photos.set_index("image_id")
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


def test_both_cameras_of_a_station_see_opposite_sides(full):
    opposite = {"left": "right", "right": "left", "front": "back", "back": "front"}
    seen = Counter()
    for shot in full:
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
