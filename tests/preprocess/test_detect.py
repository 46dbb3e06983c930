"""Detect: tables of every backend, several animals, empty frames and bad rows; the slow part is remembered."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from pelage.common.errors import PelageError
from pelage.common.files import sha256_file
from pelage.common.images import write_png
from pelage.preprocess import detect as module
from pelage.preprocess.animals import Claim
from pelage.preprocess.boxes import pad_box
from pelage.preprocess.detect import (
    ANIMAL_COLUMNS,
    COLUMNS,
    Settings,
    animal_tables,
    combine,
    detect,
    read_settings,
)
from pelage.preprocess.detectors.embedded import FEATURES
from pelage.preprocess.detectors.onnx_network import Found
from pelage.preprocess.detectors.results import NUMBERS, results_by_photo
from pelage.preprocess.face import Face

SETTINGS = Settings("embedded", None, ("flank", "face"), 0.5, 0.6, 0.01, 0)
PARAMS = {
    "backend": "auto", "threshold": 0.5, "min_score": 0.6, "min_area": 0.01, "median_background_from": 0,
    "people": "set_aside", "people_score": 0.5, "megadetector": {"model": "md.onnx", "sha256": None, "min_score": 0.6},
}  # fmt: skip
WANTED = ("network", "component_saliency", "log_area", "from_network")


class Brightness:
    """Stands in for U^2-Net: what is bright is salient."""

    sha256 = "b" * 64
    calls = 0

    def __call__(self, image):
        Brightness.calls += 1
        return cv2.resize(image, (320, 320)).mean(2).astype(np.float32) / 255


class Blind:
    """Stands in for MegadetectorLite: it sees nothing, unless told."""

    sha256 = "n" * 64

    def __init__(self, found=()):
        self.found = list(found)
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        return self.found


class Plain:
    """Stands in for the scorer: a component is sure if it is salient and large, a box of the network as that says."""

    sha256 = "p" * 64

    def __call__(self, features):
        odds, salient, area, theirs = (features[:, FEATURES.index(name)] for name in WANTED)
        return np.where(theirs > 0, 1 / (1 + np.exp(-odds)), np.minimum(0.8 * salient + 2 * np.exp(area), 1))


class Faceless:
    """Stands in for the face detectors; `box` is what they find in an animal's surroundings."""

    box = None
    sha256 = "f" * 64

    def __call__(self, image, mask=None):
        return Face(self.box, 0.7) if self.box else None


@pytest.fixture
def survey(tmp_path, monkeypatch):
    """Four photos: one animal walking right, two blobs, none, and a file that is no image."""
    monkeypatch.setattr(module, "FaceFinder", Faceless)
    monkeypatch.setattr(module, "read_scorer", Plain)
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    one, two = np.zeros((240, 400, 3), np.uint8), np.zeros((300, 300, 3), np.uint8)
    cv2.ellipse(one, (200, 110), (90, 35), 0, 0, 360, (250, 250, 250), -1)
    cv2.circle(one, (300, 90), 22, (250, 250, 250), -1)
    cv2.rectangle(two, (15, 150), (120, 210), (250, 250, 250), -1)
    cv2.rectangle(two, (180, 60), (270, 120), (200, 200, 200), -1)
    photos = {"one.png": one, "two.png": two, "none.png": np.zeros((50, 60, 3), np.uint8)}
    for name, image in photos.items():
        write_png(tmp_path / name, image)
    (tmp_path / "zz.png").write_bytes(b"not an image")
    names = ["none.png", "one.png", "two.png", "zz.png"]
    table = pd.DataFrame({"image_id": [name[:-4] for name in names], "path": names})
    table[["camera", "place", "encounter"]] = ["c", "s", "e"]
    table["sha256"] = [sha256_file(tmp_path / name) for name in names]
    return tmp_path, table


def look(survey, settings=SETTINGS, claims=None, network=None, results=None, wanted=(), shared_score=1.0):
    """Return animals, detections, refused names and rejected photos; `claims` are keywords of a claim by image_id."""
    root, table = survey
    said = {image_id: [Claim(image_id, **fields)] for image_id, fields in (claims or {}).items()}
    sightings = detect(table, said, root, settings, Brightness(), network or Blind(), results)
    return animal_tables(table, sightings, said, 0.08, shared_score, wanted)


