"""A survey drawn at random: animals that pass stations, photos of them, and how alike pairs of photos are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pelage.animals.units import SURVEY, animals_seen
from pelage.catalogue.clocks import CLOCK_COLUMNS

SIDES = ("left", "right")


def draw(
    seed: int,
    known: int = 12,
    new: int = 4,
    visits: int = 4,
    subset: str = SURVEY,
    asked_visits: int = 2,
    alike: float = 3.0,
    missed: float = 0.1,
    practised: int = 12,
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Draw a survey.

    Args:
        seed: Of all draws.
        known: Animals with `visits` named encounters (`train`).
        new: Animals that nobody named.
        visits: Encounters of an animal.
        subset: What is asked: `survey` or `test`.
        asked_visits: Encounters of each known animal that are asked about; the last ones.
        alike: Mean log-odds of photo pairs of one animal; those of others have its negative.
        missed: Share of encounters whose photos look like nothing.
        practised: Known animals that have another encounter in `val`.

    Returns:
        Tables as `animals_seen` takes them, the split, photo pairs with `protocol`, and the animal of each photo.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(known + new):
        name = f"L{number:02d}"
        subsets = ["train"] * visits + ["val"] * (number < practised) + [subset] * asked_visits
        for place, own in enumerate(subsets if number < known else [subset] * visits):
            day = pd.Timestamp("2025-03-01") + pd.Timedelta(days=7 * place, hours=number)
            blind = rng.random() < missed and own != "train"
            for camera, side in zip("AB", SIDES, strict=True):
                for _ in range(int(rng.integers(1, 3))):
                    rows.append((name, own, f"S{rng.integers(1, 6)}", camera, day, side, blind, f"{name}-{place}"))
    table = pd.DataFrame(rows, columns=["animal", "subset", "station", "camera", "day", "side", "blind", "encounter"])
    table["station"] = table.groupby("encounter")["station"].transform("first")
    table["image_id"] = [f"photo {number:04d}" for number in range(len(table))]
    table["crop_id"] = table["image_id"] + "#0"
    told = table["animal"].where(table["subset"] != SURVEY, "unknown")
    photos = pd.DataFrame({
        "image_id": table["image_id"], "encounter": table["encounter"], "station": table["station"],
        "camera": table["station"] + table["camera"], "place": table["station"],
        "date": table["day"].dt.strftime("%Y-%m-%dT%H:%M:%S"), "flags": "", "sha256": table["image_id"],
        "rests_on": "time",
    })  # fmt: skip
    animals = pd.DataFrame({
        "image_id": table["image_id"], "animal": "0", "identity": told, "orientation": table["side"], "shared": False,
    })  # fmt: skip
    detections = pd.DataFrame({
        "crop_id": table["crop_id"], "image_id": table["image_id"], "animal": "0", "part": "flank", "w": 200.0,
        "h": 100.0, "orientation": table["side"],
    })  # fmt: skip
    split = pd.DataFrame({
        "crop_id": table["crop_id"], "part": "flank", "subset": table["subset"], "gallery": table["subset"] == "train",
    })  # fmt: skip
    tables = {"clean": photos, "clocks": pd.DataFrame(columns=CLOCK_COLUMNS), "animals": animals}
    tables["clocks"] = tables["clocks"].astype({"offset_s": float, "drift_s_per_day": float, "visits": int})
    pairs = pd.concat([
        _pairs(table, asking, protocol, alike, rng)
        for asking, protocol in (("val", "practice"), ("test", "rehearsal"), (SURVEY, SURVEY))
    ])  # fmt: skip
    return tables | {"detections": detections}, split, pairs, dict(zip(table["image_id"], table["animal"], strict=True))


def _pairs(table: pd.DataFrame, asking: str, protocol: str, alike: float, rng: np.random.Generator) -> pd.DataFrame:
    asks, answers = table[table["subset"] == asking], table[table["subset"].isin(["train", asking])]
    one, two = (side.reset_index(drop=True) for side in (asks, answers))
    first, second = np.indices((len(one), len(two))).reshape(2, -1)
    left, right = one.iloc[first].reset_index(drop=True), two.iloc[second].reset_index(drop=True)
    kept = (left["encounter"] != right["encounter"]) & (left["side"] == right["side"])
    same = (left["animal"] == right["animal"]) & ~left["blind"] & ~right["blind"]
    odds = np.where(same, alike, -alike) + rng.normal(0, 1, len(left))
    pairs = pd.DataFrame({"query": left["crop_id"], "candidate": right["crop_id"], "score": 1 / (1 + np.exp(-odds))})
    return pairs[kept].assign(protocol=protocol)


def seen_of(tables: dict[str, pd.DataFrame], split: pd.DataFrame) -> pd.DataFrame:
    """Return the animals seen of a drawn survey."""
    return animals_seen(tables, split, "flank")
