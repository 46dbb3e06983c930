"""Packages read, written and checked: the official example without loss, and planted faults, without a network."""

from __future__ import annotations

import copy
import json
import shutil
import socket
from importlib.resources import files
from pathlib import Path

import pytest

from pelage.animals.export.camtrap_package import (
    check_package,
    columns,
    descriptor_faults,
    read_package,
    schema,
)
from pelage.common.errors import PelageError

EXAMPLE = Path(__file__).resolve().parents[4] / "shared/data/reference/camtrap-dp/example"
GEOMETRIES = {
    "Point": [4.0, 50.5],
    "MultiPoint": [[4.0, 50.5], [5, 51]],
    "LineString": [[4.0, 50.5], [5, 51, 120]],
    "MultiLineString": [[[4.0, 50.5], [5, 51]]],
    "Polygon": [[[4.0, 50.5], [5, 51], [5, 52], [4.0, 50.5]]],
    "MultiPolygon": [[[[4.0, 50.5], [5, 51], [5, 52], [4.0, 50.5]]]],
}


@pytest.fixture
def example(tmp_path, monkeypatch) -> Path:
    """Return a copy of the official example; nothing may be fetched."""
    if not EXAMPLE.is_dir():
        pytest.skip("the example package is not beside this checkout")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("something is fetched"))
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example"))


def test_the_official_example_is_valid_and_survives_reading_and_writing(example, tmp_path):
    assert check_package(example).startswith("Valid Camtrap DP 1.0.2")
    package = read_package(example)
    assert {name: len(table) for name, table in package.tables.items()} == {
        "deployments": 4,
        "media": 423,
        "observations": 549,
    }
    for name, text in package.files().items():
        (tmp_path / "again").mkdir(exist_ok=True)
        (tmp_path / "again" / name).write_text(text, encoding="utf-8")
        if name.endswith(".csv"):
            assert text == (example / name).read_text(encoding="utf-8")
    again = read_package(tmp_path / "again")
    assert again.descriptor == package.descriptor == json.loads((example / "datapackage.json").read_text("utf-8"))
    assert all(again.tables[name].equals(table) for name, table in package.tables.items())
    assert check_package(tmp_path / "again")


FAULTS = {
    "deployments.csv": [
        ("51.496,", "91.496,", "maximum"),
        ("2020-05-30T04:57:37+02:00,2020-07", "2020-05-30T04:57:37,2020-07", "type is"),  # no zone
        ("29b7d356,", "00a2c20d,", "primary key"),
        ("deploymentID,locationID", "locationID,deploymentID", "label"),
    ],
    "media.csv": [
        ("07840dcc,00a2c20d", "07840dcc,gone", "foreign key"),
        ("https://multimedia.agouti.eu/assets/07840dcc", "../07840dcc", "pattern"),
        ("activityDetection", "trap", "enum"),
    ],
    "observations.csv": [
        (",animal,", ",beast,", "enum"),
        ("705e6036,00a2c20d,,", "705e6036,00a2c20d,nothing,", "foreign key"),
        (
            "human,Danny Van der beeck,2020-07-09T09:39:52Z,,",
            "human,Danny Van der beeck,2020-07-09T09:39:52Z,1.5,",
            "maximum",
        ),
    ],
}


@pytest.mark.parametrize(
    ("file", "old", "new", "says"), [(file, *fault) for file, faults in FAULTS.items() for fault in faults]
)
def test_a_planted_fault_of_a_table_is_found(example, file, old, new, says):
    for name in ("media", "observations"):  # a few rows are enough, and quicker
        rows = (example / f"{name}.csv").read_text("utf-8").splitlines()
        (example / f"{name}.csv").write_text("\n".join(rows[:4]) + "\n", "utf-8")
    assert check_package(example)
    text = (example / file).read_text("utf-8")
    assert old in text
    (example / file).write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(PelageError) as error:
        check_package(example)
    assert f"tables, {file.removesuffix('.csv')}: " in str(error.value) and says in str(error.value).lower()


def test_planted_faults_of_a_descriptor_are_found(example):
    told = read_package(example).descriptor
    assert descriptor_faults(told) == []

    def fault(change) -> list[str]:
        wrong = copy.deepcopy(told)
        change(wrong)
        return [place for place, _ in descriptor_faults(wrong)]

    assert fault(lambda d: d["project"].pop("title")) == ["project"]
    assert fault(lambda d: d["project"].update(samplingDesign="random")) == ["project.samplingDesign"]
    assert fault(lambda d: d.pop("created")) == [""]
    assert fault(lambda d: d["contributors"][0].update(role="boss")) == ["contributors.0.role"]
    assert fault(lambda d: d["licenses"].pop()) == ["licenses"]
    assert fault(lambda d: d["temporal"].update(start="2020-13-01")) == ["temporal.start"]
    assert fault(lambda d: d["resources"][1].update(schema="https://x.org/1.0/media.json")) == ["resources.1.schema"]
    assert fault(lambda d: d["spatial"].update(coordinates=[[1, 2]])) == ["spatial"]
    assert fault(lambda d: d.update(keywords="leopards")) == ["keywords"]  # by the schema of a data package


def test_geojson_is_what_the_standard_says():
    from jsonschema import Draft4Validator

    check = Draft4Validator(schema("geojson.json")).is_valid
    for kind, coordinates in GEOMETRIES.items():
        right = {"type": kind, "coordinates": coordinates}
        assert check(right) and check({"type": "Feature", "geometry": right, "properties": None}), kind
        assert check({"type": "GeometryCollection", "geometries": [right]})
        assert check(
            {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": right, "properties": {}}]}
        )
        assert not check({"type": kind}) and not check({"type": kind, "coordinates": "here"})
        assert not check({**right, "bbox": ["west"]})
        others = [one for name, one in GEOMETRIES.items() if name not in (kind, f"Multi{kind}")]
        assert not check({"type": kind, "coordinates": [[[[[1]]]]]}) and others
    assert not check({"type": "Polygon", "coordinates": [[[4.0, 50.5], [5, 51], [4.0, 50.5]]]})  # a ring of three
    assert not check({"type": "Place", "coordinates": [1, 2]}) and not check({})


def test_columns_and_licences_come_along():
    assert len(columns("deployments")) == 24 and len(columns("media")) == 11 and len(columns("observations")) == 28
    folder = files("pelage.animals.export") / "schemas"
    for name in ("LICENSE.camtrap-dp", "LICENSE.data-package"):
        assert "Permission is hereby granted, free of charge" in (folder / name).read_text("utf-8")
    told = (folder / "README.md").read_text("utf-8")
    assert all(
        one.name in told or one.name.endswith("-table-schema.json") or one.name == "README.md"
        for one in folder.iterdir()
    )


@pytest.mark.parametrize("text", ["", "[]", '{"resources": 1}', "no json"])
def test_a_descriptor_that_is_none_is_told(tmp_path, text):
    (tmp_path / "datapackage.json").write_text(text)
    with pytest.raises(PelageError, match="is no data package descriptor with resources"):
        read_package(tmp_path)
    (tmp_path / "datapackage.json").unlink()
    with pytest.raises(PelageError, match="is missing: give the folder of a Camtrap Data Package"):
        read_package(tmp_path)
