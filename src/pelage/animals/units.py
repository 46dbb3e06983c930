"""Units: what is named as a whole, an encounter and a flank of one animal, and what is known of them without a match.

Photos of one encounter and flank show one animal, unless a photo of the encounter shows several: then each animal of
each photo is a unit of its own. The two flanks of an encounter are one animal only where that is proven: both cameras
of the station took the animal at one moment, one from each side, and no photo of the encounter shows another one; or
where the source says so (`one_animal` of the data set).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from pelage.catalogue.clocks import CLOCK_COLUMNS, CLOCK_NUMBERS, right_dates, seconds_of
from pelage.common.params import entry
from pelage.common.tables import UNKNOWN
from pelage.split.protocols import OPPOSITE, PRACTICE, REHEARSAL, SURVEY

NAMED, GALLERY = "named", "gallery"
SCOPE_OF = {"val": PRACTICE, "test": REHEARSAL, "survey": SURVEY}
"""Scope in which the crops of a subset are decided upon as if, or because, nobody had named them."""

MOMENT_S = 10.0
"""Seconds between two photos of a paired station that show one animal from both sides. Other animals of a group follow
one another more slowly, and then a photo of the encounter shows two of them sooner or later."""

TORN = " (asked)"
"""Ends the name of the part of an encounter whose crops are asked, where others of it are in the gallery."""

FLANK = "flank"
UNIT_COLUMNS = [
    "unit", "scope", "encounter", "side", "identity", "photos", "best_crop", "station", "camera", "date", "flags",
]  # fmt: skip
CROP_COLUMNS = ["unit", "scope", "crop_id"]
SEEN = {
    "clean": {
        "required": ["image_id", "encounter", "station", "camera", "place", "date", "flags", "sha256", "rests_on"],
    },
    "clocks": {"numbers": CLOCK_NUMBERS, "required": CLOCK_COLUMNS},
    "animals": {
        "numbers": {"shared": bool},
        "required": ["image_id", "animal", "identity", "orientation", "shared"],
    },
    "detections": {
        "numbers": {"w": float, "h": float},
        "required": ["crop_id", "image_id", "animal", "part", "w", "h", "orientation"],
    },
}
"""Tables that tell which animals were seen, and how they are read."""

PLACE_NUMBERS = {"latitude": float, "longitude": float}


@dataclass(frozen=True)
class Units:
    """Units of some scopes.

    Attributes:
        table: One row a unit, `UNIT_COLUMNS`, ordered by scope and `unit`: `photos` counts its photos, `best_crop` is
            its largest crop that may be compared (empty where there is none), `date` that of its first photo; `flags`
            are those that all of its photos have, with `several` where every crop of it shows another animal, too.
        crops: `unit, scope, crop_id`, the crops that may be compared; an id may hold blanks, so it is a row each.
        links: `unit, other, kind`: what is known of two units without a match, `must` or `cannot`; `unit < other`. Of
            two named ones the names tell.
    """

    table: pd.DataFrame
    crops: pd.DataFrame
    links: pd.DataFrame


def of_one_animal(params: Mapping[str, Any]) -> bool:
    """Tell whether the data set's encounters are of one animal each (`one_animal` of its entry)."""
    return bool(entry(params["datasets"], params["ingest"]["dataset"], "datasets").get("one_animal"))


