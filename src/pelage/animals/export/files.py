"""What an export is before it is written: texts of files, how to read them, and what was left out."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from textwrap import fill
from typing import Any

import pandas as pd

README = "README.txt"
LEFT_OUT = "Left out (or kept, where it says so):"
IDS = "ids.csv"
WIDTH = 100
"""Columns of the README; lines of code begin with two blanks and stay as they are."""


@dataclass(frozen=True)
class Export:
    """The files of one format.

    Attributes:
        files: Texts by path below the folder.
        about: Paragraphs of the README: what the files are and how they are read.
        left_out: How many of what did not leave, by the reason in words.
        photos: Photos that belong to it, path below the folder by path below `data/photos`.
    """

    files: dict[str, str]
    about: list[str]
    left_out: dict[str, int] = field(default_factory=dict)
    photos: dict[str, str] = field(default_factory=dict)


def readme(title: str, export: Export) -> str:
    """Return the text of an export's README.txt."""
    lines = [title, "=" * len(title), ""]
    for paragraph in export.about:
        for line in paragraph.split("\n"):
            lines.append(line if line.startswith("  ") else fill(line, WIDTH, break_long_words=False))
        lines.append("")
    lines += [LEFT_OUT, *left_out_lines(export.left_out)]
    return "\n".join(lines) + "\n"


def left_out_lines(left_out: Mapping[str, int]) -> list[str]:
    """Say what was left out, a line a reason."""
    told = [f"  {count:,} {reason}" for reason, count in left_out.items() if count]
    return told or ["  nothing"]


def csv_text(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a CSV table as text."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(list(header))
    writer.writerows(rows)
    return out.getvalue()


def table_text(table: pd.DataFrame) -> str:
    """Return a table as CSV text; missing is empty."""
    return table.to_csv(index=False, lineterminator="\n")


def plain_ids(names: Iterable[str]) -> dict[str, str]:
    """Return an id a name, of letters without accents, digits, `.` and `-` only, in which no two names share one.

    Blanks, commas, slashes and number signs end or begin something in the files of secr, DENSITY and MARK, and the
    underscore does in those of oSCR; `NA` is missing to R. A name that is such an id already keeps it.
    """
    names = sorted(set(names))
    changed = {name: _plain(name) for name in names}
    ids = {name: name for name in names if changed[name] == name}
    taken = set(ids.values())
    for name in names:
        if name in ids:
            continue
        made = changed[name]
        number = 1
        while made in taken:
            number += 1
            made = f"{changed[name]}-{number}"
        ids[name] = made
        taken.add(made)
    return ids


def _plain(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", plain).strip("-")
    return f"{plain}-" if plain in ("NA", "NaN", "") else plain


def ids_table(**kinds: tuple[Iterable[Any], Iterable[Any]]) -> str:
    """Return the table of names behind ids: for each kind of thing its names and their ids, in the same order."""
    rows = [(kind, made, name) for kind, (names, ids) in kinds.items() for name, made in zip(names, ids, strict=True)]
    return csv_text(["kind", "id", "name"], rows)
