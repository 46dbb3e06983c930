"""Units of encounters made by hand: who is one animal, who is not, and what nobody knows."""

import pandas as pd
import pytest

from pelage.animals.units import (
    GALLERY,
    NAMED,
    PRACTICE,
    REHEARSAL,
    SURVEY,
    animals_seen,
    of_one_animal,
    sightings,
    units_of,
)
from pelage.catalogue.clocks import CLOCK_COLUMNS

NONE = pd.DataFrame(columns=CLOCK_COLUMNS).astype({"offset_s": float, "drift_s_per_day": float, "visits": int})


def seen_of(*rows, one_animal=False, rests_on="source"):
    """Rows `image_id, animal, identity, side, subset, camera, second[, encounter]`; an empty subset: no crop."""
    made = []
    for image_id, animal, identity, side, subset, camera, second, *encounter in rows:
        made.append((image_id, animal, identity, side, subset, camera, second, (encounter or ["E1"])[0]))
    table = pd.DataFrame(made, columns=["image_id", "animal", "identity", "side", "subset", "camera", "second", "enc"])
    photos = table.drop_duplicates("image_id")
    clean = pd.DataFrame({
        "image_id": photos["image_id"], "encounter": photos["enc"], "station": "S1", "camera": photos["camera"],
        "place": "S1", "date": [f"2025-03-01T10:00:{s:02d}" if s >= 0 else "" for s in photos["second"]],
        "flags": "", "sha256": photos["image_id"], "rests_on": rests_on,
    })  # fmt: skip
    animals = table.assign(orientation=table["side"], shared=table["subset"] == "shared")
    crops = table[table["subset"] != ""].assign(part="flank", w=200.0, h=100.0, orientation=table["side"])
    crops["crop_id"] = crops["image_id"] + "#" + crops["animal"]
    split = crops.assign(subset=crops["subset"].replace("shared", "none"), gallery=crops["subset"] == "train")
    tables = {"clean": clean, "clocks": NONE, "animals": animals, "detections": crops}
    return animals_seen(tables, split, "flank", one_animal)


def test_photos_of_a_flank_are_one_unit_and_flanks_two():
    units = units_of(seen_of(
        ("p1", "0", "unknown", "left", SURVEY, "A", 0), ("p2", "0", "unknown", "left", SURVEY, "A", 40),
        ("p3", "0", "unknown", "right", SURVEY, "A", 45),
    ), NAMED, SURVEY)  # fmt: skip
    assert units.table["unit"].tolist() == ["E1|left", "E1|right"]
    assert units.table["photos"].tolist() == [2, 1]
    assert units.crops.values.tolist() == [
        ["E1|left", "survey", "p1#0"], ["E1|left", "survey", "p2#0"], ["E1|right", "survey", "p3#0"],
    ]  # fmt: skip
    assert units.links.empty  # one camera took both flanks: the animal turned, or another one came


@pytest.mark.parametrize(("second", "camera", "proven"), [(5, "B", True), (11, "B", False), (5, "A", False)])
def test_flanks_are_one_animal_if_two_cameras_took_it_at_one_moment(second, camera, proven):
    links = units_of(seen_of(
        ("p1", "0", "unknown", "left", SURVEY, "A", 0), ("p2", "0", "unknown", "right", SURVEY, camera, second),
    ), SURVEY).links  # fmt: skip
    assert links.values.tolist() == ([["E1|left", "E1|right", "must"]] if proven else [])


BOTH = [
    ("p1", "0", "unknown", "left", SURVEY, "A", 0), ("p2", "0", "unknown", "left", SURVEY, "A", 9),
    ("p3", "0", "unknown", "right", SURVEY, "A", 30), ("p4", "0", "Ada", "right", "test", "A", 30, "E2"),
]  # fmt: skip


def test_the_source_may_say_that_an_encounter_is_one_animal():
    assert units_of(seen_of(*BOTH), SURVEY).links.empty
    links = units_of(seen_of(*BOTH, one_animal=True), SURVEY).links
    assert links.values.tolist() == [["E1|left", "E1|right", "must"]]
    guessed = units_of(seen_of(*BOTH, one_animal=True, rests_on="time"), SURVEY).links
    assert guessed.empty, "of encounters that nobody numbered the source says nothing"
    entry = {"one_animal": True}
    for datasets, told in (({"mine": entry}, True), ({"mine": {}}, False)):
        assert of_one_animal({"ingest": {"dataset": "mine"}, "datasets": datasets}) is told


def test_photos_of_a_sighting_show_one_animal():
    assert sightings(seen_of(*BOTH)) == {"p1#0": "E1|left", "p2#0": "E1|left", "p3#0": "E1|right", "p4#0": "E2"}
    assert sightings(seen_of(*BOTH, one_animal=True)) == {"p1#0": "E1", "p2#0": "E1", "p3#0": "E1", "p4#0": "E2"}
    two = ("p3", "1", "unknown", "right", SURVEY, "A", 30)
    crowd = sightings(seen_of(*BOTH, two, one_animal=True))
    assert crowd == {"p1#0": "p1#0", "p2#0": "p2#0", "p3#0": "p3#0", "p3#1": "p3#1", "p4#0": "E2"}
    unclear = seen_of(*BOTH, ("p5", "0", "unknown", "unknown", SURVEY, "A", 4))
    assert sightings(unclear)["p5#0"] == "p5#0", "nobody knows which flank it goes with"


def test_photos_without_a_time_prove_nothing():
    assert units_of(seen_of(
        ("p1", "0", "unknown", "left", SURVEY, "A", -1), ("p2", "0", "unknown", "right", SURVEY, "B", -1),
    ), SURVEY).links.empty  # fmt: skip


