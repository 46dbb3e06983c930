"""Sightings, by hand: both flanks of an encounter are one sighting, and numbers say who decided."""

from __future__ import annotations

import pandas as pd
import pytest

from pelage.report.sightings import animals_seen, counted, decided, in_order, visits, visits_in_words


def table(*rows):
    """Rows by hand: encounter, side, individual, answer, probability, decided_by, station, date, photos."""
    names = ["encounter", "side", "individual", "answer", "probability", "decided_by", "station", "date", "photos"]
    told = pd.DataFrame(rows, columns=names)
    told = told.assign(reason="", weakest_link="", likeliest=told["individual"])
    told["unit"], told["best_crop"] = (told["encounter"] + mark + told["side"] for mark in "|#")
    told["scope"] = told["answer"].map(lambda answer: "named" if answer == "named" else "survey")
    return told


SEEN = table(
    ("e1", "left", "L10", "named", 1.0, "source", "S1", "2025-03-01T04:00:00", 2),
    ("e1", "right", "L10", "named", 1.0, "source", "S1", "2025-03-01T04:01:00", 5),
    ("e2", "right", "L10", "known", 0.91, "pelage", "S2", "2025-04-01T04:00:00", 1),
    ("e3", "left", "L10", "known", 0.3, "Anna", "S2", "2025-05-01T04:00:00", 1),
    ("e4", "unknown", "L2", "named", 1.0, "source", "", "", 4),
    ("e5", "left", "new-001", "new", 0.995, "pelage", "S1", "2025-04-03T04:00:00", 3),
    ("e6", "left", "", "cannot_tell", 0.4, "pelage", "S1", "2025-04-04T04:00:00", 1),
)


def test_an_animals_row_by_hand():
    seen = animals_seen(SEEN).set_index("individual")
    assert list(seen.index) == ["L2", "L10", "new-001"], (
        "numbers in names count as numbers; what nobody can tell has none"
    )
    row = seen.loc["L10"]
    assert (row["first"], row["last"]) == ("2025-03-01T04:00:00", "2025-05-01T04:00:00")
    assert row[["stations", "encounters", "photos", "left", "right", "other", "asked"]].to_list() == [
        2,
        3,
        9,
        2,
        2,
        0,
        2,
    ]
    assert row["least_sure"] == 0.91, "a person's decision is no probability of pelage's"
    assert row["best_crop"] == "e1#right", "the unit with the most photos"
    assert seen["answer"].to_list() == ["named", "named", "new"]
    bare = seen.loc["L2"]
    assert (bare["first"], bare["stations"], bare["other"], bare["asked"]) == ("", 0, 1, 0)
    assert pd.isna(bare["least_sure"])


def test_no_animal_at_all():
    assert animals_seen(SEEN.head(0)).empty
    assert animals_seen(SEEN[SEEN["answer"] == "cannot_tell"]).empty


def test_stations_are_counted_by_encounter_most_first():
    units = SEEN[SEEN["individual"] == "L10"].to_dict("records")
    assert visits(units) == {"S2": 2, "S1": 1}
    assert visits_in_words({"S2": 2, "S1": 1, "": 1}) == "S2 × 2, S1, no station told"
    assert visits_in_words({f"S{n}": 1 for n in range(9)}, 2) == "S0, S1, 7 more stations"
    assert visits_in_words({"A": 1, "B": 1}, 1) == "A, 1 more station"


@pytest.mark.parametrize("names", [["L10", "L2", "l3"], ["10", "9a", "a9"], ["²", "٣", "2"]])
def test_any_names_have_an_order(names):
    assert sorted(in_order(names)) == sorted(names)
    assert in_order(names) == in_order(reversed(names))


def test_words():
    assert in_order(["L10", "L2", "a1"]) == ["a1", "L2", "L10"]
    assert counted(1, "animal was", "animals were") == "1 animal was"
    assert counted(1200, "animal") == "1,200 animals"
    rows = SEEN.to_dict("records")
    assert [decided(row, "91%") for row in rows[1:4]] == ["named by the source", "pelage, 91%", "Anna"]
