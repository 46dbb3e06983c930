"""A Camtrap Data Package: observations of files and of events, boxes, zip files, and what is refused."""

from __future__ import annotations

import json
import re
import zipfile

import pytest

from pelage.common.errors import PelageError

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


@pytest.fixture
def read(brought):
    def run(path):
        data = brought(source="camtrap_dp", path=str(path))
        data.claims["who"] = data.claims["identity"] + " " + data.claims["bbox"]
        return data

    return run


def said(data, image_id: str) -> list[str]:
    return data.claims.loc[data.claims["image_id"] == image_id, "who"].tolist()


def test_files_and_events_tell_identities(package, read):
    root = package(
        observation(event="e1", start="10:00:00", end="10:00:05", rest="Panthera pardus,1,P1,,,,,human")
        + observation(media="m2", event="e1", kind="blank", rest=",,,,,,,human")
        + observation(media="m3", rest="Panthera pardus,1,P2,,,,,human")
        + observation(media="m4", deployment="d2", rest="Panthera pardus,1,P3,0.5,0,0.5,0.25,human")
    )
    data = read(root)
    photos = data.photos.set_index("image_id")
    assert (data.counts["other_media"], data.counts["ambiguous"], data.counts["rejected"]) == (1, 0, {})
    assert data.claims.set_index("image_id")["identity"].to_dict() == {"m1": "P1", "m3": "P2", "m4": "P3"}
    assert photos["encounter"].to_dict() == {"m1": "e1", "m2": "e1", "m3": "", "m4": "", "m6": ""}
    assert photos.loc["m1", ["station", "camera", "date"]].tolist() == ["loc1", "cam7", "2026-01-31T10:00:00"]
    assert photos.loc["m4", ["station", "camera"]].tolist() == ["d2", "d2"]
    assert said(data, "m4") == ["P3 15 0 15 10"]  # 40 x 30 pixels stand upright as 30 x 40
    assert data.claims.set_index("image_id")["species"].to_dict()["m3"] == "Panthera pardus"
    assert data.claims["row"].tolist() == [
        "row 2, observations row 2",
        "row 4, observations row 4",
        "row 5, observations row 5",
    ]
    files = data.files.set_index("path")["verdict"]
    assert files["media/5.mp4"] == "video"
    assert files["media.csv"] == files["datapackage.json"] == "table"


def test_several_animals_are_several_claims(package, read):
    root = package(
        observation(media="m1", rest="Panthera pardus,1,P1,0,0,0.5,1,human")
        + observation(media="m1", rest="Panthera pardus,1,P2,0.5,0,0.5,1,human")
        + observation(media="m2", rest="Panthera pardus,1,P1,,,,,human")
        + observation(media="m2", rest="Panthera pardus,1,P2,,,,,human")
        + observation(media="m3", rest="Panthera pardus,3,P1,,,,,human")
    )
    data = read(root)
    assert len(data.photos) == 5
    assert data.counts["ambiguous"] == 2
    assert said(data, "m1") == ["P1 0 0 20 30", "P2 20 0 20 30"]
    assert said(data, "m2") == ["P1 ", "P2 "]
    assert said(data, "m3") == ["unknown "], "a name of three animals is nobody's"


def test_people_come_before_machines(package, read):
    root = package(
        observation(media="m1", rest="Panthera pardus,1,WRONG,,,,,machine")
        + observation(media="m1", rest="Panthera pardus,1,P1,,,,,human")
        + observation(media="m3", rest="Panthera pardus,1,P2,,,,,machine")
    )
    data = read(root)
    assert (said(data, "m1"), said(data, "m3")) == (["P1 "], ["P2 "])


def test_a_box_of_a_machine_stands_beside_the_name_of_the_event(package, read):
    root = package(
        observation(event="e1", start="10:00:00", end="10:00:05", rest="Panthera pardus,1,P1,,,,,human")
        + observation(media="m1", rest="Panthera,,,0,0,0.5,1,machine")
        + observation(media="m2", rest="Panthera pardus,1,WRONG,0,0,0.5,1,machine")
        + observation(media="m3", rest="Panthera pardus,1,P2,,,,,human")
    )
    data = read(root)
    assert said(data, "m1") == ["unknown 0 0 20 30", "P1 "]
    assert said(data, "m2") == ["unknown 0 0 20 30", "P1 "]
    assert data.counts["identities"] == 2


