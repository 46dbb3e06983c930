"""Tables as the stages ingest, individuals and count write them, made up from a table of crops."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pelage.report.animals_page import Answers

REASONS = ("blurred", "no flank", "several animals", "too little evidence")
NO_ESTIMATES = pd.DataFrame(
    columns=[
        *("population", "estimator", "n", "se", "low", "high", "animals", "captures", "occasions"),
        *("carries_error", "note"),
    ]
)
REHEARSAL = {"pairwise_precision": 0.951, "pairwise_recall": 0.912, "ari": 0.93, "ghosts": 2, "merges": 1}
REHEARSAL |= {"found": 25, "true": 24, "units": 120, "share_decided": 0.8333, "sure_precision": 0.974}
REHEARSAL |= {"known_wrong": 2, "new_wrong": 1}
CAVEATS = ("3 units are not counted: nobody can tell whose they are.", "M0 and Mt are for comparison.")


def crops_of(names, encounters, photos, stations=12, seed=1):
    """Return a split: each animal with `encounters` encounters of `photos` crops at `stations` stations."""
    rng = np.random.default_rng(seed)
    rows = []
    for animal, name in enumerate(names):
        for visit in range(encounters):
            station = f"S{int(rng.integers(stations)) + 1:02d}"
            start = pd.Timestamp("2025-03-01") + pd.Timedelta(minutes=int(rng.integers(90 * 24 * 60)))
            side = ("left", "right", "unknown")[int(rng.choice(3, p=[0.48, 0.48, 0.04]))]
            for shot in range(photos):
                date = (start + pd.Timedelta(seconds=20 * shot)).isoformat()
                image_id = f"{station}_{animal:05d}_{visit:03d}_{shot:02d}"
                encounter = f"{station}@{start.isoformat()}"
                rows.append((f"{image_id}#0", image_id, "flank", name, encounter, station, station, date, side))
    columns = ["crop_id", "image_id", "part", "identity", "encounter", "camera", "station", "date", "orientation"]
    return pd.DataFrame(rows, columns=columns)


def answers_of(
    split, survey=(), unclear=0.05, seed=1, coordinates=True, headline="", estimates=NO_ESTIMATES, count=None
):
    """Return what would have been found: crops of `survey` had no name, and are named rightly or not at all.

    Args:
        split: Rows of `data/split.csv`; identities are true.
        survey: Crops that had no name; an animal with these only is new.
        unclear: Share of units without a name for which nobody can tell.
    """
    rng = np.random.default_rng(seed)
    asked = split["crop_id"].isin(set(survey))
    fresh = sorted(set(split.loc[asked, "identity"]) - set(split.loc[~asked, "identity"]))
    called = {name: f"new-{n:03d}" for n, name in enumerate(fresh, 1)}
    scoped = split.assign(scope=np.where(asked, "survey", "named"))
    keys = ["scope", "encounter", "orientation", "identity"]
    units = scoped.groupby(keys, sort=False).agg(
        crops=("crop_id", list),
        photos=("crop_id", "size"),
        best_crop=("crop_id", "first"),
        station=("station", "first"),
        camera=("camera", "first"),
        date=("date", "min"),
    )
    units = units.reset_index().rename(columns={"orientation": "side"})
    units.insert(0, "unit", units["encounter"] + "|" + units["side"])
    again = units.groupby(["scope", "unit"]).cumcount()
    units["unit"] += again.map(lambda n: f"|{n}" if n else "")
    known = units["scope"] == "named"
    lost = ~known & (rng.random(len(units)) < unclear)
    rows = units.drop(columns=["crops", "identity", "camera"]).assign(
        individual=units["identity"].map(lambda name: called.get(name, name)).where(~lost, ""),
        answer=np.where(
            known, "named", np.where(lost, "cannot_tell", np.where(units["identity"].isin(fresh), "new", "known"))
        ),
        probability=np.where(known, 1.0, np.round(0.7 + 0.3 * rng.random(len(units)) ** 0.3, 4)),
        reason=np.where(lost, rng.choice(REASONS, len(units)), ""),
        decided_by=np.where(known, "source", np.where(rng.random(len(units)) < 0.1, "Anna", "pelage")),
        weakest_link=np.where(known, "", units["best_crop"] + " ~ " + units["best_crop"].shift(1).fillna("gone#0")),
        likeliest=units["identity"],
    )
    ends = rows.loc[~known, "weakest_link"].str.split(" ~ ")
    links = pd.DataFrame({"query": ends.str[0], "candidate": ends.str[1], "probability": 0.83})
    mine = units[~known]
    first = mine.head(max(0, min(40, len(mine) - 1)))
    questions = pd.DataFrame(
        {
            "place": range(1, len(first) + 1),
            "unit": first["unit"].to_list(),
            "other": mine["unit"].iloc[1 : len(first) + 1].to_list(),
            "individual": rows.loc[mine.index[1 : len(first) + 1], "likeliest"].to_list(),
            "probability": rng.random(len(first)).round(3),
            "delta": -np.arange(len(first), dtype=float),
            "why": "Two photos say yes, one says no",
        }
    )
    stations = sorted(set(split["station"]) - {""})
    deployments = pd.DataFrame(
        {
            "station": stations,
            "camera": stations,
            "latitude": (-24.5 + 0.2 * rng.random(len(stations))).astype(str) if coordinates else "",
            "longitude": (31.4 + 0.3 * rng.random(len(stations))).astype(str) if coordinates else "",
            "start": "2025-03-01T00:00:00",
            "end": "2025-05-30T00:00:00",
            "rests_on": "told",
        }
    )
    crops = units[["unit", "scope", "crops"]].explode("crops").rename(columns={"crops": "crop_id"})
    units = units.drop(columns="crops")
    return Answers(
        individuals=rows,
        crops=crops,
        links=links,
        questions=questions,
        deployments=deployments,
        estimates=estimates,
        rehearsal=REHEARSAL if len(mine) else {},
        grouped=rows["individual"].nunique(),
        count=count or {},
        headline=headline,
        caveats=CAVEATS,
    )


def photo_of(crop_id):
    """Return a striped picture that differs from crop to crop."""
    rng = np.random.default_rng(list(crop_id.encode()))
    coarse = rng.integers(0, 255, (6, 12, 3), np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), np.uint8)) ^ rng.integers(0, 40, (96, 192, 3), np.uint8)
