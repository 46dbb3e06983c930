"""A page an animal: its photos by flank and date, its encounters, where it was seen, how it came by its name.

The pages of a survey share one style sheet, and room: the more animals, the fewer and smaller pictures are. Pages of
hundreds are brief: one photo, some encounters, no map and no weakest link. Of thousands of animals those that were seen
most have a page, and the index says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pelage.common.files import sha256_bytes
from pelage.report.animals_page import Answers, Load, sure
from pelage.report.sightings import (
    SIDES,
    SOURCE,
    Records,
    by_animal,
    counted,
    day,
    decided,
    in_order,
    minute,
    units_by_animal,
    visits,
    visits_in_words,
)
from pelage.report.station_map import CIRCLES, StationMap
from pelage.report.template import fill
from pelage.report.thumbnails import FEWEST, allotted, thumbnails

FOLDER = "individuals"
"""Where the pages lie, beside the report."""

ROOM, PAGE, MAP, CIRCLE, LINKED, ROW = 3_000_000, 1_450, 250, 85, 250, 110
"""Bytes of all pages, and what a page, its map, a station there, its weakest link and a row of its table take without
pictures."""

PAGES = 1_000
"""Animals that have a page."""

ENCOUNTERS = 40
"""Encounters that a page lists, where all rows of all pages take no more than half of the room that pages leave."""

LINK = " ~ "
"""What stands between the crops of a weakest link."""

STATIONS, BRIEF_STATIONS = 60, 4
"""Stations that a page names, and a brief one."""

BLOCK = 200
"""Names that the index shows at once, and folds together."""

LONGEST = 60
RESERVED = {"index", "con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""Names of files that Windows keeps for itself, and of the index."""


def page_names(names: Iterable[str]) -> dict[str, str]:
    """Return the file of each animal's page, by name.

    A name of at most `LONGEST` letters, digits, `_` and `-` is that of its file. In any other all else becomes `_`, and
    a hash follows; so do names that differ in case only, for some file systems do not tell them apart.
    """
    files: dict[str, str] = {}
    taken = set(RESERVED)
    for name in in_order(set(names)):
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:LONGEST]
        if plain != name or name.casefold() in taken:
            plain += "." + sha256_bytes(name.encode("utf-8", "surrogatepass"))[:12]
        taken.add(plain.casefold())
        files[name] = plain + ".html"
    return files


def animals_with_pages(seen: pd.DataFrame, most: int = PAGES) -> pd.DataFrame:
    """Return the animals that have a page: all, or those of the most encounters, of as many the first by name.

    Args:
        seen: As `sightings.animals_seen` returns it; its order is kept.
        most: How many.
    """
    often = seen["encounters"].sort_values(ascending=False, kind="stable").index[:most]
    return seen.loc[seen.index.isin(often)].reset_index(drop=True)


def individual_pages(
    dataset: str, answers: Answers, split: pd.DataFrame, load: Load, room: int = ROOM
) -> Iterator[tuple[str, str]]:
    """Yield the file and the text of each animal's page, of the index of all, and of their style sheet.

    Args:
        dataset: Name of the data set.
        answers: What was found.
        split: Rows of `data/split.csv`.
        load: Gives the image of a crop.
        room: Bytes that all files may have together; more only where pages without pictures have.
    """
    seen = animals_with_pages(answers.seen)
    files = page_names(seen["individual"])
    individuals = answers.individuals[answers.individuals["individual"].isin(files)]
    units, crops = units_by_animal(individuals), crops_of_animals(individuals, answers.crops, split)
    where = {name: visits(rows) for name, rows in units.items()}
    listed = encounters_listed([len(rows) for rows in units.values()], (room - PAGE * len(files)) / 2)
    weak = {name: weakest_link(rows) for name, rows in units.items()}
    numbers, pairs = crops["individual"].value_counts(), sum(map(bool, weak.values()))
    taken = PAGE * len(files) + ROW * sum(min(len(rows), listed) for rows in units.values())
    maps = MAP * len(files) + CIRCLE * sum(min(len(stations), CIRCLES) for stations in where.values())
    most, size = allotted(numbers, room - taken - maps - LINKED * pairs, 2 * pairs)
    brief = most == FEWEST
    if brief:
        weak, (most, size) = dict.fromkeys(weak, ()), allotted(numbers, room - taken)
    shown = by_animal(spread_out(crops, most))
    ends = {crop for pair in weak.values() for crop in pair}
    pictures = thumbnails([*(crop["crop_id"] for name in files for crop in shown[name]), *sorted(ends)], load, size)
    told = split.loc[split["crop_id"].isin(ends), ["crop_id", "station", "date"]]
    told = {crop: rest for crop, *rest in told.itertuples(index=False)}
    links = answers.links[answers.links["query"].isin(ends) & answers.links["candidate"].isin(ends)]
    odds = {(one, two): probability for one, two, probability in links.itertuples(index=False)}
    stations = StationMap(answers.deployments)
    order = list(files)
    for place, animal in enumerate(seen.to_dict("records")):
        name = animal["individual"]
        more = len(units[name]) - listed
        map_ = None if brief else stations.seen(where[name])
        yield (
            files[name],
            fill(
                "individual.html",
                dataset=dataset,
                name=name,
                beside=[(sign, other, files[other]) for sign, other in _beside(order, place)],
                animal=animal,
                lead=lead(animal),
                facts=facts(animal, units[name]),
                weak=[(pictures.get(crop, ""), *told.get(crop, ("", ""))) for crop in weak[name]],
                weak_sure=sure(odds.get(weak[name], float("nan"))),
                flanks=flanks(shown[name], pictures),
                hidden=int(numbers.get(name, 0)) - len(shown[name]),
                encounters=encounter_rows(units[name][:listed]),
                more=more,
                map=map_,
                where="" if map_ and more <= 0 else visits_in_words(where[name], BRIEF_STATIONS if brief else STATIONS),
            ),
        )
    blocks = [seen.iloc[start : start + BLOCK] for start in range(0, len(seen), BLOCK)]
    yield (
        "index.html",
        fill(
            "individuals.html",
            dataset=dataset,
            count=counted(len(answers.seen), "animal"),
            left=len(answers.seen) - len(seen),
            blocks=[
                [
                    (row.individual, files[row.individual], row.answer == "new", row.encounters)
                    for row in block.itertuples()
                ]
                for block in blocks
            ],
        ),
    )
    yield "style.css", fill("style.css")
    yield "stations.svg", fill("stations.svg", **stations.ground())