def test_what_shows_no_flank_goes_with_one_flank_but_joins_no_two():
    one = [("p1", "0", "unknown", "left", SURVEY, "A", 0), ("p2", "0", "unknown", "unknown", SURVEY, "A", 4)]
    other = ("p3", "0", "unknown", "right", SURVEY, "A", 8)
    assert units_of(seen_of(*one), SURVEY).links.values.tolist() == [["E1|left", "E1|unknown", "must"]]
    assert units_of(seen_of(*one, other), SURVEY).links.empty


def test_where_a_photo_shows_two_animals_each_is_a_unit_and_these_two_are_not_one():
    units = units_of(seen_of(
        ("p1", "0", "unknown", "left", SURVEY, "A", 0), ("p1", "1", "unknown", "left", SURVEY, "A", 0),
        ("p2", "0", "unknown", "left", SURVEY, "A", 3), ("p3", "0", "unknown", "right", SURVEY, "B", 3),
    ), SURVEY)  # fmt: skip
    assert units.table["unit"].tolist() == ["E1|left|1", "E1|left|2", "E1|left|3", "E1|right|1"]
    assert units.links.values.tolist() == [["E1|left|1", "E1|left|2", "cannot"]]


def test_a_second_animal_without_a_crop_still_makes_an_encounter_of_several():
    units = units_of(seen_of(
        ("p1", "0", "unknown", "left", SURVEY, "A", 0), ("p1", "1", "unknown", "left", "shared", "A", 0),
        ("p2", "0", "unknown", "right", SURVEY, "B", 1),
    ), SURVEY)  # fmt: skip
    assert units.table["unit"].tolist() == ["E1|left|1", "E1|right|1", "E1|unknown|1"]
    assert units.table["flags"].tolist() == ["", "", "several"]
    assert "must" not in set(units.links["kind"])


def test_what_cannot_be_compared_is_told_of():
    units = units_of(seen_of(("p1", "0", "unknown", "left", "", "A", 0)), SURVEY)
    assert units.table[["unit", "best_crop", "photos"]].values.tolist() == [["E1|unknown", "", 1]]
    assert units.crops.empty


def test_an_encounter_that_is_named_in_part_is_one_animal_with_another_name_of_its_unit():
    units = units_of(seen_of(
        ("p1", "0", "L7", "left", "train", "A", 0), ("p2", "0", "unknown", "left", SURVEY, "A", 3),
    ), NAMED, SURVEY)  # fmt: skip
    assert units.table["unit"].tolist() == ["E1|left", "E1|left|2"]
    assert units.links.values.tolist() == [["E1|left", "E1|left|2", "must"]]


def test_of_two_named_animals_of_an_encounter_nobody_else_is_either():
    units = units_of(seen_of(
        ("p1", "0", "L7", "left", "train", "A", 0), ("p2", "0", "L8", "left", "train", "A", 3),
        ("p3", "0", "unknown", "left", SURVEY, "A", 6),
    ), NAMED, SURVEY)  # fmt: skip
    assert units.table[["unit", "identity"]].values.tolist() == [
        ["E1|left|1", "L7"], ["E1|left|2", "L8"], ["E1|left|3", "unknown"],
    ]  # fmt: skip
    assert units.links.empty


def test_rehearsal_does_not_look_at_names():
    rows = [
        ("p1", "0", "L7", "left", "test", "A", 0), ("p2", "0", "L8", "left", "test", "A", 3),
        ("p3", "0", "L7", "left", "train", "A", 0, "E2"),
    ]  # fmt: skip
    units = units_of(seen_of(*rows), GALLERY, REHEARSAL)
    assert units.table[["unit", "scope"]].values.tolist() == [["E2|left", "named"], ["E1|left", "rehearsal"]]
    hidden = [(*row[:2], "L9" if row[4] == "test" else row[2], *row[3:]) for row in rows]
    assert units_of(seen_of(*hidden), GALLERY, REHEARSAL).table["unit"].equals(units.table["unit"])


def test_what_is_asked_is_not_in_the_gallery_and_an_encounter_on_both_sides_proves_nothing():
    seen = seen_of(
        ("p1", "0", "L01", "left", "train", "A", 0), ("p2", "0", "L01", "left", "val", "A", 5),
        ("p3", "0", "L02", "left", "val", "A", 0, "E2"), ("p4", "0", "L01", "right", "test", "B", 3),
    )  # fmt: skip
    seen["gallery"] = seen["subset"] != "test"  # as in a published split, whose test photos are asked of val as well
    practice, rehearsal = (units_of(seen, GALLERY, scope) for scope in (PRACTICE, REHEARSAL))
    assert practice.table[["scope", "unit"]].values.tolist() == [
        ["named", "E1|left"], ["practice", "E1 (asked)|left"], ["practice", "E2|left"],
    ]  # fmt: skip
    assert practice.crops["crop_id"].tolist() == ["p1#0", "p2#0", "p3#0"] and practice.links.empty
    assert rehearsal.table["unit"].tolist() == ["E1|left", "E2|left", "E1 (asked)|right"]
    assert rehearsal.links.empty, "both flanks at one moment, but one of them would tell the other's name"


def test_named_animals_count_even_where_no_crop_shows_them():
    units = units_of(seen_of(("p1", "0", "L7", "left", "", "A", 0)), NAMED, SURVEY)
    assert units.table[["unit", "identity", "best_crop"]].values.tolist() == [["E1|left", "L7", ""]]
