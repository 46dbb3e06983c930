"""Habitat: a fence, polygons with holes, cells, and files that are none."""

import json

import numpy as np
import pytest

from pelage.animals.habitat import inside, read_habitat
from pelage.animals.spatial import Detections
from pelage.common.errors import PelageError

PLACES = np.array([[660000.0, 7550000.0], [663000.0, 7550000.0], [660000.0, 7553000.0]])
TOLD = Detections(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0, 1, 2]), np.ones((2, 3), bool), PLACES)
CRS = "EPSG:32735"
SQUARE = [[28.55, -22.15], [28.60, -22.15], [28.60, -22.10], [28.55, -22.10], [28.55, -22.15]]
HOLE = [[28.56, -22.14], [28.57, -22.14], [28.57, -22.13], [28.56, -22.13], [28.56, -22.14]]


def test_metres_around_the_stations(tmp_path):
    mask, words = read_habitat(500, tmp_path).mask(TOLD, CRS, "half_normal")
    assert mask.area == pytest.approx(3 * np.pi * 0.25, rel=0.04) and words == "within 0.5 km of a station"


def test_polygons_have_holes(tmp_path):
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [SQUARE, HOLE]}}
    (tmp_path / "area.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    mask, _ = read_habitat("area.geojson", tmp_path).mask(TOLD, CRS, "half_normal")
    whole = 0.05 * 110.75 * 0.05 * 111.32 * np.cos(np.deg2rad(22.125))
    assert mask.area == pytest.approx(whole * (1 - 0.04), rel=0.02)


def test_what_is_far_from_all_stations_counts_as_area_only(tmp_path):
    park = [[[28.0, -22.6], [29.2, -22.6], [29.2, -21.6], [28.0, -21.6]]]
    (tmp_path / "park.geojson").write_text(json.dumps({"type": "MultiPolygon", "coordinates": [park]}))
    mask, _ = read_habitat("park.geojson", tmp_path).mask(TOLD, CRS, "half_normal")
    assert mask.area == pytest.approx(1.2 * 111.32 * np.cos(np.deg2rad(22.1)) * 110.75, rel=0.02)
    reach = np.linalg.norm(mask.points[:, None] - PLACES, axis=2).min(axis=1).max()
    assert reach <= 10 * TOLD.spread() and mask.beyond > mask.area / 2 and len(mask.points) < 21_000


def test_a_habitat_elsewhere_is_refused(tmp_path):
    swapped = [[north, east] for east, north in SQUARE]
    (tmp_path / "area.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [swapped]}))
    with pytest.raises(PelageError, match="no cell within 50 km of any station"):
        read_habitat("area.geojson", tmp_path).mask(TOLD, CRS, "half_normal")


def test_inside_by_hand():
    ring = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], float)
    assert inside(np.array([[1.0, 1], [5, 1], [2, 2]]), [ring, ring / 4 + 1.5]).tolist() == [True, False, False]


def test_cells(tmp_path):
    rows = [
        f"{x},{y},{CRS},{int(x < 661000)}" for x in range(660000, 662000, 500) for y in range(7550000, 7551000, 500)
    ]
    (tmp_path / "cells.csv").write_text("\n".join(["x,y,crs,habitat", *rows]))
    mask, _ = read_habitat("cells.csv", tmp_path).mask(TOLD, CRS, "half_normal")
    assert mask.area == pytest.approx(4 * 0.25)


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("gone.geojson", None, "cannot be read"),
        ("a.geojson", "not json", "is no GeoJSON"),
        ("b.geojson", '{"type": "Point", "coordinates": [1, 2]}', "no polygon"),
        ("c.geojson", '{"type": "Polygon", "coordinates": [[1, 2]]}', "longitude and latitude"),
        ("d.geojson", '{"type": "Polygon", "coordinates": [[[660000, 7550000], [1, 2], [3, 4]]]}', "in degrees"),
        ("e.csv", "a,b\n1,2\n", "must have the columns"),
        ("f.csv", "x,y,crs\n1,2,nonsense\n3,4,nonsense\n", "no coordinate system"),
        ("g.csv", "longitude,latitude\n1,2\n", "fewer than two cells"),
    ],
)
def test_files_that_tell_no_place(tmp_path, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(PelageError, match=said):
        read_habitat(name, tmp_path)