def lead(animal: Mapping[str, Any]) -> str:
    """Say in a sentence how often and when an animal was seen."""
    told = f"{counted(animal['encounters'], 'encounter')}, {counted(animal['photos'], 'photo')}"
    days = dict.fromkeys(day(animal[end]) for end in ("first", "last"))
    return f"{told}, {' to '.join(days)}." if animal["first"] else f"{told}; no date is told."


def _beside(order: Sequence[str], place: int) -> list[tuple[str, str]]:
    return [("←", name) for name in order[max(0, place - 1) : place]] + [("→", name) for name in order[place + 1 :][:1]]


def encounters_listed(encounters: Sequence[int], room: float) -> int:
    """Return how many encounters a page lists: `ENCOUNTERS`, or as many as have room, one at least.

    Args:
        encounters: Those of each animal.
        room: Bytes for the rows of all pages.
    """
    for most in range(ENCOUNTERS, 1, -1):
        if ROW * sum(min(number, most) for number in encounters) <= room:
            return most
    return 1


def crops_of_animals(individuals: pd.DataFrame, crops: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Return the crops of animals by date, with what is told of their unit, whose clock has been set right.

    Args:
        individuals: Rows of `data/individuals.csv` of these animals.
        crops: Rows of `data/unit_crops.csv`.
        split: Rows of `data/split.csv`.
    """
    columns = ["unit", "scope", "individual", "side", "date", "station", "encounter", "decided_by", "probability"]
    mine = individuals[columns].merge(crops)
    mine = mine.merge(split[["crop_id", "camera", "date"]].rename(columns={"date": "taken"}), on="crop_id")
    mine = mine.drop_duplicates(["individual", "crop_id"])
    return mine.sort_values(["date", "taken", "crop_id"], kind="stable", ignore_index=True)


def spread_out(crops: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return at most `most` crops of each animal, of as many encounters and flanks as there are, in their order."""
    turn = crops.groupby(["individual", "encounter", "side"]).cumcount().sort_values(kind="stable")
    place = crops.loc[turn.index].groupby("individual").cumcount()
    return crops.loc[place.index[place < most].sort_values()]


def flanks(crops: Records, pictures: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the photos of an animal by flank, in their order."""
    headings = {"left": "Left flank", "right": "Right flank", "": "Flank unclear, or a face"}
    sides: dict[str, list[dict[str, str]]] = {side: [] for side in headings}
    for crop in crops:
        told = {"when": minute(crop["date"]), "where": crop["station"] or crop["camera"], "decided": ""}
        if crop["decided_by"] != SOURCE:
            told["decided"] = decided(crop, sure(crop["probability"]))
        sides[crop["side"] if crop["side"] in SIDES else ""].append(told | {"picture": pictures.get(crop["crop_id"])})
    return [{"heading": headings[side], "crops": found} for side, found in sides.items() if found]


def facts(animal: Mapping[str, Any], units: Records) -> list[tuple[str, str]]:
    """Return how an animal came by its name, as words and numbers."""
    by = Counter(who for _, who in {(unit["encounter"], unit["decided_by"]) for unit in units})
    words = {SOURCE: "named by the source"}
    told = [(words.get(who, f"decided by {who}"), counted(by[who], "encounter")) for who in sorted(by)]
    if animal["least_sure"] == animal["least_sure"]:
        told.append(("least sure decision", sure(animal["least_sure"])))
    return told


def weakest_link(units: Records) -> tuple[str, ...]:
    """Return the two crops on whose likeness the least sure unit of an animal hangs; nothing where none does."""
    hanging = [unit for unit in units if LINK in unit["weakest_link"]]
    if not hanging:
        return ()
    return tuple(min(hanging, key=lambda unit: unit["probability"])["weakest_link"].split(LINK, 1))


def encounter_rows(units: Records) -> list[dict[str, str]]:
    """Return encounters of an animal as text."""
    return [
        {
            "when": minute(unit["date"]),
            "where": unit["station"] or "–",
            "side": unit["side"],
            "photos": f"{unit['photos']:,}",
            "decided": decided(unit, sure(unit["probability"])),
        }
        for unit in units
    ]
