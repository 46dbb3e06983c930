"""Words and names as people write them: which words say nothing, and which spellings are one name.

The one place for both, whatever the column and the source.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

NOTHING = frozenset(
    (
        *("", "unknown", "unidentified", "unidentifiable", "undetermined", "indet", "indet.", "not identified"),
        *("not known", "no id", "no name", "unk", "?", "??", "???", "na", "n/a", "n.a.", "nan", "none", "null", "nil"),
        *("-", "--", "---", ".", "#n/a", "#na", "<na>", "[]", "#value!", "#ref!", "nat"),
    )
)
"""Words that say nothing, in small letters; what stands in the cell is then missing."""

_DIGIT = re.compile("[0-9]")  # no word for nothing has one
_WIDTHLESS = dict.fromkeys((0x00AD, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF))


@dataclass(frozen=True)
class Spellings:
    """A column in which each name has one spelling.

    Attributes:
        column: The names.
        merged: Spellings that were given up, and the one that stands for each.
    """

    column: pd.Series
    merged: dict[str, str]


def spelling(text: str) -> str:
    """Return a name in composed Unicode (NFC), with single plain blanks and without characters that nobody sees."""
    if text.isascii():
        return " ".join(text.split())
    return unicodedata.normalize("NFC", " ".join(text.translate(_WIDTHLESS).split()))


def name_key(text: str) -> str:
    """Return what is the same for all spellings of one name (`one_spelling`)."""
    return unicodedata.normalize("NFKC", spelling(text)).casefold()


def is_nothing(text: str) -> bool:
    """Tell whether a cell says nothing, in whatever case."""
    return spelling(text).casefold() in NOTHING


def blank_nothing(column: pd.Series) -> tuple[pd.Series, int]:
    """Return the column with words for nothing emptied, and how many there were, `unknown` aside."""
    words = [text for text in column.unique() if text and not _DIGIT.search(text) and is_nothing(text)]
    plain = {"", "unknown"}
    odd = [text for text in words if spelling(text).casefold() not in plain]
    return column.mask(column.isin(words), ""), int(column.isin(odd).sum())


def one_spelling(column: pd.Series) -> Spellings:
    """Give each name of a column one spelling.

    Names that differ only in case, in blanks, in characters that nobody sees or in Unicode's forms (NFKC) are one: the
    most frequent spelling stands for all, of equally frequent ones the least.
    """
    counts = column.value_counts(sort=False)
    written = pd.DataFrame({"raw": counts.index.astype(object), "rows": counts.to_numpy()})
    written["spelled"] = [spelling(text) for text in written["raw"]]
    written["key"] = [name_key(text) for text in written["spelled"]]
    often = written.groupby(["key", "spelled"], as_index=False)["rows"].sum()
    best = often.sort_values(["key", "rows", "spelled"], ascending=[True, False, True]).drop_duplicates("key")
    written["name"] = written["key"].map(dict(zip(best["key"], best["spelled"], strict=True)))
    changed = written[written["name"] != written["raw"]].sort_values("raw")
    names = dict(zip(written["raw"], written["name"], strict=True))
    return Spellings(column.map(names), dict(zip(changed["raw"], changed["name"], strict=True)))


CATEGORIES = {
    **dict.fromkeys(("animal", "animals", "wildlife", "animalia"), "animal"),
    **dict.fromkeys(("person", "persons", "people", "human", "humans", "homo sapiens", "homo species"), "person"),
    **dict.fromkeys(("vehicle", "vehicles", "car", "truck", "motor vehicle"), "vehicle"),
}
"""Words by which detectors and classifiers call what is no particular species, and what each is here."""


@lru_cache(4096)
def detector_category(text: str) -> str:
    """Return animal, person or vehicle if a word says so, in whatever case; else the empty string."""
    return CATEGORIES.get(spelling(text).casefold(), "")


SPECIES_SCORE = 0.5
"""Below this score a classifier's word for what an animal is counts as unknown."""