def run(survey, settings=SETTINGS, claims=None, network=None):
    """Return detections with the boxes of their animals, and rejected photos."""
    animals, found, _, rejected = look(survey, settings, claims, network)
    boxes = animals[["image_id", "animal", "x", "y", "w", "h"]]
    names = {name: f"animal_{name}" for name in "xywh"}
    return found.merge(boxes.rename(columns=names), on=["image_id", "animal"]), rejected


def test_saliency_tables(survey):
    found, rejected = run(survey)
    animals, detections, refused, _ = look(survey)
    assert list(animals) == ANIMAL_COLUMNS and list(detections) == COLUMNS and refused.empty
    assert animals[["image_id", "animal", "found_by", "claimed"]].to_numpy().tolist() == [
        ["one", 0, "embedded", "nobody"],
        ["two", 0, "embedded", "nobody"],
        ["two", 1, "embedded", "nobody"],
    ]
    assert (animals["outline"] == "photo").all()
    assert found["crop_id"].tolist() == ["one#0", "two#0", "two#1"]
    assert found["animal"].tolist() == [0, 0, 1]
    assert found["orientation"].tolist() == ["right", "unknown", "unknown"]
    x, y, w, h = found.loc[0, ["animal_x", "animal_y", "animal_w", "animal_h"]]
    assert abs(x - 110) <= 2 and abs(x + w - 322) <= 2 and abs(y - 68) <= 2 and abs(y + h - 145) <= 2
    trunk = found.loc[0, ["x", "y", "w", "h"]]
    assert trunk["x"] >= x and trunk["x"] + trunk["w"] < x + w - 20 and trunk["h"] <= h  # the flank ends at the neck
    assert found["score"].between(0, 1).all() and found["score"][1] > found["score"][2]
    assert rejected[["image_id", "reason"]].to_numpy().tolist() == [["none", "no animal"], ["zz", "unreadable"]]


def test_slow_part_is_remembered(survey):
    Brightness.calls = 0
    first = run(survey)
    assert Brightness.calls == 3
    second = run(survey)
    assert Brightness.calls == 3
    assert all(a.equals(b) for a, b in zip(first, second, strict=True))


def test_a_corrected_name_costs_nothing_and_a_told_side_one_look(survey, monkeypatch):
    looks = []
    read = module.read_photo
    monkeypatch.setattr(module, "read_photo", lambda root, photo: looks.append(photo.image_id) or read(root, photo))
    first = look(survey)
    assert sorted(looks) == ["none", "one", "two", "zz"]
    looks.clear()
    again = look(survey, claims={"one": {"identity": "L1"}})
    assert looks == ["one", "zz"]  # what was claimed is new; what is unreadable is not remembered
    looks.clear()
    renamed = look(survey, claims={"one": {"identity": "L2"}})
    assert looks == ["zz"]
    assert again[1].equals(first[1]) and renamed[1].equals(first[1])
    assert [table[0]["identity"].tolist()[0] for table in (first, again, renamed)] == ["unknown", "L1", "L2"]


def test_the_table_knows_best(survey):
    found, rejected = run(survey, claims={"one": {"orientation": "left"}})
    assert found[["image_id", "orientation"]].to_numpy().tolist()[0] == ["one", "left"]
    box = (10.0, 140.0, 115.0, 75.0)
    found, _ = run(survey, claims={"two": {"orientation": "left", "box": box}})
    assert found["orientation"].tolist() == ["right", "left", "unknown"]  # only that of the box
    found, rejected = run(survey, claims={"one": {"orientation": "front"}})
    assert found["image_id"].tolist() == ["two", "two"]
    assert rejected["reason"].tolist() == ["no animal", "no part", "unreadable"]


def test_an_animal_that_shows_no_part_is_still_an_animal(survey):
    animals, found, _, rejected = look(survey, claims={"one": {"orientation": "front", "identity": "L1"}})
    assert animals["image_id"].tolist() == ["one", "two", "two"] and "one" not in set(found["image_id"])
    assert animals["identity"].tolist() == ["L1", "unknown", "unknown"]
    assert rejected["reason"].tolist() == ["no animal", "no part", "unreadable"]