TWO = observation(media="m1") + observation(media="m3", rest="Panthera pardus,1,P2,,,,,human")


def test_a_species_of_the_file_and_the_name_of_its_event_are_one_claim(package, read):
    species = observation(media="m1", rest="Panthera pardus,1,,,,,,machine")
    event = observation(event="e1", start="09:59:00", end="10:01:00", rest=",1,P1,,,,,human")
    data = read(package(species + event + observation(media="m3", rest="Panthera pardus,1,P2,,,,,human")))
    told = data.claims[data.claims["image_id"] == "m1"]
    assert told[["identity", "species"]].to_numpy().tolist() == [["P1", "Panthera pardus"]]
    two = species + observation(media="m1", rest="Hystrix cristata,1,,,,,,machine")
    data = read(package(two + event + observation(media="m3", rest="Panthera pardus,1,P2,,,,,human")))
    assert len(data.claims[data.claims["image_id"] == "m1"]) == 3  # two animals, and nobody says whose the name is


def test_times_of_several_zones_are_brought_to_one(package, read):
    media = MEDIA.replace("12:00:00Z,media/3", "13:00:00+01:00,media/3")
    assert read(package(TWO, media=media)).photos.set_index("image_id").loc["m3", "date"] == "2026-01-31T12:00:00"
    media = MEDIA.replace("Z,media", "+05:00,media")
    assert read(package(TWO, media=media)).photos.set_index("image_id").loc["m3", "date"] == "2026-01-31T12:00:00"


def test_events_are_found_across_zones(package, read):
    event = observation(start="05:00:00", end="05:00:05") + observation(media="m3", rest="x,1,P2,,,,,human")
    data = read(package(event, media=MEDIA.replace("Z,media", "+05:00,media")))
    assert said(data, "m1") == said(data, "m2") == ["P1 "]


def test_a_zip_file_is_as_good_as_its_folder(package, read, tmp_path):
    root = package(TWO)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, f"inner/{file.relative_to(root)}")
    zipped = read(tmp_path / "p.zip")
    assert zipped.photos.equals(read(root).photos)
    assert zipped.claims.equals(read(root / "datapackage.json").claims)
    assert not list((tmp_path / "cache/unpacked").iterdir())


def test_timestamp_issues_are_flagged(package, read):
    deployments = "deploymentID,locationID,cameraID,timestampIssues\nd1,loc1,cam7,True\nd2,,,false\n"
    data = read(package(TWO, deployments=deployments))
    assert data.photos["flags"].tolist() == [*["clock_suspect"] * 3, "", ""]
    assert data.counts["timestamp_issues"] == 3


@pytest.mark.parametrize(
    ("rest", "box"),
    [
        ("0,0,1.0002,1", "0 0 40 30"),
        ("-0.005,0,0.5,1.0", "0 0 19.8 30"),
        ("0.5,0.5,0.505,0.5", "20 15 20 15"),
        ("0,0,1.2,1", ""),
        ("2,0,1,1", ""),
        ("a,0,1,1", ""),
        ("nan,0,1,1", ""),
    ],
)
def test_boxes_may_stand_out_a_little(package, read, rest, box):
    data = read(package(TWO + observation(media="m2", rest=f"x,1,P,{rest},human")))
    assert said(data, "m2") == [f"P {box}"]
    assert data.counts["rejected"] == ({} if box or "nan" in rest else {"box": 1})


