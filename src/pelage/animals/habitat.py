"""Where animals live: as far beyond the stations as they seem to move, up to a fence, or in a file's polygons or cells.

The density of spatial capture-recapture hardly depends on how far the mask reaches, if it reaches far enough; the
number of animals in a region is that of this region and of no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from scipy.spatial import cKDTree

from pelage.animals.spatial import MOST_CELLS, WIDE, Detections, Mask, cells_across, fine_mask, fit_with_buffer
from pelage.common.errors import PelageError
from pelage.common.tables import read_table

REACH = 10
"""Spreads of recaptures from a station beyond which it detects nobody; so far from all of them cells only count."""

FAR_KM = 50.0
"""A habitat whose nearest cell is farther from all stations is that of another survey."""

WGS84 = "EPSG:4326"
CELL_COLUMNS = {"latitude": float, "longitude": float, "x": float, "y": float, "habitat": bool}


@dataclass(frozen=True)
class Habitat:
    """Where animals live; with none of the three, as far as they seem to move.

    Attributes:
        metres: Around the stations.
        rings: `(V, 2)` longitudes and latitudes each, outlines and holes of polygons.
        cells: `(X, 2)` middles of square cells, in `crs`.
        crs: Of `cells`.
    """

    metres: float | None = None
    rings: tuple[np.ndarray, ...] = ()
    cells: np.ndarray | None = None
    crs: str = WGS84

    def mask(self, detections: Detections, crs: str, kernel: str) -> tuple[Mask, str]:
        """Return where centres may lie, and what that is in words.

        Args:
            detections: Their stations have places in `crs`; how far animals move tells how fine cells are.
            crs: A projection in metres.
            kernel: One of `spatial.KERNELS`.

        Raises:
            PelageError: The habitat file tells of another place.
        """
        spread = detections.spread()
        if self.rings:
            return self._of_polygons(crs, detections.places, spread), "in the polygons of the habitat file"
        if self.cells is not None:
            points = np.stack(Transformer.from_crs(self.crs, crs, always_xy=True).transform(*self.cells.T), axis=1)
            mask = Mask(points, float(np.median(_nearest(points)) / 1000) ** 2)
            return _near(mask, detections.places, spread), "in the cells of the habitat file"
        if self.metres:
            scale = min(spread or self.metres, self.metres / 3)
            return fine_mask(detections.places, self.metres, scale), f"within {self.metres / 1000:g} km of a station"
        fitted, mask = fit_with_buffer(detections, kernel)
        if not fitted.converged:
            return mask, "as far beyond the stations as animals were seen to move"
        return mask, f"within {WIDE * fitted.sigma / 1000:.2g} km of a station, four times sigma"

    def _of_polygons(self, crs: str, places: np.ndarray, spread: float) -> Mask:
        transform = Transformer.from_crs(WGS84, crs, always_xy=True).transform
        rings = [np.stack(transform(*ring.T), axis=1) for ring in self.rings]
        corners = np.concatenate(rings)
        low, high = corners.min(axis=0), corners.max(axis=0)
        width = float((high - low).max())
        cells = cells_across(width, spread)
        mask = _near(_grid(rings, low, high, width / cells), places, spread)
        many = len(mask.points) / MOST_CELLS
        return _near(_grid(rings, low, high, width / cells * np.sqrt(many)), places, spread) if many > 1 else mask


def _grid(rings: list[np.ndarray], low: np.ndarray, high: np.ndarray, spacing: float) -> Mask:
    axes = [np.arange(low[axis] + spacing / 2, high[axis], spacing) for axis in (0, 1)]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    return Mask(points[inside(points, rings)], (spacing / 1000) ** 2)


def _near(mask: Mask, places: np.ndarray, spread: float) -> Mask:
    """Return the cells of a mask that matter for detection, of the others only the area.

    Raises:
        PelageError: No station is in the mask, or nearly.
    """
    nearest = cKDTree(places).query(mask.points)[0] if len(mask.points) else np.array([np.inf])
    apart = nearest.min() / 1000
    if apart > FAR_KM:
        raise PelageError(
            f"The habitat file has no cell within {FAR_KM:g} km of any station (the nearest is {apart:.0f} km "
            "away). Are longitude and latitude swapped, in it or in the deployments? Give the habitat of this survey."
        )
    matter = nearest <= max(REACH * spread, nearest.min()) if spread else np.ones(len(nearest), bool)
    return Mask(mask.points[matter], mask.cell, float((~matter).sum() * mask.cell))


def _nearest(points: np.ndarray) -> np.ndarray:
    return cKDTree(points).query(points, k=2)[0][:, 1]


def inside(points: np.ndarray, rings: list[np.ndarray]) -> np.ndarray:
    """Return which points `(N, 2)` an odd number of rings encloses: inside outlines and outside their holes."""
    within = np.zeros(len(points), bool)
    x, y = points.T
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if y0 != y1:
                crosses = (y0 > y) != (y1 > y)
                within ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return within


def read_habitat(told: str | float | None, root: Path) -> Habitat:
    """Return what a data set's entry tells of where animals live.

    Args:
        told: Metres around the stations, a path from `root` of a GeoJSON file of polygons (longitude, latitude) or of a
            CSV of cells (`longitude, latitude`, or `x, y, crs`; a row whose `habitat` is 0 is left out), or None.
        root: Folder of the project.

    Raises:
        PelageError: The file is missing, or tells no place.
    """
    if told is None:
        return Habitat()
    if isinstance(told, int | float):
        return Habitat(metres=float(told))
    path = root / Path(told).expanduser()
    return _cells_of(path) if path.suffix.lower() == ".csv" else _polygons_of(path)


def _polygons_of(path: Path) -> Habitat:
    try:
        read = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PelageError(f"{path} cannot be read: {error.strerror}. Give the habitat file's path.") from None
    except ValueError as error:
        raise PelageError(f"{path} is no GeoJSON: {error}. Give polygons as GeoJSON, or cells as a .csv.") from None
    try:
        rings = tuple(np.array([point[:2] for point in ring], float) for ring in _rings(read))
    except (TypeError, ValueError, IndexError):
        raise PelageError(f"{path}: its polygons are not lists of longitude and latitude. Export it again.") from None
    rings = tuple(ring for ring in rings if len(ring) > 2)
    if not rings:
        raise PelageError(f"{path} has no polygon: give the habitat's outline as Polygon or MultiPolygon.")
    corners = np.concatenate(rings)
    if not np.isfinite(corners).all() or (np.abs(corners) > (180, 90)).any():
        raise PelageError(f"{path}: GeoJSON is longitude and latitude in degrees, longitude first. Export it so.")
    return Habitat(rings=rings)


def _rings(node: Any) -> list:
    """Return the rings of all polygons below a GeoJSON object."""
    if not isinstance(node, Mapping):
        return []
    parts = [*(node.get("features") or []), *(node.get("geometries") or []), node.get("geometry")]
    found = [ring for part in parts for ring in _rings(part)]
    coordinates = node.get("coordinates") or []
    if node.get("type") == "Polygon":
        found += coordinates
    elif node.get("type") == "MultiPolygon":
        found += [ring for polygon in coordinates for ring in polygon]
    return found


def _cells_of(path: Path) -> Habitat:
    table = read_table(path, CELL_COLUMNS)
    if "habitat" in table:
        table = table[table["habitat"]]
    if {"longitude", "latitude"} <= set(table):
        columns, crs = ["longitude", "latitude"], WGS84
    elif {"x", "y", "crs"} <= set(table) and table["crs"].nunique() == 1:
        columns, crs = ["x", "y"], _projection(table["crs"].iat[0], path)
    else:
        raise PelageError(f"{path} must have the columns longitude and latitude, or x, y and one crs. Add them.")
    cells = table[columns].dropna().drop_duplicates()
    if len(cells) < 2:
        raise PelageError(f"{path} has fewer than two cells of habitat. Give the middle of each cell, a row each.")
    return Habitat(cells=cells.to_numpy(float), crs=crs)


def _projection(system: str, path: Path) -> str:
    try:
        return CRS.from_user_input(system).to_string()
    except CRSError:
        raise PelageError(f"{path}: crs {system!r} is no coordinate system. Give one such as EPSG:32633.") from None