def test_a_box_of_the_table_is_an_animal_although_the_detector_missed_it(survey):
    claims = {"none": {"identity": "L1", "box": (5.0, 5.0, 30.0, 20.0)}}
    animals, *_ = look(survey, claims=claims)
    assert animals.iloc[0][["image_id", "x", "w", "score", "found_by", "identity", "claimed"]].tolist() == [
        "none", 5, 30, 1.0, "claim", "L1", "box",
    ]  # fmt: skip


def test_one_name_on_a_photo_of_two_names_neither(survey):
    animals, _, refused, _ = look(survey, claims={"two": {"identity": "L1"}})
    assert animals["identity"].tolist() == ["unknown"] * 3
    assert animals["claimed"].tolist() == ["nobody", "several_animals", "several_animals"]
    assert refused[["image_id", "reason"]].to_numpy().tolist() == [["two", "several_animals"]]


def test_a_silhouette_that_is_probably_two_is_marked_with_all_its_crops(survey, monkeypatch):
    monkeypatch.setattr(module.BodyJudge, "__call__", lambda self, mask, box, size: 0.8 if box[0] < 50 else 0.1)
    root, table = survey
    alone = root, table.assign(encounter="")
    animals, found, *_ = look(alone, shared_score=0.5)
    assert animals["shared_score"].tolist() == [0.1, 0.8, 0.1]
    assert animals["shared"].tolist() == found["shared"].tolist() == [False, True, False]
    assert not look(alone, shared_score=0.9)[1]["shared"].any()
    together = look(survey, shared_score=0.5)[0]["shared_score"]  # all of one encounter
    assert together[1] < 0.8 and together[0] == together[2] > 0.1
    remembered = detect(table, {}, root, SETTINGS, Brightness(), Blind())[2]
    assert remembered.shared_scores == [0.8, 0.1]
    whole = read_settings(PARAMS, {"boxes": "whole", "part": "flank"}, ["flank"])
    assert look(alone, whole)[0]["shared_score"].tolist() == [0.0] * 3  # somebody has cut them out


def test_no_sighting_holds_pixels(survey):
    root, table = survey
    sightings = detect(table, {}, root, SETTINGS, Brightness(), Blind())
    assert all(animal.mask is None for sighting in sightings for animal in [*sighting.animals, *sighting.alone])


def test_a_face_is_a_part_of_its_animal_and_tells_what_comes_to_the_camera(survey, monkeypatch):
    """What is higher than wide shows no flank; with a face it comes to the camera."""
    monkeypatch.setattr(Faceless, "box", (30, 10, 20, 25))
    root, table = survey
    upright = np.zeros((300, 300, 3), np.uint8)
    cv2.rectangle(upright, (100, 50), (160, 250), (250, 250, 250), -1)
    write_png(root / "two.png", upright)
    table = table.assign(sha256=[sha256_file(root / name) for name in table["path"]])
    found, _ = run((root, table))
    assert found[["crop_id", "part", "orientation", "animal"]].to_numpy().tolist() == [
        ["one#0", "flank", "right", 0],
        ["one#1", "face", "right", 0],
        ["two#0", "face", "front", 0],
    ]
    x, y, *_ = pad_box(tuple(found.loc[2, ["animal_x", "animal_y", "animal_w", "animal_h"]]), 0.1, 300, 300)
    assert found.loc[2, ["x", "y", "w", "h", "score"]].tolist() == [x + 30, y + 10, 20, 25, 0.7]
    found, rejected = run((root, table), replace(SETTINGS, parts=("flank",)))
    assert found["image_id"].tolist() == ["one"]
    assert rejected["reason"].tolist() == ["no animal", "no part", "unreadable"]


def test_whole_photos_take_the_tables_orientation(survey):
    settings = read_settings(PARAMS, {"boxes": "whole", "part": "face", "parts": ["face"]}, ["flank", "face"])
    claims = {"none": {"orientation": "left"}, "one": {"orientation": "right"}}
    found, rejected = run(survey, settings, claims)
    assert found[["image_id", "part", "x", "y", "w", "h", "score", "orientation"]].to_numpy().tolist() == [
        ["none", "face", 0, 0, 60, 50, 1.0, "left"],
        ["one", "face", 0, 0, 400, 240, 1.0, "right"],
        ["two", "face", 0, 0, 300, 300, 1.0, "unknown"],
    ]
    assert rejected["image_id"].tolist() == ["zz"]


