"""Words for nothing, and spellings of one name."""

from __future__ import annotations

import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.catalogue.words import blank_nothing, is_nothing, one_spelling, spelling


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "NA",
        "nan",
        "None",
        "N/A",
        "UNK",
        "unidentified",
        "?",
        "NULL",
        "#N/A",
        "<NA>",
        "-",
        "--",
        "No ID",
        "\xa0",
        "\u200bNA",
    ],
)
def test_words_for_nothing(word):
    assert is_nothing(word)


@pytest.mark.parametrize("word", ["Nana", "0", "Unka", "L1", "Na Na", "x"])
def test_names_are_something(word):
    assert not is_nothing(word)


def test_nothing_is_emptied_and_counted():
    column, words = blank_nothing(pd.Series(["NA", "L1", "", "unknown", "nan", "NA"]))
    assert column.tolist() == ["", "L1", "", "", "", ""]
    assert words == 3


def test_spellings_of_a_name_are_one():
    jose = [unicodedata.normalize(form, "José") for form in ("NFC", "NFD")]
    told = one_spelling(pd.Series(["Zawadi", "zawadi", "Zawadi", "old  Tom", "old\xa0Tom", "old Tom", *jose, "b", "B"]))
    assert told.column.tolist() == [*["Zawadi"] * 3, *["old Tom"] * 3, "José", "José", "B", "B"]
    assert told.merged == {
        "zawadi": "Zawadi",
        "old  Tom": "old Tom",
        "old\xa0Tom": "old Tom",
        jose[1]: jose[0],
        "b": "B",
    }


@given(st.lists(st.text(max_size=6), min_size=1, max_size=12))
def test_what_is_merged_does_not_depend_on_the_order(names):
    there = one_spelling(pd.Series(names, dtype=object)).column.tolist()
    back = one_spelling(pd.Series(names[::-1], dtype=object)).column.tolist()
    assert there == back[::-1]
    assert all(spelling(name) == name for name in there)
