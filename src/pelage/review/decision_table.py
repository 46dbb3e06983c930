"""Decisions from a table that somebody filled in, a row each."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from pelage.animals.journal import Entry
from pelage.common.errors import PelageError
from pelage.common.params import nearest
from pelage.common.tables import read_rows
from pelage.review.known import Known

COLUMNS = {
    "verb": "same, different, is, new, ... (needed)",
    "crop": "a crop; several separated by ;",
    "other_crop": "what it is compared with; several separated by ;",
    "name": "of an animal",
    "to": "its new name",
    "reason": "in words",
    "reviewer": "who decided; else --reviewer",
    "time": "ISO 8601 with a zone; else now",
    "undoes": "the id of a decision to take back",
    "id": "of the decision; else made from what the row says, so that a table may be imported twice",
}
"""Columns of a table of decisions, and what they hold."""

ROWS = uuid.UUID("6e1f8c1e-9d5a-4c57-8f0c-6a1b2d6f3b10")
"""Namespace of ids that are made from rows."""


@dataclass(frozen=True)
class DecisionRows:
    """What a table holds: entries by the number of their row, sentences about bad rows, columns that say nothing."""

    entries: list[tuple[int, Entry]]
    bad: list[str]
    unread: list[str]


def read_decisions(path: Path, known: Known, reviewer: str = "") -> DecisionRows:
    """Read decisions from a CSV table.

    Args:
        path: With columns of `COLUMNS`; `verb` is needed.
        known: What decisions are about.
        reviewer: Who decided where the row does not say.

    Raises:
        PelageError: It is no table, or has no column `verb`.
    """
    rows = read_rows(path)
    columns = list(rows.table.columns)
    if "verb" not in columns:
        raise PelageError(f"{path} has no column 'verb' (it has {', '.join(columns)}); known are {', '.join(COLUMNS)}.")
    unread = [f"{name!r}{nearest(name, COLUMNS) or '.'}" for name in columns if name not in COLUMNS]
    entries, bad = [], [f"{path}, row {number}: there are more cells than columns." for number, _ in rows.longer]
    for number, row in zip(rows.numbers, rows.table.to_dict("records"), strict=True):
        said = {name: row[name].strip() for name in COLUMNS if row.get(name, "").strip()}
        said.setdefault("reviewer", reviewer)
        said.setdefault("id", str(uuid.uuid5(ROWS, json.dumps(said, sort_keys=True))))
        crops, others = (
            [crop.strip() for crop in said.pop(side, "").split(";") if crop.strip()] for side in ("crop", "other_crop")
        )
        try:
            entry = known.entry(said.pop("verb", ""), said.pop("reviewer"), crops, others, **said)
            entries.append((number, entry))
        except PelageError as error:
            bad.append(f"{path}, row {number}: {error}")
    return DecisionRows(entries, bad, unread)