def animals_seen(
    tables: Mapping[str, pd.DataFrame], split: pd.DataFrame, part: str, one_animal: bool = False
) -> pd.DataFrame:
    """Return one row an animal in a photo, with when, where, and the crop by which it may be compared.

    Args:
        tables: Rows of `data/clean.csv`, `clocks.csv`, `animals.csv`, `detections.csv`, by name, read as `SEEN` says.
        split: Rows of `data/split.csv`.
        part: The part that is compared. Only flanks have sides.
        one_animal: As `of_one_animal` tells.

    Returns:
        `image_id, animal, identity, encounter, station, camera, place, date, time` (seconds, by right clocks, or
        missing), `flags, side, crop_id` (empty: no crop of the part), `area` (pixels of the crop), `subset` (empty:
        none), `gallery`, `shared`, `crowded`: a photo of its encounter shows several animals, and `one_animal`: its
        encounter has its number from a source whose encounters are of one animal each.
    """
    animals, detections = tables["animals"], tables["detections"]
    photos = tables["clean"].assign(date=right_dates(tables["clean"], tables["clocks"]))
    photos["time"] = seconds_of(photos["date"])
    crops = detections.loc[detections["part"] == part, SEEN["detections"]["required"]]
    crops = crops.assign(area=crops["w"] * crops["h"])
    crops = crops.merge(split.loc[split["part"] == part, ["crop_id", "subset", "gallery"]], "left", on="crop_id")
    crops = crops.sort_values("crop_id").drop_duplicates(["image_id", "animal"])
    seen = animals[SEEN["animals"]["required"]].merge(photos[[*SEEN["clean"]["required"], "time"]], on="image_id")
    seen = seen.merge(
        crops[["image_id", "animal", "crop_id", "area", "subset", "gallery", "orientation"]],
        "left",
        on=["image_id", "animal"],
        suffixes=("", "_crop"),
    )
    side = seen["orientation_crop"].fillna(seen["orientation"])
    seen["side"] = side.where(side.isin(OPPOSITE) & (part == FLANK), UNKNOWN)
    alone = ~seen["shared"] & ~seen["image_id"].duplicated(keep=False)
    seen["crowded"] = (~alone).groupby(seen["encounter"]).transform("any")
    filled = seen.assign(crop_id=seen["crop_id"].fillna(""), subset=seen["subset"].fillna(""))
    filled["area"], filled["gallery"] = filled["area"].fillna(0), filled["gallery"].eq(True)
    kept = ["image_id", "animal", "identity", "encounter", "station", "camera", "place", "date", "time", "flags"]
    kept += ["side", "crop_id", "area", "subset", "gallery", "shared", "crowded", "one_animal"]
    filled["one_animal"] = one_animal & (filled["rests_on"] == "source")
    return filled[kept].sort_values(["encounter", "time", "image_id", "animal"], ignore_index=True)


def units_of(seen: pd.DataFrame, *scopes: str) -> Units:
    """Return the units of scopes.

    * named: all animals that the source names, also those of whom no crop may be compared: they were there.
    * practice, rehearsal: the crops of `val`, of `test`, as if nobody had named them; `identity` is the truth.
    * survey: all that nobody has named. An encounter without a crop that may be compared is a unit without crops.
    * gallery: the named ones whose crops are in the gallery and not asked in another scope; their scope is named. Where
      a published split has crops of an encounter on both sides, it is two encounters, for nobody may know that.

    Args:
        seen: As `animals_seen` returns it.
        scopes: Some of the five.
    """
    if GALLERY in scopes:
        seen = _gallery_apart(seen, [subset for subset, scope in SCOPE_OF.items() if scope in scopes])
    rows = pd.concat([_rows_of(seen, scope) for scope in scopes], ignore_index=True)
    able = rows[(rows["crop_id"] != "") & (rows["subset"] != "none") & (rows["subset"] != "")]
    crops = able[CROP_COLUMNS].sort_values(["scope", "unit", "crop_id"], ignore_index=True)
    return Units(_unit_table(rows, able), crops, _known_links(rows))


def _gallery_apart(seen: pd.DataFrame, subsets: list[str]) -> pd.DataFrame:
    """Return animals of which those of `subsets` are not in the gallery, nor in an encounter with one that is."""
    asked = seen["subset"].isin(subsets)
    gallery = seen["gallery"] & ~asked
    torn = asked & seen["encounter"].isin(seen.loc[gallery, "encounter"])
    return seen.assign(gallery=gallery, encounter=seen["encounter"].where(~torn, seen["encounter"] + TORN))


def _rows_of(seen: pd.DataFrame, scope: str) -> pd.DataFrame:
    named, crowded = seen["identity"] != UNKNOWN, seen["crowded"]
    names = seen["identity"].where(named).groupby(seen["encounter"]).transform("nunique")
    who, side, first = seen["image_id"] + "#" + seen["animal"].astype(str), seen["side"], 1
    if scope in (NAMED, GALLERY):
        kept = named if scope == NAMED else named & seen["gallery"]
        who, numbered = seen["identity"], names > 1
    elif scope == SURVEY:
        able = seen["subset"] == SURVEY
        told = seen["encounter"].isin(seen.loc[able, "encounter"])
        crowded = crowded | (names > 1)
        kept = ~named & (able | ~told | crowded)
        side = side.where(able, UNKNOWN)
        who = who.where(crowded & able, "")  # what cannot be compared is one unit, the first
        numbered, first = crowded | (names > 0), names + 1
    else:
        kept, numbered = seen["subset"].map(SCOPE_OF) == scope, crowded
    name = seen["encounter"] + "|" + side
    numbered &= kept
    order = pd.Series(pd.factorize(who, sort=True)[0], seen.index).where(numbered)
    number = order.groupby(name).rank("dense").fillna(0) - 1 + first
    unit = name.where(~numbered, name + "|" + number.astype(int).astype(str)).astype(object)
    scope = NAMED if scope == GALLERY else scope
    return seen.assign(unit=unit, side=side, scope=scope, crowded=crowded)[kept]