def test_columns_are_clipped_and_what_lies_outside_is_told(survey):
    settings = read_settings(PARAMS, {"boxes": "columns", "part": "flank", "parts": ["flank"]}, ["flank", "face"])
    claims = {"one": {"box": (-5.0, 60.0, 500.0, 90.4)}, "two": {"box": (500.0, 0.0, 10.0, 10.0), "identity": "L1"}}
    _, found, refused, rejected = look(survey, settings, claims)
    assert found[["image_id", "x", "y", "w", "h"]].to_numpy().tolist() == [["one", 0, 60, 400, 90]]
    assert found["orientation"].tolist() == ["right"]  # from the silhouette within the box
    assert rejected["reason"].tolist() == ["no animal", "no animal", "unreadable"]
    assert "The table has no box" in rejected["detail"][0] and "outside" in rejected["detail"][1]
    assert refused[["image_id", "reason"]].to_numpy().tolist() == [["two", "no_animal"]]


def megadetector(**changes):
    """Return settings of MegaDetector."""
    told = {key: value for key, value in changes.items() if key in PARAMS}
    return read_settings({**PARAMS, "backend": "megadetector", **told}, {}, ["flank", "face"])


def test_megadetector_boxes(survey):
    network = Blind([
        Found("animal", 0.93, (100.0, 60.0, 230.0, 90.0)),
        Found("animal", 0.3, (0.0, 0.0, 9.0, 9.0)),
        Found("animal", 0.9, (390.0, 230.0, 50.0, 50.0)),  # partly outside the largest photo, wholly outside others
        Found("vehicle", 0.9, (5.0, 5.0, 9.0, 9.0)),
    ])  # fmt: skip
    for _ in range(2):
        found, rejected = run(survey, megadetector(), network=network)
        columns = ["image_id", "animal_x", "animal_y", "animal_w", "animal_h", "score"]
        assert found[columns].to_numpy().tolist() == [
            ["one", 100, 60, 230, 90, 0.93],
            ["one", 390, 230, 10, 10, 0.9],
            ["two", 100, 60, 200, 90, 0.93],
        ]
        assert found["orientation"][0] == "right"
        assert rejected["reason"].tolist() == ["no animal", "unreadable"]
    assert network.calls == 3


def test_people_set_a_photo_aside(survey):
    network = Blind([Found("animal", 0.9, (100.0, 60.0, 90.0, 90.0)), Found("person", 0.6, (0.0, 0.0, 40.0, 40.0))])
    animals, found, _, rejected = look(survey, megadetector(), network=network)
    assert animals.empty and found.empty
    assert rejected["reason"].tolist() == ["people", "people", "people", "unreadable"]
    assert "score 0.60" in rejected["detail"][0]
    for changed in ({"people_score": 0.7}, {"people": "keep"}):
        animals, _, _, rejected = look(survey, megadetector(**changed), network=network)
        assert set(animals["image_id"]) == {"one", "two"} and "people" not in set(rejected["reason"])


def results_of(*rows):
    """Return what `results_by_photo` makes of rows of `data/boxes.csv`."""
    columns = ["image_id", "category", "species", "species_score", "score", "x", "y", "w", "h"]
    return results_by_photo(pd.DataFrame(rows, columns=columns).astype(NUMBERS))


def test_a_results_file_instead_of_the_network(survey):
    nan = float("nan")
    results = results_of(
        ("one", "animal", "leopard", 0.8, 0.9, 0.25, 0.25, 0.575, 0.375),
        ("one", "animal", "", nan, 0.2, 0.0, 0.0, 0.1, 0.1),
        ("none", "none", "", nan, nan, nan, nan, nan, nan),
    )
    animals, _, _, rejected = look(survey, megadetector(), results=results)
    told = ["image_id", "x", "y", "w", "h", "score", "found_by", "species"]
    assert animals[told].to_numpy().tolist() == [["one", 100, 60, 230, 90, 0.9, "megadetector", "leopard"]]
    assert rejected[["image_id", "reason"]].to_numpy().tolist() == [
        ["none", "no animal"], ["two", "no_result"], ["zz", "unreadable"],
    ]  # fmt: skip
    corrected = results_of(("one", "animal", "leopard", 0.8, 0.9, 0.25, 0.25, 0.5, 0.375))
    assert look(survey, megadetector(), results=corrected)[0]["w"].tolist() == [200]


