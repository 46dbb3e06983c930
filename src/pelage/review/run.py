"""Run: what the pipeline left for the page, read once. Nothing here changes what is in the run's folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pelage.animals.evidence import Evidence
from pelage.animals.links import metres
from pelage.animals.naming import Named, People, name_animals, practise
from pelage.animals.suspects import SUSPECT_COLUMNS
from pelage.animals.units import GALLERY, NAMED, PLACE_NUMBERS, SEEN, Units, animals_seen, of_one_animal, units_of
from pelage.common.errors import PelageError
from pelage.common.files import sha256_file
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.tables import crop_file, read_parquet, read_table
from pelage.matching.fusion import read_methods
from pelage.matching.rankings import FUSED, RECIPROCAL_RANK, ranking_files
from pelage.split.protocols import PRACTICE, SURVEY, read_split

NEEDED = (
    "fused.parquet",
    "split.csv",
    "individuals.csv",
    "links.parquet",
    "suspects.csv",
    "deployments.csv",
    "numbers/fuse.json",
)
"""What the pipeline has to have made before there is anything to decide."""


@dataclass(frozen=True)
class Photo:
    """A crop: where and when it was taken, and the SHA-256 of its photo."""

    crop: str
    unit: str
    camera: str
    date: str
    sha256: str


@dataclass(frozen=True)
class Run:
    """Tables of a run.

    Attributes:
        data: The folder `data`.
        part: What is compared, such as `flank`.
        methods: What the probabilities are made of.
        units: Of what the source named, and of the survey.
        pairs: Photo pairs of the survey, `query, candidate, score`.
        evidence: What they are worth; None where scores are no probabilities.
        deployments: `station, latitude, longitude` and more.
        wanted: The section `individuals`.
        suspects: Rows of `data/suspects.csv`.
        likeliest: By unit, whom the last run took it for.
        clean: `image_id, sha256` and more, a row a photo.
        hashes: SHA-256 of each crop's image by crop id.
        version: Of the run: the hash of its links.
    """

    data: Path
    part: str
    methods: list[str]
    units: Units
    pairs: pd.DataFrame
    evidence: Evidence | None
    deployments: pd.DataFrame
    wanted: Mapping[str, Any]
    suspects: pd.DataFrame
    likeliest: dict[str, str]
    clean: pd.DataFrame
    hashes: dict[str, str]
    version: str
    _scores: dict[str, Scores] = field(default_factory=dict)
    _matches: dict[str, Matches | None] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Path) -> Run:
        """Read a run.

        Raises:
            PelageError: The pipeline has not come so far.
        """
        missing = [name for name in NEEDED if not (data / name).exists()]
        if missing:
            raise PelageError(f"{data / missing[0]} is not there. Run `dvc repro` first; the page shows what it made.")
        params = read_params()
        part, methods, _ = read_methods(params)
        tables = {name: read_table(data / f"{name}.csv", **told) for name, told in SEEN.items()}
        seen = animals_seen(tables, read_split(data / "split.csv"), part, of_one_animal(params))
        units = units_of(seen, NAMED, SURVEY)
        fused = read_parquet(data / "fused.parquet", categories=["protocol", "query", "candidate"])
        calibration = json.loads((data / "numbers/fuse.json").read_text(encoding="utf-8"))["calibration"]
        practice = fused[fused["protocol"] == PRACTICE]
        told = read_table(data / "individuals.csv", required=["unit", "likeliest"])
        pictures = Packs(data / "views/crop" / part, data)
        return cls(
            data=data,
            part=part,
            methods=methods,
            units=units,
            pairs=fused[fused["protocol"] == SURVEY],
            evidence=practise(units_of(seen, GALLERY, PRACTICE), practice) if calibration != RECIPROCAL_RANK else None,
            deployments=read_table(
                data / "deployments.csv", numbers=PLACE_NUMBERS, required=["station", *PLACE_NUMBERS]
            ),
            wanted=params["individuals"],
            suspects=read_table(data / "suspects.csv", {"probability": float}, SUSPECT_COLUMNS),
            likeliest=dict(zip(told["unit"], told["likeliest"], strict=True)),
            clean=tables["clean"],
            hashes={
                name: pictures.sha256(file) for name in units.crops["crop_id"] if (file := crop_file(name)) in pictures
            },
            version=sha256_file(data / "links.parquet")[:12],
        )

    def name(self, people: People) -> Named:
        """Return the clusters as the stage `individuals` makes them, without draws."""
        wanted = {**self.wanted, "draws": 0}
        return name_animals(self.units, self.pairs, self.evidence, self.deployments, **wanted, people=people)

    @cached_property
    def places(self) -> dict[str, tuple[float, float]]:
        """Return latitude and longitude by station, where they are known."""
        where = self.deployments.dropna(subset=["latitude", "longitude"]).drop_duplicates("station")
        return dict(zip(where["station"], zip(where["latitude"], where["longitude"], strict=True), strict=True))

    @cached_property
    def photos(self) -> dict[str, Photo]:
        """Return the photos by crop id, in order of date."""
        crops = self.units.crops.assign(image_id=self.units.crops["crop_id"].str.rsplit("#", n=1).str[0])
        rows = crops.merge(self.clean[["image_id", "camera", "date", "sha256"]], "left", on="image_id").fillna("")
        rows = rows.sort_values(["date", "crop_id"], kind="stable")
        columns = (rows[name] for name in ("crop_id", "unit", "camera", "date", "sha256"))
        return {row[0]: Photo(*row) for row in zip(*columns, strict=True)}

    @cached_property
    def of_unit(self) -> dict[str, list[Photo]]:
        """Return the photos of each unit, in order of date."""
        found: dict[str, list[Photo]] = {}
        for photo in self.photos.values():
            found.setdefault(photo.unit, []).append(photo)
        return found

    @cached_property
    def row(self) -> dict[str, dict[str, str]]:
        """Return the row of each unit."""
        return {row["unit"]: row for row in self.units.table.to_dict("records")}

    @cached_property
    def named(self) -> set[str]:
        """Return the units that the source named."""
        return set(self.units.table.loc[self.units.table["scope"] == NAMED, "unit"])

    def apart(self, one: str, other: str) -> tuple[float | None, float | None]:
        """Return the kilometres and the days between two units, None where a place or a date is missing."""
        a, b = self.row[one], self.row[other]
        places = [self.places.get(row["station"]) for row in (a, b)]
        away = None if None in places else float(metres(np.array(places[0]), np.array([places[1]]))[0]) / 1000
        dates = [pd.to_datetime(row["date"], errors="coerce") for row in (a, b)]
        days = None if any(pd.isna(date) for date in dates) else abs((dates[0] - dates[1]).total_seconds()) / 86400
        return away, days

    def scores(self, query: str, candidate: str) -> list[tuple[str, int | None, float | None]]:
        """Return what each method says of a pair of crops: rank and score, asked from either side."""
        told = []
        for method in (*self.methods, FUSED):
            if method not in self._scores:
                self._scores[method] = Scores.read(ranking_files(method)[0])
            told.append((method, *self._scores[method].of(query, candidate)))
        return told

    def lines(self, query: str, candidate: str) -> list[list[float]]:
        """Return matched keypoints of a pair of crops by the first method that has some.

        Each is `[x, y, x, y, score]`, shares of width and height of the query's and the candidate's crop.
        """
        for method in self.methods:
            path = self.data / "matches" / f"{method}.parquet"
            if method not in self._matches:
                self._matches[method] = Matches.read(path) if path.exists() else None
            found = self._matches[method] and self._matches[method].of(query, candidate)
            if found:
                return found
        return []


class Pairs:
    """Rows of a table found by a pair of crops: kept sorted, not as a dictionary of a million pairs."""

    def __init__(self, table: pd.DataFrame) -> None:
        names = pd.Index(pd.unique(pd.concat([table["query"], table["candidate"]], ignore_index=True).astype(str)))
        codes = [names.get_indexer(table[column].astype(str)) for column in ("query", "candidate")]
        key = codes[0].astype(np.int64) * max(len(names), 1) + codes[1]
        order = np.argsort(key, kind="stable")
        self._names, self._key, self._rows = names, key[order], table.iloc[order].reset_index(drop=True)

    def rows(self, query: str, candidate: str) -> pd.DataFrame:
        """Return the rows of a pair."""
        codes = self._names.get_indexer([query, candidate])
        if (codes < 0).any():
            return self._rows.iloc[:0]
        key = codes[0] * len(self._names) + codes[1]
        start, end = np.searchsorted(self._key, [key, key + 1])
        return self._rows.iloc[start:end]


class Scores(Pairs):
    """The ranking of a method."""

    @classmethod
    def read(cls, path: Path) -> Scores:
        """Read the rows of the survey."""
        return cls(_of_survey(path, ["query", "candidate", "rank", "score"]))

    def of(self, query: str, candidate: str) -> tuple[int | None, float | None]:
        """Return rank and score of a pair, asked either way; the better one."""
        rows = pd.concat([self.rows(query, candidate), self.rows(candidate, query)])
        if rows.empty:
            return None, None
        best = rows.sort_values("rank", kind="stable").iloc[0]
        return int(best["rank"]), float(best["score"])


class Matches(Pairs):
    """Matched keypoints of a method."""

    PLACES = ("query_x", "query_y", "candidate_x", "candidate_y", "score")

    @classmethod
    def read(cls, path: Path) -> Matches:
        """Read the rows of the survey."""
        return cls(_of_survey(path, ["query", "candidate", *cls.PLACES]))

    def of(self, query: str, candidate: str) -> list[list[float]]:
        """Return the matches of a pair, asked either way."""
        rows = self.rows(query, candidate)[list(self.PLACES)]
        if rows.empty:
            turned = ["candidate_x", "candidate_y", "query_x", "query_y", "score"]
            rows = self.rows(candidate, query)[turned]
        return rows.to_numpy(float).round(4).tolist()


def _of_survey(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    table = pd.read_parquet(path, columns=list(columns), filters=[("protocol", "==", SURVEY)])
    return table.reset_index(drop=True)


def hashes_for(photos: Mapping[str, Photo], crops: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of the photo of each crop, which a journal keeps."""
    return {crop: photos[crop].sha256 for crop in crops if crop in photos and photos[crop].sha256}
