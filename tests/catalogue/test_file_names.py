"""Names of files and folders: what they tell, and what is refused."""

from __future__ import annotations

import pytest

from pelage.catalogue.names import id_from_path, parse_names
from pelage.common.errors import PelageError


def test_ids_come_from_paths_and_never_collide():
    assert id_from_path(["a/b.jpg", "c.JPG"]) == ["a-b", "c"]
    assert id_from_path(["a.jpg", "a.png", "b/c.d.jpg"]) == ["a.jpg", "a.png", "b-c.d"]
    assert id_from_path(["a/b.jpg", "a-b.jpg"]) == ["a/b.jpg", "a-b.jpg"]


def test_named_groups_become_columns_and_misses_are_counted():
    pattern = r"(?P<identity>L\d+)_(?P<side>left|right)?"
    table, unmatched = parse_names(["x/L1_left.jpg", "L2_.jpg", "nobody.jpg"], pattern, "key")
    assert table["identity"].tolist() == ["L1", "L2", ""]
    assert table["side"].tolist() == ["left", "", ""]
    assert unmatched == 1


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<identity>", "datasets.x.path_pattern is no regular expression"),
        ("(L.)", "needs named groups"),
        ("(?P<path>.*)", "none called path"),
        ("(?P<identity>Z+)", "matches no photo, not even 'L1.jpg'"),
    ],
)
def test_wrong_patterns_are_explained(pattern, message):
    with pytest.raises(PelageError, match=message):
        parse_names(["L1.jpg"], pattern, "datasets.x.path_pattern")
