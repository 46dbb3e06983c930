"""Capture histories: which flanks count where, what is left out, and a discovery curve by hand."""

import numpy as np
import pandas as pd
import pytest

from pelage.animals import histories, units
from pelage.animals.answers import CANNOT_TELL
from pelage.animals.effort import survey_effort
from pelage.animals.histories import captures_table, detections, discovery, history, in_time, left_out, population
from pelage.animals.histories import sightings as sightings_of
from pelage.split import protocols

DEPLOYED = pd.DataFrame(
    {
        "station": ["A", "B"],
        "camera": ["A", "B"],
        "latitude": ["-22.1", "-22.2"],
        "longitude": ["28.5", "28.5"],
        "start": "2025-03-01T12:00:00",
        "end": "2025-03-05T12:00:00",
        "rests_on": "told",
    }
)


def table(*rows):
    columns = ["encounter", "side", "individual", "station", "date"]
    told = pd.DataFrame(rows, columns=columns, dtype=object)
    return told.assign(unit=told["encounter"] + "|" + told["side"], scope="survey", answer="known", camera="")


ROWS = table(
    ("e1", "left", "both", "A", "2025-03-01T20:00:00"),
    ("e1", "right", "both", "A", "2025-03-01T20:00:00"),
    ("e2", "right", "both", "B", "2025-03-03T20:00:00"),
    ("e3", "left", "left-1", "A", "2025-03-01T21:00:00"),
    ("e4", "left", "left-2", "A", "2025-03-02T21:00:00"),
    ("e5", "right", "right-1", "B", "2025-03-02T22:00:00"),
    ("e6", "unknown", "face", "B", "2025-03-04T01:00:00"),
    ("e7", "left", "both", "A", "2025-03-01T23:00:00"),
)


@pytest.fixture
def effort():
    return survey_effort(DEPLOYED, pd.Series(dtype="datetime64[s]"), 1, None, None)


def seen_in(effort, rows=ROWS):
    return in_time(sightings_of(rows, rows), effort)


def test_populations(effort):
    seen = seen_in(effort)
    animals = {which: set(population(seen, which)["individual"]) for which in ("left", "right", "linked")}
    assert animals["left"] == {"both", "left-1", "left-2"} and animals["right"] == {"both", "right-1"}
    assert animals["linked"] == {"both", "left-1", "left-2", "face"}  # right-1 may be left-1 or left-2
    assert len(population(seen, "linked")) == 7


def test_history_and_captures(effort):
    seen = seen_in(effort)
    names, seen_on = history(population(seen, "linked"), effort.occasions)
    row = dict(zip(names, seen_on.astype(int).tolist(), strict=True))
    assert effort.occasions == 5 - 1 + 1 and row["both"] == [1, 0, 1, 0, 0]
    captures = captures_table(seen).set_index(["individual", "station", "occasion", "side"])["encounters"]
    assert captures["both", "A", 1, "left"] == 2 and captures["both", "B", 3, "right"] == 1 and captures.sum() == 8


def test_detections_count_a_station_once_an_occasion(effort):
    names, told = detections(population(seen_in(effort), "linked"), effort)
    assert names.tolist() == ["both", "face", "left-1", "left-2"]
    assert sorted(zip(told.animal, told.occasion, told.station, strict=True)) == [
        (0, 0, 0), (0, 2, 1), (1, 2, 1), (2, 0, 0), (3, 1, 0),
    ]  # fmt: skip
    assert told.usage.shape == (5, 2) and np.isfinite(told.places).all()


def test_what_is_not_counted_is_told(effort):
    more = table(
        ("e8", "left", "", "A", "2025-03-02T20:00:00"),
        ("e9", "left", "left-1", "A", ""),
        ("e10", "left", "left-1", "A", "2024-01-01T20:00:00"),
        ("e11", "left", "left-1", "A", "2025-03-02T20:00:00"),
    )
    more.loc[3, "answer"] = "cannot_tell"
    rows = pd.concat([ROWS, more, ROWS.head(1).assign(scope="rehearsal")], ignore_index=True)
    told = sightings_of(rows, rows)
    assert list(left_out(rows, told, in_time(told, effort)).values()) == [2, 1, 1]


def test_a_camera_without_a_station_is_one():
    rows = table(("e1", "left", "one", "", "2025-03-01T20:00:00"))
    assert sightings_of(rows, rows.assign(camera="CAM7"))["station"].tolist() == ["CAM7"]


def test_words_are_those_of_individuals():
    """They are repeated, so that the count is not made anew when evidence or clustering change."""
    assert (histories.NAMED, histories.SURVEY, histories.CANNOT_TELL) == (units.NAMED, protocols.SURVEY, CANNOT_TELL)


def test_discovery_by_hand(effort):
    curve = discovery(population(seen_in(effort), "linked"), effort.occasions)
    assert curve["on"].tolist() == [2, 1, 2, 0, 0] and curve["animals"].tolist() == [2, 3, 4, 4, 4]
    assert discovery(seen_in(effort).head(0), 5)["animals"].tolist() == [0] * 5