def test_only_wanted_species_are_kept_and_the_others_told(survey):
    results = results_of(
        ("one", "animal", "leopard", 0.8, 0.9, 0.25, 0.25, 0.575, 0.375),
        ("one", "animal", "goat", 0.9, 0.9, 0.0, 0.6, 0.2, 0.2),
        ("two", "animal", "goat", 0.9, 0.9, 0.05, 0.5, 0.35, 0.2),
        ("none", "animal", "goat", 0.3, 0.9, 0.05, 0.5, 0.35, 0.2),  # nobody is sure
    )
    said = {"one": {"identity": "L1"}, "two": {"identity": "G1"}}
    animals, found, _, rejected = look(survey, megadetector(), said, results=results, wanted=["Leopard"])
    assert animals[["image_id", "species", "identity", "claimed"]].to_numpy().tolist() == [
        ["none", "", "unknown", "nobody"],
        ["one", "leopard", "L1", "alone"],  # the goat beside it is not meant
    ]
    assert set(found["image_id"]) <= {"one", "none"}
    assert rejected[["image_id", "reason"]].to_numpy().tolist() == [
        ["one", "other_species"], ["two", "other_species"], ["zz", "unreadable"],
    ]  # fmt: skip
    claimed = {"one": {"identity": "G7", "species": "goat"}}
    animals, *_, rejected = look(survey, SETTINGS, claimed, wanted=["leopard"])
    assert "one" not in set(animals["image_id"]) and "other_species" in set(rejected["reason"])


def test_background_is_learnt_per_camera_and_raises_what_is_half_salient(survey):
    """Eleven photos of one place: the animal in the last is too faint for saliency alone, cut off at its brightest."""
    root, _ = survey
    rng = np.random.default_rng(0)
    place = rng.integers(15, 45, (160, 160, 3)).astype(np.uint8)
    table = []
    for number in range(11):
        image = cv2.resize(place, (320, 320), interpolation=cv2.INTER_NEAREST)
        if number == 10:
            image[100:200, 60:260] = 72
            image[100:200, 60:140] = 200
        name = f"p{number:02}.png"
        write_png(root / name, image)
        table.append((name[:-4], name, "cam", "s", str(number), sha256_file(root / name), 320, 320))
    table = pd.DataFrame(table, columns=[*survey[1].columns, "width", "height"])
    wider = Settings("embedded", None, ("flank",), 0.5, 0.5, 0.01, 8)
    sightings = detect(table, {}, root, wider, Brightness(), Blind())
    assert detect(table, {}, root, wider, Brightness(), Blind()) == sightings
    elsewhere = table.assign(place=[str(number % 2) for number in range(11)])  # two cameras of one name, 5 and 6 photos
    assert detect(elsewhere, {}, root, wider, Brightness(), Blind())[-1].animals == sightings[-1].alone
    sighting = sightings[-1]
    assert sighting.alone[0].box[2] < 90 and sighting.alone[0].outline == "photo"
    assert sighting.animals[0].outline == "box"  # the photo's map does not show most of it
    assert abs(sighting.animals[0].box[0] - 60) <= 7 and abs(sighting.animals[0].box[2] - 200) <= 14


def test_combine_by_hand():
    saliency = np.array([[0.0, 0.25], [0.25, 1.0]], np.float32)
    assert combine(saliency, np.zeros((2, 2), np.float32)) == pytest.approx(saliency)
    assert combine(saliency, np.full((4, 4), 9.0, np.float32)) == pytest.approx(np.sqrt(saliency))
    assert combine(saliency, np.full((4, 4), 2.0, np.float32))[0, 1] == pytest.approx(np.sqrt(0.25 * 0.5))


def test_settings_name_what_is_wrong():
    assert read_settings(PARAMS, {"boxes": "saliency", "parts": ["flank"]}, ["flank", "face"]).parts == ("flank",)
    with pytest.raises(PelageError, match="one of columns, embedded, megadetector"):
        read_settings({**PARAMS, "backend": "yolo"}, {}, ["flank"])
    with pytest.raises(PelageError, match="of the data set"):
        read_settings(PARAMS, {"boxes": "whole"}, ["flank"])
    with pytest.raises(PelageError, match="parts is 'tail'"):
        read_settings(PARAMS, {}, ["tail"])