def _unit_table(rows: pd.DataFrame, able: pd.DataFrame) -> pd.DataFrame:
    key = ["scope", "unit"]
    by = rows.groupby(key, sort=True)
    table = by[["encounter", "side", "identity", "station", "camera", "date"]].first()
    table["photos"] = by["image_id"].nunique()
    largest = able.sort_values(["area", "crop_id"], ascending=[False, True]).groupby(key)["crop_id"].first()
    table["best_crop"] = largest.reindex(table.index).fillna("")
    flagged = (rows["flags"] != "").groupby([rows[column] for column in key]).transform("all")
    of_all = rows[flagged].groupby(key)["flags"].agg(_in_all) if flagged.any() else pd.Series(dtype=object)
    flags = of_all.reindex(table.index).fillna("")
    several = by["shared"].any() & (table["best_crop"] == "")
    table["flags"] = (flags + several.map({True: " several", False: ""})).str.strip()
    return table.reset_index()[UNIT_COLUMNS]


def _in_all(flags: pd.Series) -> str:
    return " ".join(sorted(set.intersection(*(set(said.split()) for said in flags))))


def _known_links(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `must` and `cannot` links of units, those of several animals in one photo and of one animal alone."""
    links = []
    together = rows[rows.groupby("image_id")["unit"].transform("nunique") > 1]
    for _, units in together.groupby("image_id")["unit"]:
        links += [(*pair, "cannot") for pair in combinations(sorted(set(units)), 2)]
    alone = rows[~rows["crowded"] & (rows.groupby("encounter")["unit"].transform("nunique") > 1)]
    one = alone["encounter"].isin(encounters_of_one_animal(alone))
    flank = alone["encounter"] + "|" + alone["side"]
    told = [alone["encounter"].where(one), flank.where(~one & (alone["side"] != UNKNOWN))]
    for group in told:
        chain = alone.assign(group=group).dropna(subset="group").drop_duplicates(["group", "unit"])
        chain = chain.sort_values(["group", "unit"])
        follows = chain["group"].eq(chain["group"].shift()).to_numpy()
        ends = chain["unit"].shift()[follows], chain["unit"][follows]
        links += [(*pair, "must") for pair in zip(*ends, strict=True)]
    table = pd.DataFrame(links, columns=["unit", "other", "kind"], dtype=object)
    named = set(rows.loc[rows["scope"] == NAMED, "unit"])
    table = table[~(table["unit"].isin(named) & table["other"].isin(named))]
    return table.drop_duplicates().sort_values(["unit", "other"], ignore_index=True)


def sightings(seen: pd.DataFrame) -> dict[str, str]:
    """Return, by crop id, what photos that are known to show one animal have in common: an encounter, or a flank in it.

    A photo of an encounter that shows several animals has nothing in common with any other. Names are not looked at.

    Args:
        seen: As `animals_seen` returns it.
    """
    rows = seen[seen["crop_id"] != ""]
    alone = rows[~rows["crowded"]]
    one = rows["encounter"].isin(encounters_of_one_animal(alone))
    flank = rows["encounter"].where(one, rows["encounter"] + "|" + rows["side"])
    unclear = rows["crowded"] | (~one & (rows["side"] == UNKNOWN))
    return dict(zip(rows["crop_id"], flank.where(~unclear, rows["crop_id"]), strict=True))


def encounters_of_one_animal(seen: pd.DataFrame) -> set[str]:
    """Return the encounters whose photos, each of one animal alone, are known to show the same one.

    So it is unless there are both flanks; then the source must say it, or a left and a right one must be of two cameras
    of one station, and of one moment (`MOMENT_S`). Photos of no flank go with one flank as photos of the same flank go
    with one another.

    Args:
        seen: Rows of `animals_seen`.
    """
    flanks = seen[seen["side"].isin(OPPOSITE)].groupby("encounter")["side"].nunique()
    both = set(flanks.index[flanks == len(OPPOSITE)]) - set(seen.loc[seen["one_animal"], "encounter"])
    told = seen[seen["encounter"].isin(both) & (seen["station"] != "") & seen["time"].notna()]
    left, right = (told.loc[told["side"] == side, ["encounter", "station", "camera", "time"]] for side in OPPOSITE)
    met = left.merge(right, on=["encounter", "station"], suffixes=("", "_right"))
    met = met[(met["camera"] != met["camera_right"]) & ((met["time"] - met["time_right"]).abs() <= MOMENT_S)]
    return set(seen["encounter"]) - both | set(met["encounter"])
