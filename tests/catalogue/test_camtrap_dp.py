"""A Camtrap Data Package: observations of files and of events, boxes, zip files, and what is refused."""

from __future__ import annotations

import json
import zipfile

import pytest

from pelage.catalogue.camtrap_dp import open_camtrap_dp
from pelage.catalogue.schema import photo_table
from pelage.common.errors import PelageError

KEY = "datasets.mine"
DEPLOYMENTS = "deploymentID,locationID,cameraID\nd1,loc1,cam7\nd2,,\n"
MEDIA = """mediaID,deploymentID,timestamp,filePath,fileMediatype
m1,d1,2026-01-31T10:00:00Z,media/1.jpg,image/jpeg
m2,d1,2026-01-31T10:00:05Z,media/2.jpg,image/jpeg
m3,d1,2026-01-31T12:00:00Z,media/3.jpg,image/jpeg
m4,d2,2026-01-31T12:00:00Z,media/4.jpg,image/jpeg
m5,d2,2026-01-31T12:00:02Z,media/5.mp4,video/mp4
m6,d2,2026-01-31T13:00:00Z,media/6.jpg,image/jpeg
"""
HEADER = (
    "observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationLevel,observationType,"
    "scientificName,count,individualID,bboxX,bboxY,bboxWidth,bboxHeight,classificationMethod\n"
)


def observation(deployment="d1", media="", event="", start="10:00:00", end="10:00:00", kind="animal", rest="") -> str:
    level = "media" if media else "event"
    day = "2026-01-31T"
    rest = rest or "Panthera pardus,1,P1,,,,,human"
    return f"o,{deployment},{media},{event},{day}{start}Z,{day}{end}Z,{level},{kind},{rest}\n"


@pytest.fixture
def package(photo_folder, make_jpeg):
    def make(observations: str, deployments=DEPLOYMENTS, media=MEDIA, resources=None):
        names = [f"media/{n}.jpg" for n in (1, 2, 3, 6)]
        files = {**dict.fromkeys(names), "media/4.jpg": make_jpeg(9, orientation=6), "media/5.mp4": b"video"}
        tables = {"deployments": deployments, "media": media, "observations": HEADER + observations}
        root = photo_folder(files, "package", **tables)
        resources = resources or [{"name": name, "path": f"{name}.csv"} for name in tables]
        (root / "datapackage.json").write_text(json.dumps({"profile": "camtrap-dp", "resources": resources}))
        return root

    return make


def rows_of(path, tmp_path):
    with open_camtrap_dp(path, KEY, tmp_path / "cache") as survey:
        return photo_table(survey).set_index("image_id"), survey.counts


def test_files_and_events_tell_identities(package, tmp_path):
    root = package(
        observation(event="e1", start="10:00:00", end="10:00:05", rest="Panthera pardus,1,P1,,,,,human")
        + observation(media="m2", event="e1", kind="blank", rest=",,,,,,,human")
        + observation(media="m3", rest="Panthera pardus,1,P2,,,,,human")
        + observation(media="m4", deployment="d2", rest="Panthera pardus,1,P3,0.5,0,0.5,0.25,human")
    )
    table, counts = rows_of(root, tmp_path)
    assert counts == {"other_media": 1, "ambiguous": 0}
    assert table["identity"].to_dict() == {"m1": "P1", "m2": "unknown", "m3": "P2", "m4": "P3", "m6": "unknown"}
    assert table["encounter"].to_dict() == {"m1": "e1", "m2": "e1", "m3": "", "m4": "", "m6": ""}
    assert table.loc["m1", ["station", "camera", "date"]].tolist() == ["loc1", "cam7", "2026-01-31T10:00:00"]
    assert table.loc["m4", ["station", "camera"]].tolist() == ["d2", "d2"]
    assert table.loc["m4", "bbox"] == "15 0 15 10"  # 40 x 30 pixels stand upright as 30 x 40
    assert table["species"].to_dict()["m3"] == "Panthera pardus"


