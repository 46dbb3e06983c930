"""Animals: which animal a box shows. What the source claims of a photo meets what was found on it, in this place only.

A claim with a box names the animal under that box; a claim of a whole photo names its animal where there is just one.
Where claims contradict one another nobody is named, and the contradiction is listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pelage.common.tables import UNKNOWN
from pelage.preprocess.boxes import Box, covered, iou, pad_box, pair_boxes

CLAIMED = ("box", "alone", "nobody", "several_animals", "several_names", "conflict")
"""How an animal came by its identity, or why it has none: see `name_animals`."""

MEETS = 0.25
"""IoU from which on the box of a claim and that of a found animal mean one animal (people draw boxes wide)."""

SAME = 0.8
"""IoU from which on two claimed boxes are one box drawn twice."""

WITHIN = 0.5
"""Share of a claimed box within a found one from which on that animal holds the claimed one, alone or with others."""

SHARED = 0.05
"""Share of a crop that another animal's box may cover before the crop shows both."""


UNUSUAL = 2.0
"""Robust spreads above the median of a survey from which on a score of two animals is unusual in it."""


@dataclass(frozen=True)
class Claim:
    """What the source says of one animal.

    Attributes:
        image_id: Photo that it was said of; that photo, or a copy of it.
        identity: Individual, or `unknown`.
        orientation: Its side, or `unknown`.
        species: As told, or empty.
        box: `x, y, w, h` in pixels of the upright photo; None where the claim is of the whole photo.
        row: Where the source says so.
    """

    image_id: str
    identity: str = UNKNOWN
    orientation: str = UNKNOWN
    species: str = ""
    box: tuple[float, float, float, float] | None = None
    row: str = ""


@dataclass(frozen=True)
class Naming:
    """Who one animal is said to be: `identity` or `unknown`, how (`CLAIMED`), `species`, and whether it is `crowded`.

    Crowded is an animal whose box holds boxes claimed for several: it is more than one animal.
    """

    identity: str = UNKNOWN
    claimed: str = "nobody"
    species: str = ""
    crowded: bool = False


def claims_by_photo(claims: pd.DataFrame, copies: pd.DataFrame) -> dict[str, list[Claim]]:
    """Return the claims of each photo: its own and those of its copies, which show the same animals.

    Args:
        claims: Rows of `data/claims.csv`.
        copies: Rows of `data/copies.csv`. Both a copy and what it repeats get the claims of all.
    """
    original = dict(zip(copies["image_id"], copies["copy_of"], strict=True))
    gathered: dict[str, list[Claim]] = {}
    for row in claims.itertuples(index=False):
        box = tuple(float(number) for number in row.bbox.split()) if row.bbox else None
        claim = Claim(row.image_id, row.identity or UNKNOWN, row.orientation or UNKNOWN, row.species, box, row.row)
        gathered.setdefault(original.get(row.image_id, row.image_id), []).append(claim)
    for copy, first in original.items():
        if first in gathered:
            gathered[copy] = gathered[first]
    return gathered


def claimed_boxes(claims: Iterable[Claim]) -> list[tuple[float, float, float, float]]:
    """Return the different boxes that claims have, in their order; one drawn twice counts once."""
    return _distinct(claims)[0]


def owners(claims: Sequence[Claim], boxes: Sequence[Box]) -> list[int | None]:
    """Return for each claim the animal that it is of, or None (also for a claim without a box).

    Claimed boxes and animals are paired for the largest overlap in total; a box left over belongs to the animal that
    has half of it.

    Args:
        claims: C claims of a photo.
        boxes: Boxes of its A animals.
    """
    told, number = _distinct(claims)
    if not told or not len(boxes):
        return [None] * len(claims)
    seen = np.array(boxes, float)
    owner: list[int | None] = [None] * len(told)
    for one, animal, both in pair_boxes(told, seen):
        if both >= MEETS:
            owner[one] = animal
    within = covered(np.array(told), seen)
    for one in range(len(told)):
        if owner[one] is None and within[one].max() >= WITHIN:
            owner[one] = int(within[one].argmax())
    return [None if one is None else owner[one] for one in number]


