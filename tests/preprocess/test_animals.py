"""Animals: who a box shows, when the source says it by box, by photo, by several rows, or against itself."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.preprocess.animals import (
    CLAIMED,
    Claim,
    claims_by_photo,
    name_animals,
    owners,
    pooled_scores,
    shared_boxes,
    told_orientations,
    unusual_score,
)

MOTHER, CUB = (0, 0, 200, 120), (250, 60, 100, 50)


def whole(identity, image_id="p", **other):
    return Claim(image_id, identity, row=f"row {identity}", **other)


def boxed(identity, box, image_id="p", **other):
    return Claim(image_id, identity, box=tuple(map(float, box)), row=f"row {identity}", **other)


def named(claims, boxes):
    namings, refused = name_animals(claims, boxes)
    return [(naming.identity, naming.claimed) for naming in namings], [reason for reason, _ in refused]


def test_one_name_and_one_animal():
    assert named([whole("L1")], [MOTHER]) == ([("L1", "alone")], [])
    assert named([whole("unknown")], [MOTHER]) == ([("unknown", "nobody")], [])
    assert named([], [MOTHER]) == ([("unknown", "nobody")], [])


def test_one_name_and_several_animals_names_none_of_them_however_large_one_is():
    found, refused = named([whole("L1")], [(0, 0, 400, 300), (500, 0, 20, 10)])
    assert found == [("unknown", "several_animals")] * 2 and refused == ["several_animals"]


def test_boxes_say_which_animal_has_which_name():
    claims = [boxed("cub", (245, 58, 108, 55)), boxed("mother", (5, 5, 200, 110))]
    assert named(claims, [MOTHER, CUB]) == ([("mother", "box"), ("cub", "box")], [])
    assert named(claims[:1], [MOTHER, CUB]) == ([("unknown", "nobody"), ("cub", "box")], [])


def test_the_one_animal_that_no_box_names_has_the_name_of_the_photo():
    assert named([boxed("cub", CUB), whole("mother")], [MOTHER, CUB])[0] == [("mother", "alone"), ("cub", "box")]
    assert named([boxed("unknown", MOTHER), whole("L1")], [MOTHER])[0] == [("L1", "alone")]
    assert named([boxed("L1", MOTHER), whole("L1")], [MOTHER, CUB])[0] == [("L1", "box"), ("unknown", "nobody")]


def test_rows_without_boxes_do_not_say_which_is_which():
    found, refused = named([whole("L1"), whole("L2")], [MOTHER, CUB])
    assert found == [("unknown", "several_names")] * 2 and refused == ["several_names"]
    assert named([whole("L1"), whole("L2")], [MOTHER])[0] == [("unknown", "several_names")]
    assert named([whole("L1"), whole("unknown")], [MOTHER])[0] == [("unknown", "several_names")]


def test_copies_of_a_photo_in_two_folders_contradict_one_another():
    claims = [whole("L1"), whole("L3", "copy")]
    namings, [(reason, detail)] = name_animals(claims, [MOTHER])
    assert (namings[0].identity, namings[0].claimed, reason) == ("unknown", "conflict", "conflict")
    assert "'L1' by row L1 and 'L3' by row L3" in detail
    assert named([whole("L1"), whole("L1", "copy")], [MOTHER])[0] == [("L1", "alone")]
    assert named([whole("unknown"), whole("L1", "copy")], [MOTHER])[0] == [("L1", "alone")]


def test_two_rows_that_claim_one_animal_are_a_conflict():
    found, refused = named([boxed("L1", MOTHER), boxed("L2", (2, 1, 199, 119))], [MOTHER, CUB])
    assert found == [("unknown", "conflict"), ("unknown", "nobody")] and refused == ["conflict"]
    assert named([boxed("L1", MOTHER), boxed("L1", MOTHER)], [MOTHER])[0] == [("L1", "box")]


def test_two_animals_found_as_one_are_nobody_and_crowded():
    both = (0, 0, 360, 130)
    for claims in ([boxed("L1", MOTHER), boxed("L2", CUB)], [boxed("L1", MOTHER), boxed("unknown", CUB)]):
        [naming], refused = name_animals(claims, [both])
        assert (naming.identity, naming.claimed, naming.crowded) == ("unknown", "several_names", True)
        assert len(refused) == 1


def test_a_name_whose_animal_was_not_found_is_told():
    assert named([boxed("L1", (900, 900, 50, 50))], [MOTHER]) == ([("unknown", "nobody")], ["no_animal"])
    assert named([whole("L1")], []) == ([], ["no_animal"])


def test_sides_and_species_come_with_the_claim():
    claims = [boxed("cub", CUB, orientation="left", species="Panthera"), whole("mother", orientation="right")]
    assert told_orientations(claims, [MOTHER, CUB]) == ["unknown", "left"]
    assert told_orientations(claims[1:], [MOTHER]) == ["right"]
    assert told_orientations([whole("a", orientation="left"), whole("a", "c", orientation="right")], [CUB]) == [
        "unknown"
    ]
    assert [naming.species for naming in name_animals(claims, [MOTHER, CUB])[0]] == ["", "Panthera"]
    assert name_animals([whole("unknown", species="Panthera")], [MOTHER])[0][0].species == "Panthera"


boxes = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200), st.integers(1, 200))
claim = st.builds(
    Claim,
    st.sampled_from("pqr"),
    st.sampled_from(["L1", "L2", "L3", "unknown"]),
    box=st.one_of(st.none(), boxes.map(lambda box: tuple(map(float, box)))),
)


@given(st.lists(claim, max_size=6), st.lists(boxes, max_size=4))
def test_whatever_is_claimed_a_name_is_given_or_told_and_never_to_two_by_photo(claims, found):
    namings, refused = name_animals(claims, found)
    assert len(namings) == len(found) and all(naming.claimed in CLAIMED for naming in namings)
    given_names = {naming.identity for naming in namings} - {"unknown"}
    claimed = {one.identity for one in claims} - {"unknown"}
    assert given_names <= claimed
    assert given_names == claimed or refused
    assert sum(naming.claimed == "alone" for naming in namings) <= 1
    backwards = name_animals(claims[::-1], found)[0]
    if not any(one.box for one in claims):
        assert [naming.identity for naming in backwards] == [naming.identity for naming in namings]


def test_claims_of_copies_are_claims_of_what_they_repeat():
    columns = ["image_id", "claim", "identity", "orientation", "bbox", "species", "row"]
    rows = [("a", 0, "L1", "left", "1 2 3 4.5", "", "row 2"), ("b", 0, "L3", "", "", "", "row 3")]
    claims = pd.DataFrame([*rows, ("c", 0, "unknown", "", "", "", "row 4")], columns=columns)
    copies = pd.DataFrame([("b", "a", "duplicate")], columns=["image_id", "copy_of", "kind"])
    told = claims_by_photo(claims, copies)
    assert [one.identity for one in told["a"]] == ["L1", "L3"] and told["a"] == told["b"]
    assert told["a"][0].box == (1, 2, 3, 4.5) and told["a"][1].box is None
    assert told["c"][0].orientation == "unknown"


def test_every_claim_belongs_to_what_it_overlaps_most():
    claims = [boxed("a", CUB), boxed("b", MOTHER), whole("c"), boxed("d", (1000, 0, 5, 5))]
    assert owners(claims, [MOTHER, CUB]) == [1, 0, None, None]
    assert owners(claims, []) == [None] * 4


def test_a_crop_is_shared_where_another_box_covers_some_of_it():
    flank, face = (100, 10, 90, 80), (10, 10, 40, 40)
    parts = [(0, flank), (0, face), (1, CUB)]
    assert shared_boxes([MOTHER, CUB], parts, 0.0, (400, 300)) == [False, False, False]
    near = (180, 20, 100, 60)
    assert shared_boxes([MOTHER, near], [(0, flank), (0, face), (1, near)], 0.0, (400, 300)) == [True, False, True]
    beside = [MOTHER, (200, 20, 60, 60)]
    assert shared_boxes(beside, [(0, flank)], 0.0, (400, 300)) == [False]
    assert shared_boxes(beside, [(0, flank)], 0.3, (400, 300)) == [True]  # the room around a crop counts
    assert shared_boxes([MOTHER], [(0, flank)], 0.0, (400, 300)) == [False]
    assert np.size(shared_boxes([MOTHER, CUB], [], 0.0, (400, 300))) == 0


def test_company_lasts_for_an_encounter_by_hand():
    """Log odds ln 9 and -ln 9 of one encounter have the mean 0; each is halved towards it: 3 to 1, and 1 to 3."""
    found = pooled_scores([0.9, 0.1, 0.9, 0.9, 0.1], ["e", "e", "", "f", ""])
    assert found.tolist() == pytest.approx([0.75, 0.25, 0.9, 0.9, 0.1])
    assert pooled_scores([0.0, 1.0, 0.2], ["a", "b", ""]).tolist() == [0.0, 1.0, 0.2]
    assert pooled_scores([], []).tolist() == []


def test_only_what_stands_out_in_a_survey_is_two_by_hand():
    """Log odds -2, -1, 0, 1, 2 (in ln 3): median 0, median deviation ln 3, so 2 x 1.4826 x ln 3 is unusual."""
    builds = [0.1, 0.25, 0.5, 0.75, 0.9]
    assert unusual_score(builds, 0.35) == pytest.approx(1 / (1 + 3 ** -(2 * 1.4826)))
    assert unusual_score([0.01] * 20 + [0.9], 0.35) == 0.35
    assert unusual_score([], 0.35) == 0.35
