"""Camtrap DP: rows of photos, animals and events by hand, validity, and the way back in."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta, timezone

import pandas as pd
import pytest

from pelage.animals.export.camtrap_dp import Survey, camtrap_dp, package_path
from pelage.animals.export.camtrap_package import Package, check_package, read_package
from pelage.animals.export.folder import write_export
from pelage.common.errors import PelageError

ZONE = timezone(timedelta(hours=2))
CREATED = "2026-04-01T00:00:00Z"


@pytest.fixture
def written(tmp_path):
    """Return a function that writes an export, checks it, and reads it again."""

    def write(export) -> Package:
        said = write_export(tmp_path / "package", "camtrap-dp", export, check=check_package)
        assert said.startswith("Valid Camtrap DP 1.0.2")
        return read_package(tmp_path / "package")

    return write


def rows(table: pd.DataFrame, key: str, *columns: str) -> dict[str, tuple]:
    assert table[key].is_unique
    return {row[key]: tuple(row[name] for name in columns) for row in table.to_dict("records")}


def test_deployments_are_split_at_gaps_and_grouped_by_station(survey, written, owner):
    table = written(camtrap_dp(survey, ZONE, owner, CREATED)).tables["deployments"]
    columns = ("locationID", "cameraID", "latitude", "deploymentStart", "deploymentEnd", "deploymentGroups")
    assert rows(table, "deploymentID", *columns) == {
        "S1-S1A-1": ("S1", "S1A", "-22.123456", "2026-03-01T00:00:00+02:00", "2026-03-10T12:00:00+02:00", "station:S1"),
        "S1-S1B-1": ("S1", "S1B", "-22.123456", "2026-03-01T00:00:00+02:00", "2026-03-10T12:00:00+02:00", "station:S1"),
        "S2-1": ("S2", "S2", "-22.2", "2026-03-01T00:00:00+02:00", "2026-03-03T00:00:00+02:00", "station:S2"),
        "S2-2": ("S2", "S2", "-22.2", "2026-03-06T00:00:00+02:00", "2026-03-10T00:00:00+02:00", "station:S2"),
    }


def test_media_have_their_deployment(survey, written, owner):
    export = camtrap_dp(survey, ZONE, owner, CREATED)
    table = written(export).tables["media"]
    assert rows(table, "mediaID", "deploymentID", "timestamp", "filePath", "filePublic", "captureMethod") == {
        photo: (deployment, f"{time}+02:00", f"media/{path}.JPG", "false", "activityDetection")
        for photo, deployment, time, path in (
            ("a1", "S1-S1A-1", "2026-03-01T06:00:00", "S1A/a1"),
            ("a2", "S1-S1B-1", "2026-03-01T06:00:05", "S1B/a2"),
            ("a3", "S1-S1A-1", "2026-03-05T22:00:00", "S1A/a3"),
            ("b1", "S2-1", "2026-03-02T05:00:00", "S2/b1"),
            ("b2", "S2-1", "2026-03-02T05:00:30", "S2/b2"),
            ("b3", "S2-2", "2026-03-09T05:00:00", "S2/b3"),
            ("b4", "S2-1", "2026-03-04T12:00:00", "S2/b4"),  # 36 hours after the first, 36 before the second: the first
        )
    }
    assert export.left_out == {
        "photos without a time": 1,
        "photos of a camera without a deployment": 1,
        "photos outside all deployments of their camera (kept, at the nearest)": 1,
    }
    assert table.set_index("mediaID").loc["b4", "mediaComments"] == "taken outside the deployment's interval"


def test_an_animal_of_a_photo_has_its_box_its_name_and_how_sure_that_is(survey, written, owner):
    table = written(camtrap_dp(survey, ZONE, owner, CREATED)).tables["observations"]
    media = table[table["observationLevel"] == "media"]
    box = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
    told = rows(media, "observationID", "mediaID", "individualID", *box)
    assert told["a1#animal0"] == ("a1", "L01", "0.250000", "0.166667", "0.500000", "0.333333")
    assert told["a2#animal0"] == (
        "a2",
        "L01",
        "0.000000",
        "0.000000",
        "0.500000",
        "1.000000",
    )  # cut at the photo's side
    assert told["b3#blank"] == ("b3", "", "", "", "", "")
    assert {key: row[1] for key, row in told.items()} == {
        **{"a1#animal0": "L01", "a2#animal0": "L01", "a3#animal0": "L01", "b1#animal0": "new-001", "b1#animal1": ""},
        **{"b2#animal0": "new-001", "b4#animal0": "L|2: x", "b3#blank": ""},
    }
    tags = media.set_index("observationID")["observationTags"]
    assert tags["a1#animal0"] == "flank:right | decision:source | answer:named"
    assert tags["a3#animal0"] == "individualIDProbability:0.97 | flank:left | decision:machine | answer:known"
    assert tags["b1#animal0"] == (
        "individualIDProbability:0.88 | flank:left | decision:human | decidedBy:Ana/B | answer:new"
    )
    assert tags["b1#animal1"] == "decision:machine | answer:cannot_tell"
    assert (media["classificationProbability"] == "").all()  # of the species, which nobody judged


def test_an_event_is_an_individual_of_an_encounter(survey, written, owner):
    table = written(camtrap_dp(survey, ZONE, owner, CREATED)).tables["observations"]
    events = table[table["observationLevel"] == "event"].assign(mediaID=lambda rows: rows["mediaID"])
    columns = ("deploymentID", "individualID", "count", "eventStart", "eventEnd")
    day = "2026-03-02T05:00"
    assert (events["mediaID"] == "").all()
    assert sorted(rows(events, "observationID", "eventID", *columns).values()) == [
        ("S1@1", "S1-S1A-1", "L01", "1", "2026-03-01T06:00:00+02:00", "2026-03-01T06:00:05+02:00"),
        ("S1@2", "S1-S1A-1", "L01", "1", "2026-03-05T22:00:00+02:00", "2026-03-05T22:00:00+02:00"),
        ("S2@1", "S2-1", "", "1", f"{day}:00+02:00", f"{day}:00+02:00"),
        ("S2@1", "S2-1", "new-001", "1", f"{day}:00+02:00", f"{day}:30+02:00"),
        ("S2@3", "S2-1", "L|2: x", "1", "2026-03-04T12:00:00+02:00", "2026-03-04T12:00:00+02:00"),
    ]
    both = events[events["eventID"] == "S1@1"]["observationTags"].item()
    assert both == "flank:left | flank:right | decision:source | answer:named"


def test_individuals_have_a_resource(survey, written, owner):
    package = written(camtrap_dp(survey, ZONE, owner, CREATED))
    assert package.tables["individuals"].to_dict("records") == [
        dict(zip(package.tables["individuals"], row, strict=True))
        for row in (
            ("L01", "Panthera pardus", "known", "2026-03-01T06:00:00+02:00", "2026-03-05T22:00:00+02:00",
             "2", "1", "both", "0.97", "machine | source"),
            ("L|2: x", "Panthera pardus", "known", "2026-03-04T12:00:00+02:00", "2026-03-04T12:00:00+02:00",
             "1", "1", "right", "", "source"),
            ("new-001", "Panthera pardus", "new", "2026-03-02T05:00:00+02:00", "2026-03-02T05:00:30+02:00",
             "1", "1", "left", "0.88", "human"),
        )
    ]  # fmt: skip
    assert package.descriptor["taxonomic"] == [{"scientificName": "Panthera pardus"}]
    assert package.descriptor["temporal"] == {"start": "2026-03-01", "end": "2026-03-10"}
    assert package.descriptor["project"] == {
        **owner["project"],
        "individualAnimals": True,
        "observationLevel": ["media", "event"],
    }
    assert package.descriptor["spatial"]["coordinates"][0][0] == [31.5, -22.2]


def test_rounded_coordinates_say_so_and_how_far_they_moved(survey, tables, written, owner):
    rounded = tables["deployments"].assign(
        latitude=[-22.12, -22.12, -22.2, -22.2], longitude=[31.5, 31.5, 31.61, 31.61]
    )
    package = written(camtrap_dp(replace(survey, deployments=rounded), ZONE, owner, CREATED, decimals=2))
    assert package.descriptor["coordinatePrecision"] == 0.01
    assert set(package.tables["deployments"]["coordinateUncertainty"]) == {"788"}  # .005 degrees north and east
    assert "22.123456" not in "".join(package.files().values())


def test_what_only_the_owner_knows_is_asked_for(survey):
    told = {"project": {"title": "Leopards"}}
    with pytest.raises(
        PelageError, match=r"(?s)export.yaml, in DATASET.package.*samplingDesign.*captureMethod.*contributors"
    ) as error:
        camtrap_dp(survey, ZONE, told, CREATED)
    assert "project.title" not in str(error.value)


def test_what_the_owner_tells_wrong_is_refused_and_nothing_is_written(survey, tmp_path, owner):
    told = copy.deepcopy(owner)
    told["project"]["samplingDesign"] = "random"
    export = camtrap_dp(survey, ZONE, told, CREATED)
    with pytest.raises(PelageError, match=r"project.samplingDesign: 'random' is not one of"):
        write_export(tmp_path / "package", "camtrap-dp", export, check=check_package)
    assert not list(tmp_path.iterdir())


def test_a_word_for_a_species_needs_its_name(survey, written, owner):
    animals = survey.animals.assign(species="leopard")
    with pytest.raises(PelageError, match=r"'leopard' is no scientific name.*vernacularNames: \{eng: leopard\}"):
        camtrap_dp(replace(survey, animals=animals), ZONE, owner, CREATED)
    taxa = [{"scientificName": "Panthera pardus", "vernacularNames": {"eng": "leopard"}}]
    package = written(camtrap_dp(replace(survey, animals=animals), ZONE, {**owner, "taxonomic": taxa}, CREATED))
    assert package.descriptor["taxonomic"] == taxa
    assert set(package.tables["observations"]["scientificName"]) == {"Panthera pardus", ""}


def test_a_deployment_without_a_place_is_named(survey, tables, owner):
    tables["deployments"].loc[2, "latitude"] = None
    with pytest.raises(PelageError, match=r"deployments.csv, row 4: station 'S2' has no coordinates"):
        camtrap_dp(survey, ZONE, owner, CREATED)


def test_without_times_there_is_no_package(survey, tables, owner):
    untimed = replace(survey, photos=tables["photos"].assign(date="2026-03-01"))
    with pytest.raises(PelageError, match="9 photos without a time"):
        camtrap_dp(untimed, ZONE, owner, CREATED)


def test_a_camera_without_a_station_is_one(survey, tables, owner):
    alone = tables["photos"].assign(station=lambda rows: rows["station"].mask(rows["camera"] == "S2", ""))
    assert camtrap_dp(replace(survey, photos=alone), ZONE, owner, CREATED) == camtrap_dp(survey, ZONE, owner, CREATED)


def test_a_survey_without_an_animal_is_a_package_too(survey, owner, written):
    package = written(camtrap_dp(replace(survey, animals=survey.animals.head(0)), ZONE, owner, CREATED))
    assert package.tables["observations"]["observationType"].tolist() == ["blank"] and len(package.tables["media"]) == 7
    assert package.tables["individuals"].empty and package.descriptor["taxonomic"] == []


def test_no_path_climbs():
    assert package_path("a..b/..c.jpg") == "media/a.%2Eb/.%2Ec.jpg"


def test_rows_do_not_depend_on_the_order_of_tables(survey, owner):
    turned = replace(
        survey,
        photos=survey.photos.iloc[::-1].reset_index(drop=True),
        animals=survey.animals.sample(frac=1, random_state=1),
    )
    assert camtrap_dp(survey, ZONE, owner, CREATED) == camtrap_dp(turned, ZONE, owner, CREATED)


def test_a_package_goes_out_and_comes_in_with_names_boxes_and_encounters(
    survey, tmp_path, monkeypatch, make_photo, owner
):
    from pelage.catalogue.data_set import bring_in

    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    export = camtrap_dp(survey, ZONE, owner, CREATED, copied=True)
    write_export(tmp_path / "package", "camtrap-dp", export, lambda _: make_photo(), check_package)
    for folder in ("photos", "truth"):
        (tmp_path / folder).mkdir()
    entry = {"source": "camtrap_dp", "path": str(tmp_path / "package")}
    data = bring_in(entry, "back", tmp_path / "photos", tmp_path / "truth", "copy")
    assert len(data.rejected) == 0
    photos = data.photos.set_index("image_id")
    before = survey.photos[~survey.photos["image_id"].isin(["c1", "d1"])].set_index("image_id")
    assert photos[["date", "station", "camera"]].to_dict() == before[["date", "station", "camera"]].to_dict()
    assert photos.loc[["a1", "a2", "b1"], "encounter"].tolist() == ["S1@1", "S1@1", "S2@1"]
    claims = set(data.claims[["image_id", "identity", "bbox", "species"]].itertuples(index=False, name=None))
    assert claims == {
        ("a1", "L01", "100 50 200 100", "Panthera pardus"),
        ("a2", "L01", "0 0 200 300", "Panthera pardus"),
        ("a3", "L01", "0 0 400 300", "Panthera pardus"),
        ("b1", "new-001", "10 10 50 50", "Panthera pardus"),
        ("b1", "unknown", "200 10 50 50", "Panthera pardus"),
        ("b2", "new-001", "10 10 50 50", "Panthera pardus"),
        ("b4", "L|2: x", "30 30 30 30", "Panthera pardus"),
    }


def test_a_survey_comes_as_a_package_without_names_and_leaves_with_them(
    survey, owner, tmp_path, monkeypatch, make_photo
):
    from pelage.animals.export.run import came_from
    from pelage.catalogue.data_set import bring_in
    from pelage.catalogue.entries import read_sources

    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    found = survey.animals["answer"] != "named"
    names = {
        name: survey.animals[name].mask(found, "") for name in ("individual", "answer", "probability", "decided_by")
    }
    first = camtrap_dp(replace(survey, animals=survey.animals.assign(**names)), ZONE, owner, CREATED, copied=True)
    write_export(tmp_path / "in", "camtrap-dp", first, lambda _: make_photo(), check_package)
    before = read_package(tmp_path / "in")
    before.tables["deployments"]["habitat"] = ["dune", "", "pan", "pan"]
    before.tables["media"]["favorite"] = "true"
    for name, text in before.files().items():
        (tmp_path / "in" / name).write_text(text)
    for folder in ("photos", "truth"):
        (tmp_path / folder).mkdir()
    entry = {"source": "camtrap_dp", "path": str(tmp_path / "in")}
    data = bring_in(entry, "back", tmp_path / "photos", tmp_path / "truth", "copy")
    assert data.claims["identity"].value_counts().to_dict() == {"unknown": 4, "L01": 2, "L|2: x": 1}

    box = data.claims["bbox"].str.split(" ", expand=True).astype(int).set_axis(["x", "y", "w", "h"], axis=1)
    animals = data.claims[["image_id", "species"]].join(box)
    new = data.claims["identity"] == "unknown"
    animals = animals.assign(animal=animals.groupby("image_id").cumcount(), side="left")
    animals["individual"] = data.claims["identity"].mask(new, "new-001")
    animals["answer"], animals["decided_by"] = (
        new.map({True: "new", False: "named"}),
        new.map({True: "pelage", False: "source"}),
    )
    animals["probability"] = new.map({True: "0.9", False: ""})
    photos = data.photos.assign(width=400, height=300, blank=data.photos["image_id"] == "b3")
    degrees = {name: data.deployments[name].astype(float) for name in ("latitude", "longitude")}
    paths = {photo: package_path(path) for photo, path in photos[["image_id", "path"]].itertuples(index=False)}
    source, zone = came_from(read_sources(entry, "back"))
    named = Survey(photos, animals, data.deployments.assign(**degrees), paths, source)
    write_export(tmp_path / "out", "camtrap-dp", camtrap_dp(named, zone, {}, CREATED), check=check_package)
    after = read_package(tmp_path / "out")

    for name in ("deployments", "media"):
        pd.testing.assert_frame_equal(after.tables[name], before.tables[name])
    assert {**after.descriptor, "created": ""} == {**before.descriptor, "created": ""}
    key = ["observationLevel", "mediaID", "bboxX", "bboxY", "eventStart", "eventEnd", "deploymentID", "count"]
    told = [table.tables["observations"].set_index(key)["individualID"] for table in (before, after)]
    media = [one.loc["media"].sort_index() for one in told]
    assert media[0].index.equals(media[1].index)
    assert media[0].value_counts().to_dict() == {"": 5, "L01": 2, "L|2: x": 1}  # one of them a blank photo
    assert media[1].value_counts().to_dict() == {"new-001": 4, "L01": 2, "L|2: x": 1, "": 1}
    assert (media[0] == "").eq((media[1] == "") | (media[1] == "new-001")).all()
    assert after.tables["individuals"]["individualID"].tolist() == ["L01", "L|2: x", "new-001"]


def test_a_survey_that_came_as_a_package_keeps_what_that_says(survey, tables, written, owner):
    """Deployments are found again by location, camera and instant, in whatever zone it was told."""
    first = camtrap_dp(survey, ZONE, owner, CREATED)
    source = Package(json.loads(first.files["datapackage.json"]), {})
    deployments = pd.DataFrame(
        [
            {
                **{"deploymentID": "dep-9", "locationID": "S1", "locationName": "Pan", "cameraID": "S1A"},
                **{"deploymentStart": "2026-02-28T22:00:00Z", "deploymentEnd": "2026-03-10T10:00:00Z"},
                **{"latitude": "-22.123456", "longitude": "31.5", "coordinateUncertainty": "30"},
                **{"habitat": "bush", "deploymentGroups": "season:dry"},
            }
        ]
    )
    media = pd.DataFrame(
        [{"mediaID": "a1", "filePath": "https://agouti.eu/a1", "filePublic": "true", "exifData": "{}"}]
    )
    source = Package(
        {**source.descriptor, "id": "old", "homepage": "https://x.org"}, {"deployments": deployments, "media": media}
    )
    package = written(camtrap_dp(replace(survey, source=source), ZONE, {}, CREATED))
    row = package.tables["deployments"].iloc[0]
    assert row[["deploymentID", "locationName", "habitat", "deploymentGroups", "coordinateUncertainty"]].tolist() == [
        "dep-9", "Pan", "bush", "season:dry | station:S1", "30",
    ]  # fmt: skip
    assert package.descriptor["homepage"] == "https://x.org" and "id" not in package.descriptor
    first = package.tables["media"].set_index("mediaID").loc["a1"]
    assert first[["deploymentID", "filePath", "exifData"]].tolist() == ["dep-9", "https://agouti.eu/a1", "{}"]
    rounded = written(camtrap_dp(replace(survey, source=source), ZONE, {}, CREATED, decimals=2))
    assert rounded.tables["deployments"]["coordinateUncertainty"][0] == str(30 + 788)
    assert (rounded.tables["media"]["exifData"] == "").all()  # it may tell the place