def test_several_animals_are_told_apart_by_boxes_only(package, tmp_path):
    root = package(
        observation(media="m1", rest="Panthera pardus,1,P1,0,0,0.5,1,human")
        + observation(media="m1", rest="Panthera pardus,1,P2,0.5,0,0.5,1,human")
        + observation(media="m2", rest="Panthera pardus,1,P1,,,,,human")
        + observation(media="m2", rest="Panthera pardus,1,P2,,,,,human")
        + observation(media="m3", rest="Panthera pardus,3,P1,,,,,human")
    )
    table, counts = rows_of(root, tmp_path)
    assert counts["ambiguous"] == 2
    assert table["identity"].to_dict() == dict(
        zip(["m1-0", "m1-1", "m2", "m3", "m4", "m6"], ["P1", "P2", *["unknown"] * 4], strict=True)
    )
    assert table.loc["m1-1", "bbox"] == "20 0 20 30"
    assert table.loc["m2", "species"] == "Panthera pardus"


def test_people_come_before_machines(package, tmp_path):
    root = package(
        observation(media="m1", rest="Panthera pardus,1,WRONG,,,,,machine")
        + observation(media="m1", rest="Panthera pardus,1,P1,,,,,human")
        + observation(media="m3", rest="Panthera pardus,1,P2,,,,,machine")
    )
    assert rows_of(root, tmp_path)[0]["identity"].to_dict()["m1"] == "P1"
    assert rows_of(root, tmp_path)[0]["identity"].to_dict()["m3"] == "P2"


TWO = observation(media="m1") + observation(media="m3", rest="Panthera pardus,1,P2,,,,,human")


def test_times_of_several_zones_are_brought_to_one(package, tmp_path):
    media = MEDIA.replace("12:00:00Z,media/3", "13:00:00+01:00,media/3")
    assert rows_of(package(TWO, media=media), tmp_path)[0].loc["m3", "date"] == "2026-01-31T12:00:00"
    media = MEDIA.replace("Z,media", "+05:00,media")
    assert rows_of(package(TWO, media=media), tmp_path)[0].loc["m3", "date"] == "2026-01-31T12:00:00"


def test_a_zip_file_is_as_good_as_its_folder(package, tmp_path):
    root = package(TWO)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, f"inner/{file.relative_to(root)}")
    zipped, _ = rows_of(tmp_path / "p.zip", tmp_path)
    assert zipped.equals(rows_of(root, tmp_path)[0])
    assert zipped.equals(rows_of(root / "datapackage.json", tmp_path)[0])
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"media": MEDIA.replace("media/3.jpg", "https://x.org/3.jpg")}, r"media.csv, row 4: the file is at 'https"),
        ({"media": MEDIA.replace("media/3.jpg", "../3.jpg")}, "row 4: the path '../3.jpg' leaves its folder"),
        ({"media": MEDIA.replace("media/3.jpg", "media/0.jpg")}, "row 4: 1 of 5 photos are listed but absent"),
        ({"media": MEDIA.replace("m2,", "m1,")}, "media.csv, rows 2, 3: mediaID 'm1' occurs more than once"),
        ({"media": MEDIA.replace("m2,d1", "m2,d9")}, "media.csv, row 3: deploymentID 'd9' is not in deployments.csv"),
        ({"media": MEDIA.replace("2026-01-31T12", "noon")}, "media.csv, row 4: timestamp .* is no ISO 8601 time"),
        ({"media": MEDIA.replace("timestamp", "time")}, "media.csv has no column 'timestamp'"),
        ({"observations": TWO + observation(media="m9")}, "observations.csv, row 4: mediaID 'm9' is not in media.csv"),
        (
            {"observations": TWO + observation(start="soon")},
            "observations.csv, row 4: eventStart .* is no ISO 8601 time",
        ),
        ({"observations": TWO + observation(media="m6", deployment="d2", rest="x,1,P,2,0,1,1,")}, "not within 0 and 1"),
        ({"observations": TWO + observation(media="m6", deployment="d2", rest="x,1,P,a,0,1,1,")}, "no four numbers"),
        ({"resources": [{"name": "media", "path": "https://x.org/media.csv"}]}, "table media is at 'https"),
        ({"resources": [{"name": "media", "path": "../media.csv"}]}, "leaves its folder"),
        ({"resources": [1]}, "no data package descriptor"),
    ],
)
def test_faults_are_named(package, tmp_path, change, message):
    with pytest.raises(PelageError, match=message):
        rows_of(package(**{"observations": TWO, **change}), tmp_path)


def test_no_package_is_explained(tmp_path):
    with pytest.raises(PelageError, match=rf"{KEY}.path: there is no Camtrap Data Package"):
        rows_of(tmp_path, tmp_path)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("a.txt", "no package")
    with pytest.raises(PelageError, match=r"holds 0 files datapackage.json"):
        rows_of(tmp_path / "p.zip", tmp_path)