def told_orientations(claims: Sequence[Claim], boxes: Sequence[Box]) -> list[str]:
    """Return the side that the source tells of each animal, else `unknown`.

    What is told of a whole photo counts where it shows one animal.
    """
    owner = owners(claims, boxes)
    told = []
    for animal in range(len(boxes)):
        sides = {
            claim.orientation
            for claim, its in zip(claims, owner, strict=True)
            if its == animal or (claim.box is None and len(boxes) == 1)
        } - {UNKNOWN}
        told.append(sides.pop() if len(sides) == 1 else UNKNOWN)
    return told


def name_animals(claims: Sequence[Claim], boxes: Sequence[Box]) -> tuple[list[Naming], list[tuple[str, str]]]:
    """Name the animals of a photo.

    * `box`: the claims under the animal's box give one name.
    * `alone`: one name is claimed of the whole photo, and this animal alone is not named by a box.
    * `several_animals`: so it is, but several animals might be meant.
    * `several_names`: one row a name, without boxes (or with boxes, all within this animal's): nobody can tell whose.
    * `conflict`: copies of the photo, or rows with one box, have different names.
    * `nobody`: nobody claims it.

    Args:
        claims: Claims of the photo.
        boxes: Boxes of its animals.

    Returns:
        One `Naming` an animal; and `(reason, detail)` of each name that was claimed and not given.
    """
    owner = owners(claims, boxes)
    namings: list[Naming] = []
    refused: list[tuple[str, str]] = []
    for animal in range(len(boxes)):
        mine = [claim for claim, its in zip(claims, owner, strict=True) if its == animal]
        names = _names(mine)
        crowded = len(claimed_boxes(mine)) > 1 and len({claim.identity for claim in mine}) > 1
        species = _only({claim.species for claim in mine} - {""})
        if not names:
            namings.append(Naming(UNKNOWN, "nobody", species, crowded))
        elif len(names) == 1 and not crowded:
            namings.append(Naming(names[0], "box", species))
        else:
            reason = "several_names" if crowded else "conflict"
            namings.append(Naming(UNKNOWN, reason, species, crowded))
            refused.append((reason, f"One box is {_told(mine)}."))
    for claim, its in zip(claims, owner, strict=True):
        if claim.box and its is None and claim.identity != UNKNOWN:
            refused.append(("no_animal", f"No animal of the photo is under the box of {_told([claim])}."))
    whole = [claim for claim in claims if claim.box is None]
    given = {naming.identity for naming in namings}
    names = [name for name in _names(whole) if name not in given]
    unnamed = [i for i, naming in enumerate(namings) if naming.claimed == "nobody"]
    species = _only({claim.species for claim in whole} - {""})
    if names:
        reason = _trouble(whole, names, len(unnamed))
        if reason is None:
            namings[unnamed[0]] = Naming(names[0], "alone", namings[unnamed[0]].species or species)
        else:
            for i in unnamed:
                namings[i] = Naming(UNKNOWN, reason, namings[i].species or species, namings[i].crowded)
            refused.append((reason, f"The photo is {_told(whole)}; {len(unnamed)} of its animals have no named box."))
    elif len(namings) == 1 and species and not namings[0].species:
        namings[0] = Naming(namings[0].identity, namings[0].claimed, species, namings[0].crowded)
    return namings, refused


def shared_boxes(boxes: Sequence[Box], parts: Sequence[tuple[int, Box]], padding: float, size: tuple[int, int]) -> list:
    """Tell for each part whether its crop shows another animal as well, as far as boxes tell.

    Args:
        boxes: Boxes of the A animals of a photo.
        parts: `(animal, box)` of each of the P parts.
        padding: Room around a crop, as a share of the box's longer side.
        size: Width and height of the photo, pixels.

    Returns:
        P booleans.
    """
    if len(boxes) < 2 or not parts:
        return [False] * len(parts)
    windows = np.array([pad_box(box, padding, *size) for _, box in parts], float)
    cover = covered(windows, np.array(boxes, float))
    cover[np.arange(len(parts)), [animal for animal, _ in parts]] = 0.0
    return (cover.max(axis=1) > SHARED).tolist()


