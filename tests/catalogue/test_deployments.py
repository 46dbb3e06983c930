"""Where and when cameras ran: told by a table, a package or photos; each slip in coordinates and days is caught."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from pyproj import Transformer

from pelage.catalogue.deployments import COLUMNS, kilometres, put_in_operation, read_deployments
from pelage.catalogue.entries import deployment_tables
from pelage.catalogue.inventory import deployment_rows
from pelage.common.errors import PelageError

PHOTOS = [
    ("S1", "A", "2026-03-02T10:00:00", ""),
    ("S1", "A", "2026-03-20T10:00:00", ""),
    ("S1", "B", "2026-03-05T10:00:00", ""),
    ("S2", "C", "2026-03-06T10:00:00", ""),
    ("S2", "C", "2026-03-09", ""),
    ("S2", "C", "2015-01-01T00:00:00", "clock_suspect"),
]


@pytest.fixture
def operation(tmp_path):
    """Return a function that puts a table of deployments, given as its text, beside photos."""

    def put(text: str, photos=PHOTOS):
        table = pd.DataFrame(photos, columns=["station", "camera", "date", "flags"])
        if not text:
            return put_in_operation([], table)
        file = tmp_path / "cameras.csv"
        file.write_text(text)
        return put_in_operation([(read_deployments(file), "datasets.mine", "")], table)

    return put


def rows(done, *columns) -> list[tuple]:
    return list(done.table[list(columns or COLUMNS)].itertuples(index=False, name=None))


def reasons(done) -> list[tuple[str, str]]:
    return [(reason, said.split("cameras.csv, ")[1].split(":")[0]) for _, _, reason, said in done.rejected]


def test_a_table_tells_places_and_days_and_a_gap_is_two_rows(operation):
    done = operation(
        "Location ID,cameraID,Lat,Lon,Start,End\n"
        "S1,A,-22.1,28.5,2026-03-01 08:00,2026-03-10 12:00\n"
        "S1,A,-22.1,28.5,2026-03-15 08:00,2026-03-21\n"
        "S1,B,-22.1001,28.5001,2026-03-01,2026-03-21\n"
        "s2,c,-22.2,28.6,2026-03-01T00:00:00,2026-03-21T09:30:00\n"
    )
    assert rows(done) == [
        ("S1", "A", "-22.100000", "28.500000", "2026-03-01T08:00:00", "2026-03-10T12:00:00", "told"),
        ("S1", "A", "-22.100000", "28.500000", "2026-03-15T08:00:00", "2026-03-21T23:59:59", "told"),
        ("S1", "B", "-22.100100", "28.500100", "2026-03-01T00:00:00", "2026-03-21T23:59:59", "told"),
        ("S2", "C", "-22.200000", "28.600000", "2026-03-01T00:00:00", "2026-03-21T09:30:00", "told"),
    ]
    assert done.rejected == [] and done.counts["outside"] == 0
    assert done.counts["stations"] == done.counts["located"] == 2 and done.counts["cameras"] == 3


def test_without_a_table_cameras_run_from_first_to_last_photo(operation):
    done = operation("")
    assert rows(done) == [
        ("S1", "A", "", "", "2026-03-02T10:00:00", "2026-03-20T10:00:00", "photos"),
        ("S1", "B", "", "", "2026-03-05T10:00:00", "2026-03-05T10:00:00", "photos"),
        ("S2", "C", "", "", "2026-03-06T10:00:00", "2026-03-09T23:59:59", "photos"),  # the day counts whole, 2015 not
    ]
    assert done.counts["located"] == done.counts["not_told"] == 0


def test_photos_fill_in_what_the_table_leaves_open(operation):
    """Places of stations only; a camera that the table does not know; one that nobody photographed anything with."""
    done = operation("station,latitude,longitude,start,end\nS1,-22.1,28.5,,\nS3,-22.2,28.6,2026-03-01,2026-03-31\n")
    assert rows(done, "station", "camera", "latitude", "start", "rests_on") == [
        ("S1", "A", "-22.100000", "2026-03-02T10:00:00", "photos"),
        ("S1", "B", "-22.100000", "2026-03-05T10:00:00", "photos"),
        ("S2", "C", "", "2026-03-06T10:00:00", "photos"),
        ("S3", "S3", "-22.200000", "2026-03-01T00:00:00", "told"),
    ]
    assert (done.counts["not_told"], done.counts["without_photos"]) == (1, 1)


def test_stations_without_cameras_and_cameras_without_stations(operation):
    photos = [("S1", "", "2026-03-02T10:00:00", ""), ("", "D", "2026-03-03T10:00:00", ""), ("", "", "", "")]
    assert rows(operation("", photos), "station", "camera") == [("D", "D"), ("S1", "S1")]
    done = operation("camera,start,end\nD,2026-03-01,2026-03-31\n", photos)
    assert rows(done, "station", "camera", "rests_on") == [("D", "D", "told"), ("S1", "S1", "photos")]
    assert rows(operation("", [("", "", "2026-03-02", "")])) == []


def test_metres_become_degrees(operation):
    east, north = Transformer.from_crs("EPSG:4326", "EPSG:32735").transform(-22.1, 28.5)
    done = operation(
        f"station,x,y,crs\nS1,{east:.2f},{north:.2f},EPSG:32735\nS2,{east + 3000:.2f},{north:.2f},EPSG:32735\n"
    )
    first, second = ((float(a), float(b)) for a, b in dict.fromkeys(rows(done, "latitude", "longitude")))
    assert first == pytest.approx((-22.1, 28.5), abs=1e-6)
    assert 2.98 < kilometres(*first, *second) < 3.02


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("28.5,-22.1", "are swapped: exchange them"),
        ("-22.1,-28.5", "without their sign: mend the longitude"),
        ("22.1,28.5", "without their sign: mend the latitude"),
        ("128.5,-22.1", "are swapped: exchange them"),
        ("0,0", "a place in the Atlantic"),
        ("-22.1,1028.5", "are on no globe"),
        ("22 06 S,28.5", "is no number: give decimal degrees"),
        ("-22.1,", "told without longitude"),
        ("inf,28.5", "is no number"),
    ],
)
def test_one_bad_place_costs_the_place(operation, place, said):
    done = operation(
        f"camera,station,latitude,longitude\nA,S1,-22.1,28.5\nB,S1,-22.1,28.5\nD,S4,{place}\nC,S2,-22.2,28.6\n",
        [*PHOTOS, ("S4", "D", "2026-03-03T10:00:00", "")],
    )
    assert reasons(done) == [("coordinates", "row 4")] and said in done.rejected[0][3]
    assert rows(done, "station", "latitude")[-1] == ("S4", "") and done.counts["located"] == 2


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            "station,latitude,longitude\nS1,128.5,-22.1\nS2,128.6,-22.2\n",
            "row 2: latitude 128.5 and longitude -22.1 are",
        ),
        ("station,x,y,crs\nS1,650000,7550000,\nS2,651000,7550000,\n", "crs is '', which is no coordinate system"),
        ("station,x,y,crs\nS1,650000,7550000,EPSG:4326\n", "which is not in metres"),
        ("station,start,end\nX1,2026-03-01,2026-03-31\n", "the camera 'X1' at 'X1' has no photo, nor has any other"),
        ("place,start,end\nS1,2026-03-01,2026-03-31\n", "it must have station or camera"),
        ("station,camera\nS1,A\n", "what is known of start and end"),
        ("station,start,end\nS1,03/04/2026,31/04/2026\n", "date_order"),
        ("station,start,end\nS1,spring,summer\n", "is no date that is understood"),
    ],
)
def test_what_makes_the_whole_meaningless_stops(operation, table, said):
    with pytest.raises(PelageError, match=said.replace("(", r"\(")) as stopped:
        operation(table)
    assert "cameras.csv" in str(stopped.value)


def test_a_camera_does_not_run_backwards_nor_twice_at_a_time(operation):
    done = operation(
        "station,camera,start,end\n"
        "S1,A,2026-03-01,2026-03-10\n"
        "S1,A,2026-03-08,2026-03-21\n"  # overlaps
        "S1,B,2026-03-21,2026-03-01\n"  # backwards
        "S3,C,2026-02-20,2026-03-20\n"  # C took its photos at S2
        "S2,C,2026-03-01,2026-03-31\n"
        "S2,E,2026-03-01,\n"  # nothing tells its end
        ",,2026-03-01,2026-03-31\n"
    )
    assert sorted(reasons(done)) == [
        *(("camera", "row 8"), ("date", "row 7"), ("order", "row 4"), ("overlap", "row 3"), ("overlap", "row 5"))
    ]
    assert rows(done, "station", "camera", "rests_on") == [
        ("S1", "A", "told"),
        ("S1", "B", "photos"),
        ("S2", "C", "told"),
    ]
    assert done.counts["outside"] == 1  # of A, on the 20th


def test_a_name_that_photos_of_two_stations_have_is_of_two_cameras(operation):
    photos = [("S1", "A", "2026-03-02T10:00:00", ""), ("S2", "A", "2026-03-02T10:00:00", "")]
    done = operation("station,camera,start,end\nS1,A,2026-03-01,2026-03-31\nS2,A,2026-03-01,2026-03-31\n", photos)
    assert len(done.table) == 2 and done.rejected == []


def test_a_station_is_at_one_place(operation):
    done = operation("station,camera,latitude,longitude\nS1,A,-22.1,28.5\nS1,B,-22.1,28.51\nS2,C,-22.2,28.6\n")
    assert reasons(done) == [("coordinates", "row 3")] and "1.0 km from where it is by" in done.rejected[0][3]
    assert rows(done, "camera", "longitude") == [("A", "28.500000"), ("B", "28.500000"), ("C", "28.600000")]


def test_photos_outside_the_days_are_counted_and_suspect_clocks_are_not(operation):
    done = operation(
        "camera,start,end\nA,2026-03-03,2026-03-31\nB,2026-03-01,2026-03-05T09:59:59\nC,2026-03-09T12:00,2026-03-31\n"
    )
    assert done.counts["outside"] == 3  # A on the 2nd, B, C on the 6th; C's 9th may be after noon


def test_a_data_set_names_its_table_and_sources_are_put_together(photo_folder, brought, tmp_path):
    one = photo_folder({"L1/S1_20260302_100000.jpg": None, "L2/S1_20260303_100000.jpg": None}, "one")
    other = photo_folder({"L1/S2_20260402_100000.jpg": None, "L2/S2_20260403_100000.jpg": None}, "other")
    pattern = r"(?P<identity>[^/]+)/(?P<station>S\d+)_(?P<date>\d{8}_\d{6})"
    (other / "days.csv").write_text("station;latitude;longitude;start;end\nS2;-22,2;28,6;01.04.2026;30.04.2026\n")
    common = {"source": "folder", "path_pattern": pattern}
    sources = [
        {"name": "a", "path": str(one), **common},
        {"name": "b", "path": str(other), "deployments": str(other / "days.csv"), "date_order": "dmy", **common},
    ]
    done = brought(sources=sources)
    assert list(done.deployments.itertuples(index=False, name=None)) == [
        ("S1", "S1", "", "", "2026-03-02T10:00:00", "2026-03-03T10:00:00", "photos"),
        ("S2", "S2", "-22.200000", "28.600000", "2026-04-01T00:00:00", "2026-04-30T23:59:59", "told"),
    ]
    assert done.counts["deployments"]["told"] == 1
    assert done.files.set_index("path").loc["days.csv", "verdict"] == "table"

    whole = tmp_path / "whole.csv"
    whole.write_text("station,start,end\nS1,2026-01-01,2026-12-31\nS2,2026-01-01,2026-12-31\n")
    done = brought(sources=sources, deployments=str(whole))
    assert set(done.deployments["start"]) == {"2026-01-01T00:00:00"} and done.counts["deployments"]["located"] == 0


def test_an_edited_table_changes_the_inventory(tmp_path, monkeypatch):
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "days.csv"
    entry = {"source": "folder", "path": "photos", "deployments": str(file)}
    with pytest.raises(PelageError, match=r"datasets.mine.deployments is .* there is no file"):
        deployment_rows("mine", deployment_tables(entry, "mine"))
    file.write_text("station,start,end\nS1,2026-01-01,2026-12-31\n")
    (before,) = deployment_rows("mine", deployment_tables(entry, "mine"))
    assert before[:3] == ("mine", str(file), "deployments")
    file.write_text("station,start,end\nS1,2026-01-01,2026-12-30\n")
    (after,) = deployment_rows("mine", deployment_tables(entry, "mine"))
    assert before[4] != after[4]


def test_a_camtrap_dp_package_tells_its_deployments(photo_folder, brought):
    """Photos on the cameras' wall clock (+02:00), deployments in UTC; the second camera has failed and come back."""
    root = photo_folder({"m/1.jpg": None, "m/2.jpg": None})
    tables = {
        "deployments": "deploymentID,locationID,latitude,longitude,deploymentStart,deploymentEnd,cameraID\n"
        "d1,w1,-22.1,28.5,2026-03-01T08:00:00Z,2026-03-31T08:00:00Z,c1\n"
        "d2,w2,-22.2,28.6,2026-03-01T08:00:00Z,2026-03-09T08:00:00Z,c2\n"
        "d3,w2,-22.2,28.6,2026-03-15T08:00:00Z,2026-03-31T08:00:00Z,c2\n",
        "media": "mediaID,deploymentID,timestamp,filePath,fileMediatype\n"
        "m1,d1,2026-03-02T10:00:00+02:00,m/1.jpg,image/jpeg\n"
        "m2,d2,2026-03-09T09:59:00+02:00,m/2.jpg,image/jpeg\n",
        "observations": "observationID,deploymentID,mediaID,observationType,individualID,observationLevel\n"
        "o1,d1,m1,animal,L1,media\no2,d2,m2,animal,L2,media\n",
    }
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text)
    resources = [{"name": name, "path": f"{name}.csv"} for name in tables]
    (root / "datapackage.json").write_text(json.dumps({"resources": resources}))
    done = brought(root, source="camtrap_dp")
    assert list(done.deployments.itertuples(index=False, name=None)) == [
        ("w1", "c1", "-22.100000", "28.500000", "2026-03-01T10:00:00", "2026-03-31T10:00:00", "told"),
        ("w2", "c2", "-22.200000", "28.600000", "2026-03-01T10:00:00", "2026-03-09T10:00:00", "told"),
        ("w2", "c2", "-22.200000", "28.600000", "2026-03-15T10:00:00", "2026-03-31T10:00:00", "told"),
    ]
    assert done.counts["deployments"]["outside"] == 0
