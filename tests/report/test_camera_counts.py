"""Counts by camera: every photo is counted once, whatever became of it."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.common.errors import PelageError
from pelage.common.tables import rejected_table
from pelage.report.camera_counts import ALWAYS, FOLDED, SHOWN, camera_counts, camera_page

ENDS = ["with_part", "no part", "no animal", "unreadable", "people", "other_species", "no_result"]
"""What detection makes of a photo; all but the first are reasons in its rejected table."""


def survey(photos):
    """Tables of photos, each `(place, camera, end, animals, named)`."""
    clean, animals, detections, rejected = [], [], [], []
    for n, (place, camera, end, count, named) in enumerate(photos):
        image_id = f"p{n}"
        clean.append((image_id, place, camera))
        if end in ("with_part", "no part"):
            animals += [(image_id, "cat 1" if i < named else "unknown") for i in range(count)]
        if end == "with_part":
            detections.append((image_id,))
        else:
            rejected.append((image_id, f"{image_id}.jpg", end, "said"))
    return (
        pd.DataFrame(clean, columns=["image_id", "place", "camera"]),
        pd.DataFrame(animals, columns=["image_id", "identity"]),
        pd.DataFrame(detections, columns=["image_id"]),
        rejected_table(rejected),
    )


def test_counts_that_can_be_checked_on_paper():
    photos = [("S2", "B", "no animal", 0, 0)] * 3 + [("S1", "A", "with_part", 2, 1), ("S1", "A", "no part", 1, 0)]
    photos += [("S1", "A", "people", 0, 0), ("", "", "other_species", 0, 0)]
    counts = camera_counts(*survey(photos))
    assert counts.to_dict("split")["data"] == [
        ["", "", 1, 0, 0, 0, 0, 0, 1, 0, 0],
        ["S1", "A", 3, 1, 1, 0, 0, 1, 0, 3, 1],
        ["S2", "B", 3, 0, 0, 3, 0, 0, 0, 0, 0],
    ]
    assert list(counts)[2:] == ["photos", *ALWAYS, "other_species", "animals", "named"]
    page = camera_page(counts)
    assert [row["camera"] for row in page["shown"]] == ["S2 B", "no camera told", "S1 A"]
    assert "unreadable" not in page["headings"] and page["total"] == ["7", "1", "1", "3", "1", "1", "3", "1"]
    assert page["sentence"] == (
        "An animal was found on 2 of 7 photos, but on 1 of these none shows a part that is looked for; 3 show no "
        "animal, the others have other reasons."
    )


PHOTOS = st.tuples(
    st.sampled_from(["S1", ""]), st.sampled_from("AB"), st.sampled_from(ENDS), st.integers(1, 3), st.just(1)
)


@settings(max_examples=30)
@given(st.lists(PHOTOS, min_size=1, max_size=30))
def test_every_photo_is_counted_once(photos):
    clean, animals, detections, rejected = survey(photos)
    counts = camera_counts(clean, animals, detections, pd.concat([rejected, rejected]))
    numbers = counts.drop(columns=["place", "camera"])
    assert numbers["photos"].sum() == len(photos)
    assert (numbers.drop(columns=["photos", "animals", "named"]).sum(axis=1) == numbers["photos"]).all()
    assert numbers["animals"].sum() == len(animals)
    for end in ENDS:
        column = end.replace(" ", "_")
        assert (numbers[column].sum() if column in numbers else 0) == sum(photo[2] == end for photo in photos)


def test_all_photos_blank():
    counts = camera_counts(*survey([("S", "A", "no animal", 0, 0)] * 4))
    assert counts.iloc[0].to_dict() == {
        "place": "S", "camera": "A", "photos": 4, "with_part": 0, "no_part": 0, "no_animal": 4, "unreadable": 0,
        "people": 0, "animals": 0, "named": 0,
    }  # fmt: skip
    assert camera_page(counts)["shown"] == [{"camera": "S A", "cells": ["4", "0", "4"], "empty": "100.0"}]


def test_a_photo_with_a_part_and_an_animal_of_another_species_is_one_with_a_part():
    clean, animals, detections, _ = survey([("S", "A", "with_part", 1, 0)])
    other = rejected_table([("p0", "p0.jpg", "other_species", "A goat stands beside it.")])
    counts = camera_counts(clean, animals, detections, other)
    assert counts["with_part"].tolist() == [1] and "other_species" not in counts


def test_a_photo_that_detection_forgot_is_named():
    clean, animals, detections, rejected = survey([("S", "A", "with_part", 1, 0), ("S", "A", "no animal", 0, 0)])
    with pytest.raises(PelageError, match=r"photo 'p1' is neither .* \(and 0 others\)"):
        camera_counts(clean, animals, detections, rejected.head(0))


def test_a_page_has_some_cameras_and_says_how_many_more_there_are():
    many = SHOWN + FOLDED + 1200
    photos = [("S", f"C{n:04d}", "no animal", 0, 0) for n in range(many)] + [("S", "C0700", "no animal", 0, 0)]
    page = camera_page(camera_counts(*survey(photos)))
    assert (len(page["shown"]), len(page["folded"]), page["left"]) == (SHOWN, FOLDED, "1,200")
    assert page["shown"][0]["camera"] == "S C0700"