@pytest.mark.parametrize(
    ("change", "reason", "message", "photos"),
    [
        ({"media": MEDIA.replace("media/3.jpg", "https://x.org/3.jpg")}, "remote", "media, row 4: .*'https", 4),
        ({"media": MEDIA.replace("media/3.jpg", "../3.jpg")}, "path", "'../3.jpg' leaves its folder", 4),
        ({"media": MEDIA.replace("media/3.jpg", "media/0.jpg")}, "missing", "row 4: .* is listed but absent", 4),
        ({"media": MEDIA.replace("m2,", "m1,")}, "repeated", "media, row 3: mediaID 'm1' is empty or", 4),
        ({"media": MEDIA.replace("m2,d1", "m2,d9")}, "deployment", "media, row 3: deploymentID 'd9' is not in", 4),
        ({"media": MEDIA.replace("2026-01-31T12:00:00Z,media/3", "noon,media/3")}, "date", "timestamp|date 'noon'", 5),
        ({"observations": TWO + observation(media="m9")}, "media", "observations, row 4: mediaID 'm9' is not", 5),
        (
            {"observations": TWO + observation() + observation() + observation(start="soon")},
            "date",
            "observations, row 6: eventStart '2026-01-31TsoonZ'",
            5,
        ),
        (
            {"media": MEDIA + "m7,d1,2026-01-31T10:00:00Z,media/1.jpg,image/jpeg,x\n"},
            "cells",
            "media, row 8: .*more",
            5,
        ),
    ],
)
def test_faults_cost_their_row_or_cell(package, read, change, reason, message, photos):
    observations = observation(media="m1") + observation(media="m6", deployment="d2", rest="x,1,P2,,,,,human")
    observations += observation(media="m4", deployment="d2", rest="x,1,P2,,,,,human")
    data = read(package(**{"observations": observations, **change}))
    assert len(data.photos) == photos
    assert any(reason == row.reason and re.search(message, row.detail) for row in data.rejected.itertuples())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"media": MEDIA.replace("media/", "https://x.org/")}, "row 2: the file is at 'https.* all 6 files"),
        (
            {"media": MEDIA.replace(",d1,", ",x1,").replace(",d2,", ",x2,")},
            "media.csv, row 2: deploymentID 'x1' is not in deployments.csv",
        ),
        ({"media": MEDIA.replace("2026-01-31T", "noon ")}, "media.csv, row 2: timestamp 'noon 10:00:00Z' is no date"),
        ({"media": MEDIA.replace("timestamp", "time")}, "media.csv has no column 'timestamp'"),
        ({"resources": [{"name": "media", "path": "https://x.org/media.csv"}]}, "table media is at 'https"),
        ({"resources": [{"name": "media", "path": "../media.csv"}]}, "leaves its folder"),
        ({"resources": [1]}, "no data package descriptor"),
    ],
)
def test_what_makes_the_whole_meaningless_stops(package, read, change, message):
    with pytest.raises(PelageError, match=message):
        read(package(**{"observations": TWO, **change}))


def test_backslashes_and_missing_values(package, read):
    root = package(
        TWO + observation(media="m2", rest="NaN,1.0,nan,NaN,NaN,NaN,NaN,human"),
        media=MEDIA.replace("media/", "media\\"),
    )
    data = read(root)
    assert len(data.photos) == 5
    assert data.counts["rejected"] == {}
    assert said(data, "m2") == []
    assert said(data, "m1") == ["P1 "]


def test_observations_of_a_sequence_are_of_all_its_files(package, read):
    head, *lines = MEDIA.splitlines()
    media = "\n".join([head + ",sequenceID", *(line + ",s1" * (line[:2] in ("m1", "m2")) for line in lines)]) + "\n"
    root = package("", media=media)
    (root / "observations.csv").write_text(
        "observationID,deploymentID,sequenceID,mediaID,timestamp,observationType,count,individualID\n"
        "o1,d1,s1,,2026-01-31T10:00:00Z,animal,1,P1\no2,d2,,m4,2026-01-31T12:00:00Z,animal,1,P2\n"
    )
    data = read(root)
    assert said(data, "m1") == said(data, "m2") == ["P1 "]
    assert data.photos["encounter"].tolist() == ["s1", "s1", "", "", ""]


def test_no_package_is_explained(read, tmp_path):
    with pytest.raises(PelageError, match=r"datasets.mine.path: there is no Camtrap Data Package"):
        read(tmp_path)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("a.txt", "no package")
    with pytest.raises(PelageError, match=r"holds 0 files datapackage.json"):
        read(tmp_path / "p.zip")
