"""How one split is read: what judges methods, and what is asked of them."""

import numpy as np
import pandas as pd
import pytest

from pelage.common.errors import PelageError
from pelage.common.files import write_json
from pelage.common.tables import write_table
from pelage.split.protocols import (
    ASKED,
    PROTOCOLS,
    SPLIT_COLUMNS,
    allowed,
    asked_sets,
    protocol_sets,
    read_asked,
    read_split,
)

ROWS = [  # crop, part, identity, encounter, subset, known
    ("p1#0", "flank", "a", "e1", "train", True),
    ("p1#1", "face", "a", "e1", "train", True),
    ("p2#0", "flank", "a", "e2", "val", True),
    ("p3#0", "flank", "a", "e3", "test", True),
    ("p4#0", "flank", "b", "e4", "train", True),
    ("p5#0", "flank", "v", "e5", "val", False),
    ("p6#0", "flank", "x", "e6", "test", False),
    ("p7#0", "flank", "x", "e7", "test", False),
    ("p8#0", "flank", "y", "e8", "test", False),
    ("p9#0", "flank", "unknown", "e9", "survey", False),
]


def table(published=False):
    split = pd.DataFrame(ROWS, columns=["crop_id", "part", "identity", "encounter", "subset", "known"])
    split["image_id"] = split["crop_id"].str[:2]
    split["gallery"] = split["subset"] == "train"
    split["published"] = published
    return split.reindex(columns=SPLIT_COLUMNS, fill_value="")


def ids(rows):
    return " ".join(crop[:2] for crop in rows["crop_id"])


def test_who_asks_and_who_answers():
    sets = protocol_sets(table().sample(frac=1, random_state=1), "flank")
    assert tuple(sets) == PROTOCOLS
    read = {name: (ids(one.queries), ids(one.gallery), one.same_encounter) for name, one in sets.items()}
    assert read == {
        "validation": ("p2 p5", "p1 p4", False),
        "pseudo_novel": ("p2 p5", "p1 p4", False),
        "closed": ("p3", "p1 p4", False),
        "open": ("p3 p6 p7 p8", "p1 p4", False),
        "disjoint": ("p6 p7 p8", "p6 p7 p8", False),
    }


def test_a_pseudo_novel_query_is_asked_as_if_nobody_knew_its_animal():
    split = table().assign(group=table()["encounter"])
    rules = protocol_sets(split, "flank")["pseudo_novel"]
    assert rules.may_answer(rules.queries, rules.gallery).tolist() == [[False, True], [True, True]]  # p2 and p1 show a


def test_published_protocols_keep_their_gallery():
    split = table(published=True)
    split.loc[split["crop_id"] == "p2#0", "gallery"] = True
    sets = protocol_sets(split, "flank")
    assert ids(sets["closed"].gallery) == "p1 p2 p4"
    assert ids(sets["validation"].gallery) == "p1 p4"
    assert [one.same_encounter for one in sets.values()] == [False, False, True, True, False]


def test_empty_protocols():
    assert all(one.queries.empty and one.gallery.empty for one in protocol_sets(table(), "tail").values())
    alone = table()[lambda rows: rows["identity"] != "y"]
    assert protocol_sets(alone, "flank")["disjoint"].queries.empty


def test_who_is_asked_as_if_nobody_had_named_the_queries():
    split = table().assign(group=table()["encounter"])
    sets = asked_sets(split.sample(frac=1, random_state=1), "flank")
    assert tuple(sets) == ASKED
    read = {name: (ids(one.queries), ids(one.gallery)) for name, one in sets.items()}
    assert read == {
        "practice": ("p2 p5", "p1 p2 p4 p5"),
        "rehearsal": ("p3 p6 p7 p8", "p1 p3 p4 p6 p7 p8"),
        "survey": ("p9", "p1 p2 p3 p4 p5 p6 p7 p8 p9"),
    }
    assert sets["practice"].names.tolist() == ["a", "p2#0", "b", "p5#0"], "what asks has no name in the gallery"
    assert sets["survey"].names[-1] == "p9#0" and "unknown" not in sets["survey"].names
    rules = sets["practice"]
    assert rules.may_answer(rules.queries, rules.gallery).tolist() == [
        [True, False, True, True],
        [True, True, True, False],
    ]
    assert protocol_sets(split, "flank")["disjoint"].names.tolist() == ["x", "x", "y"]


def test_nobody_pays_for_what_is_not_asked(tmp_path):
    split = table()
    assert tuple(asked_sets(split[split["subset"] != "survey"], "flank")) == ("practice", "rehearsal")
    assert not asked_sets(split, "flank", []) and not asked_sets(split, "tail")
    write_json(tmp_path / "net.json", ["survey"])
    assert tuple(asked_sets(split, "flank", read_asked(tmp_path / "net.json"))) == ("survey",)
    with pytest.raises(PelageError, match=r"other.json is missing or torn.*stage ask"):
        read_asked(tmp_path / "other.json")


def test_the_gallery_of_a_published_split_rehearses():
    split = table(published=True)
    split.loc[split["crop_id"] == "p2#0", "gallery"] = True
    sets = asked_sets(split, "flank")
    assert ids(sets["rehearsal"].gallery) == "p1 p2 p3 p4 p6 p7 p8" and not sets["rehearsal"].same_encounter


def test_own_photo_and_own_group_are_barred():
    rows = pd.DataFrame({"image_id": ["p1", "p2", "p3"], "encounter": ["e1", "e2", "e3"], "group": ["e1", "e1", "e3"]})
    eye = np.eye(3, dtype=bool)
    assert (allowed(rows, rows, same_encounter=True) == ~eye).all()
    assert allowed(rows, rows).tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    assert allowed(rows.iloc[:0], rows).shape == (0, 3)
    one, two = (places.ravel() for places in np.indices((3, 3)))
    rows["orientation"] = ["left", "right", "unknown"]
    for rules in ({}, {"same_side": True}, {"same_encounter": True}):
        paired = allowed(rows.iloc[one], rows.iloc[two], **rules, paired=True)
        assert paired.tolist() == allowed(rows, rows, **rules).ravel().tolist()


def test_reading_the_table(tmp_path):
    write_table(tmp_path / "split.csv", table())
    split = read_split(tmp_path / "split.csv")
    assert split["known"].dtype == bool and split["gallery"].sum() == 3
    write_table(tmp_path / "split.csv", table().drop(columns="encounter"))
    with pytest.raises(PelageError, match=r"split.csv has no column 'encounter'"):
        read_split(tmp_path / "split.csv")
