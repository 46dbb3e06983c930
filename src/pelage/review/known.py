"""Known: the units of the last run, and what the journal says of them now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pelage.animals.decisions import Decisions, fold
from pelage.animals.journal import JOURNAL, Entry, Journal, new_entry, read_journal
from pelage.common.errors import PelageError
from pelage.common.params import nearest
from pelage.common.tables import read_table

UNITS, UNIT_CROPS, PHOTOS = Path("data/units.csv"), Path("data/unit_crops.csv"), Path("data/clean.csv")

REHEARSED = "rehearsal"
"""Scope of units whose names are known; nobody decides upon these."""

ONE_SIDED = ("is", "new", "rename", "note", "best")
"""Verbs that speak of one side; all their crops are on it."""


@dataclass(frozen=True)
class Known:
    """What decisions are about.

    Attributes:
        unit_of: Unit by crop id.
        identity: By unit, the animal that the source names, or `unknown`.
        best_crop: By unit, the crop that shows it best.
        sha256: By image id, the hash of the photo.
    """

    unit_of: dict[str, str]
    identity: dict[str, str]
    best_crop: dict[str, str]
    sha256: dict[str, str]

    def fold(self, entries: Sequence[Entry]) -> Decisions:
        """Say what entries mean, see `decisions.fold`."""
        return fold(entries, self.unit_of, self.identity, self.sha256)

    def entry(self, verb: str, reviewer: str, crops: Sequence[str], other_crops: Sequence[str], **fields: str) -> Entry:
        """Return an entry on crops that there are, with the hashes of their photos.

        Raises:
            PelageError: There is no such crop or verb, or the verb needs something else.
        """
        hashes = {}
        for crop in (*crops, *other_crops):
            if crop not in self.unit_of:
                raise PelageError(f"there is no crop {crop!r} in {UNIT_CROPS}.{nearest(crop, self.unit_of)}")
            image = crop.rpartition("#")[0]
            if image in self.sha256:
                hashes[crop] = self.sha256[image]
        sides = {"crops": list(crops), "other_crops": list(other_crops), "hashes": hashes}
        return new_entry(verb, reviewer, **sides, **{key: value for key, value in fields.items() if value})


def read_known() -> Known:
    """Read the units of the last run.

    Raises:
        PelageError: There was none yet.
    """
    if not UNITS.exists():
        raise PelageError(f"There is no {UNITS} yet: `dvc repro individuals` makes it.")
    units = read_table(UNITS, required=["unit", "scope", "identity", "best_crop"])
    crops = read_table(UNIT_CROPS, required=["unit", "scope", "crop_id"])
    photos = read_table(PHOTOS, required=["image_id", "sha256"])
    units, crops = (table[table["scope"] != REHEARSED] for table in (units, crops))
    return Known(
        dict(zip(crops["crop_id"], crops["unit"], strict=True)),
        dict(zip(units["unit"], units["identity"], strict=True)),
        dict(zip(units["unit"], units["best_crop"], strict=True)),
        dict(zip(photos["image_id"], photos["sha256"], strict=True)),
    )


def sides_of(verb: str, crops: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the crops of both sides as a person lists them: the first, and those that it is compared with."""
    return (list(crops), []) if verb in ONE_SIDED else (list(crops[:1]), list(crops[1:]))


def open_questions(questions: pd.DataFrame, known: Known, journal: Journal) -> pd.DataFrame:
    """Return the questions that nobody answered since the run that asked them, with the crops to look at.

    Args:
        questions: Rows of data/questions.csv.
        known: Units of the same run.
        journal: As it is now.
    """
    decisions = known.fold(journal.entries)
    answered = set(decisions.seen) - set(decisions.disputed)
    pairs = [(min(pair), max(pair)) for pair in zip(questions["unit"], questions["other"], strict=True)]
    left = questions[[pair not in answered for pair in pairs]]
    crops = {column: left[unit].map(known.best_crop) for column, unit in (("crop", "unit"), ("other_crop", "other"))}
    return left.assign(**crops)


def told_now(journal: Journal, known: Known, path: Path = JOURNAL) -> list[str]:
    """Return a sentence for each thing that does not fit, of the journal's lines and of what they mean now."""
    told = [*journal.told, *known.fold(journal.entries).told]
    return [one.sentence(path) for one in sorted(told, key=lambda one: (one.lines, one.why))]


def read_now() -> tuple[Journal, Known]:
    """Read the journal and the units of the last run."""
    return read_journal(), read_known()
