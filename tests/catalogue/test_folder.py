"""Photos in a folder, with a table and without."""

from __future__ import annotations

import pytest

from pelage.catalogue.folder import read_folder
from pelage.catalogue.inventory import list_files
from pelage.catalogue.schema import check_survey
from pelage.common.errors import PelageError
from pelage.common.params import read_params

KEY = "datasets.mine"


def read(root, dataset):
    return read_folder(root, list_files(root), dataset, KEY)


def rows(root, dataset):
    return check_survey(read(root, dataset), KEY).rows.sort_values("image_id", ignore_index=True)


def test_the_table_counts_where_there_is_one(photo_folder):
    root = photo_folder(
        ["x/1.jpg", "x/2.jpg", "x/3.jpg"], metadata="image_id,identity,path\na,L1,x/1.jpg\nb,L2,x/2.jpg\n"
    )
    assert rows(root, {})[["image_id", "identity"]].to_numpy().tolist() == [["a", "L1"], ["b", "L2"]]
    assert read(root, {}).file.endswith("metadata.csv")


def test_the_pattern_fills_what_the_table_leaves_blank(photo_folder):
    root = photo_folder(
        ["S1/L1_a.jpg", "S2/L2_b.jpg"], metadata="image_id,identity,path\na,,S1/L1_a.jpg\nb,Tom,S2/L2_b.jpg\n"
    )
    table = rows(root, {"path_pattern": r"(?P<station>S\d)/(?P<identity>L\d)"})
    assert table["identity"].tolist() == ["L1", "Tom"]
    assert table["station"].tolist() == ["S1", "S2"]


def test_a_table_of_another_name(photo_folder):
    root = photo_folder(["1.jpg", "2.jpg"], list="image_id,identity,path,date\na,L1,1.jpg,\nb,L2,2.jpg,\n")
    assert len(rows(root, {"metadata": "list.csv"})) == 2
    with pytest.raises(PelageError, match=r"other\.csv is missing"):
        read(root, {"metadata": "other.csv"})
    with pytest.raises(PelageError, match="leaves its folder"):
        read(root, {"metadata": "../other.csv"})


def test_identity_from_a_folder_level(photo_folder):
    root = photo_folder(["2024/L1/a.jpg", "2024/L2/b.JPG", "c.png", ".hidden/d.jpg", "2024/._e.jpg"])
    (root / "2024/notes.txt").write_text("words")
    table = rows(root, {"identity_level": 1})
    assert table["image_id"].tolist() == ["2024-L1-a", "2024-L2-b", "c"]
    assert table["identity"].tolist() == ["L1", "L2", "unknown"]
    assert rows(root, {"identity_level": "none"})["identity"].tolist() == ["unknown"] * 3


def test_a_name_that_the_pattern_does_not_match_stays_unknown(photo_folder):
    root = photo_folder(["L1/S1A_20260131_235959.jpg", "L2/S2B_20260201_000000.jpg", "L2/odd.jpg"])
    pattern = r"(?P<identity>[^/]+)/(?P<camera>(?P<station>S\d)[AB])_(?P<date>\d{8}_\d{6})"
    assert read(root, {"path_pattern": pattern}).counts == {"unmatched_names": 1}
    table = rows(root, {"path_pattern": pattern})
    assert table["identity"].tolist() == ["L1", "L2", "unknown"]
    assert table["station"].tolist() == ["S1", "S2", ""]
    assert table["date"].tolist() == ["2026-01-31T23:59:59", "2026-02-01T00:00:00", ""]


def test_an_empty_folder_is_explained(photo_folder):
    with pytest.raises(PelageError, match="has no photos below it"):
        read(photo_folder({"notes.txt": b"no"}), {})


@pytest.mark.parametrize("name", ["leopard", "nyala", "lion"])
def test_patterns_in_params_agree_with_the_tables_of_the_real_photos(shared_photos, name):
    root = shared_photos(name)
    told = rows(root, {})
    dataset = read_params()["datasets"][name]
    named = read(root / "images", {"path_pattern": dataset["path_pattern"]})
    assert named.counts["unmatched_names"] == 0
    found = check_survey(named, KEY).rows.sort_values("image_id", ignore_index=True)
    if name != "leopard":  # its table writes BG102B for the camera that the files call BG-102B
        shared = [column for column in named.rows if column in found and column not in ("path", "date")]
        assert found[shared].equals(told[shared])
    else:
        columns = ["image_id", "identity", "orientation", "date"]
        assert found[columns].equals(told[columns])
        for column in ("camera", "station"):
            assert found[column].str.replace("-", "").tolist() == told[column].tolist()