def pooled_scores(scores: Sequence[float], encounters: Sequence[str]) -> np.ndarray:
    """Return scores that take those of the same encounter into account: who walks in company does so for a while.

    The log odds of each are averaged with their mean over its encounter.

    Args:
        scores: N probabilities.
        encounters: Encounter of each; one without (empty) stands alone.

    Returns:
        N probabilities, to 4 decimals.
    """
    odds = pd.Series(_log_odds(scores))
    groups = pd.Series(encounters, dtype=object).reset_index(drop=True)
    groups = groups.where(groups != "", pd.Series(range(len(groups)), dtype=object))
    both = (odds + odds.groupby(groups).transform("mean")) / 2
    return np.round(1 / (1 + np.exp(-both.to_numpy(float))), 4)


def unusual_score(scores: Sequence[float], least: float) -> float:
    """Return the score above which a silhouette is two animals: `least`, or what is unusual in its survey if more.

    Where all bodies are of a build that looks a little like two, only those that stand out are. Unusual is what lies
    `UNUSUAL` robust spreads (1.4826 times the median deviation) of the log odds above their median.
    """
    if not len(scores):
        return least
    odds = _log_odds(scores)
    middle = float(np.median(odds))
    limit = middle + UNUSUAL * 1.4826 * float(np.median(np.abs(odds - middle)))
    return max(least, float(1 / (1 + np.exp(-limit))))


def _log_odds(scores: Sequence[float]) -> np.ndarray:
    probabilities = np.clip(np.asarray(scores, float), 1e-6, 1 - 1e-6)
    return np.log(probabilities / (1 - probabilities))


def _distinct(claims: Iterable[Claim]) -> tuple[list[tuple[float, float, float, float]], list[int | None]]:
    """Return the different boxes of claims, and for each claim the number of its box (None without one)."""
    boxes: list[tuple[float, float, float, float]] = []
    number: list[int | None] = []
    for claim in claims:
        same = iou(np.array([claim.box]), np.array(boxes))[0] if claim.box and boxes else np.zeros(0)
        if claim.box and not (same >= SAME).any():
            boxes.append(claim.box)
            number.append(len(boxes) - 1)
        else:
            number.append(int(same.argmax()) if claim.box else None)
    return boxes, number


def _trouble(whole: Sequence[Claim], names: Sequence[str], unnamed: int) -> str | None:
    """Return why a name claimed of a whole photo cannot be given, or None if it can."""
    rows: dict[str, set[str]] = {}
    for claim in whole:
        rows.setdefault(claim.image_id, set()).add(claim.identity)
    if any(len(said) > 1 for said in rows.values()):
        return "several_names"  # a row an animal, one of them perhaps of nobody: it is not said which is which
    if len(names) > 1:
        return "conflict"
    return None if unnamed == 1 else "several_animals" if unnamed else "no_animal"


def _names(claims: Iterable[Claim]) -> list[str]:
    return sorted({claim.identity for claim in claims} - {UNKNOWN})


def _only(words: set[str]) -> str:
    return next(iter(words)) if len(words) == 1 else ""


def _told(claims: Iterable[Claim]) -> str:
    """Return `'L1' by row 3 and 'L2' by row 9`, the first four."""
    told = [f"{claim.identity!r} by {claim.row or claim.image_id}" for claim in claims if claim.identity != UNKNOWN]
    return " and ".join(told[:4]) + (f" and {len(told) - 4} more" if len(told) > 4 else "")


def name_counts(animals: pd.DataFrame) -> Mapping[str, int]:
    """Return how many animals of `data/animals.csv` were claimed in which way."""
    counts = animals["claimed"].value_counts()
    return {way: int(counts.get(way, 0)) for way in CLAIMED}
