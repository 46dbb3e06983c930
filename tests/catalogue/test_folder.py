"""Photos in a folder, with a table and without."""

from __future__ import annotations

import pytest

from pelage.catalogue.folder import photos_below, read_folder
from pelage.catalogue.schema import photo_table
from pelage.common.errors import PelageError
from pelage.common.params import read_params

KEY = "datasets.mine"


def test_the_table_counts_where_there_is_one(photo_folder):
    root = photo_folder(
        ["x/1.jpg", "x/2.jpg", "x/3.jpg"], metadata="image_id,identity,path\na,L1,x/1.jpg\nb,L2,x/2.jpg\n"
    )
    survey = read_folder(root, {"path_pattern": "(?P<identity>nothing)"}, KEY)
    assert photo_table(survey)[["image_id", "identity"]].to_numpy().tolist() == [["a", "L1"], ["b", "L2"]]
    assert survey.exif
    assert survey.file.endswith("metadata.csv")


def test_a_table_of_another_name(photo_folder):
    root = photo_folder(["1.jpg", "2.jpg"], list="image_id,identity,path,date\na,L1,1.jpg,\nb,L2,2.jpg,\n")
    survey = read_folder(root, {"metadata": "list.csv"}, KEY)
    assert len(photo_table(survey)) == 2
    assert not survey.exif  # a table with dates is taken at its word
    with pytest.raises(PelageError, match=r"other\.csv is missing"):
        read_folder(root, {"metadata": "other.csv"}, KEY)
    with pytest.raises(PelageError, match="leaves its folder"):
        read_folder(root, {"metadata": "../other.csv"}, KEY)


def test_identity_from_a_folder_level(photo_folder):
    root = photo_folder(["2024/L1/a.jpg", "2024/L2/b.JPG", "c.png", "2024/notes.txt", ".hidden/d.jpg", "2024/._e.jpg"])
    survey = read_folder(root, {"identity_level": 1}, KEY)
    table = photo_table(survey)
    assert table["image_id"].tolist() == ["2024-L1-a", "2024-L2-b", "c"]
    assert table["identity"].tolist() == ["L1", "L2", "unknown"]
    assert photo_table(read_folder(root, {}, KEY).__class__(survey.rows, root, "x", survey.row)).equals(table)


def test_a_name_that_the_pattern_does_not_match_stays_unknown(photo_folder):
    root = photo_folder(["L1/S1A_20260131_235959.jpg", "L2/S2B_20260201_000000.jpg", "L2/odd.jpg"])
    pattern = r"(?P<identity>[^/]+)/(?P<camera>(?P<station>S\d)[AB])_(?P<date>\d{8}_\d{6})"
    survey = read_folder(root, {"path_pattern": pattern}, KEY)
    table = photo_table(survey)
    assert survey.counts == {"unmatched_names": 1}
    assert table["identity"].tolist() == ["L1", "L2", "unknown"]
    assert table["station"].tolist() == ["S1", "S2", ""]
    assert table["date"].tolist() == ["2026-01-31T23:59:59", "2026-02-01T00:00:00", ""]


def test_missing_and_empty_folders_are_explained(tmp_path, photo_folder):
    with pytest.raises(PelageError, match=rf"{KEY}.path: the folder .* does not exist"):
        read_folder(tmp_path / "nowhere", {}, KEY)
    with pytest.raises(PelageError, match="has no photos below it"):
        read_folder(photo_folder({"notes.txt": b"no"}), {}, KEY)


def test_an_impossible_file_name_is_explained(photo_folder):
    with pytest.raises(PelageError, match="characters that no table can hold"):
        photos_below(photo_folder(["a\nb.jpg"]))


@pytest.mark.parametrize("name", ["leopard", "nyala", "lion"])
def test_patterns_in_params_agree_with_the_tables_of_the_real_photos(shared_photos, name):
    root = shared_photos(name)
    told = photo_table(read_folder(root, {}, KEY))
    dataset = read_params()["datasets"][name]
    named = read_folder(root / "images", {"path_pattern": dataset["path_pattern"]} | {"metadata": None}, KEY)
    assert named.counts["unmatched_names"] == 0
    found = photo_table(named)
    if name != "leopard":  # its table writes BG102B for the camera that the files call BG-102B
        shared = [column for column in found if column in named.rows and column not in ("path", "date")]
        assert found[shared].equals(told[shared])
    else:
        columns = ["image_id", "identity", "orientation", "date"]
        assert found[columns].equals(told[columns])
        for column in ("camera", "station"):
            assert found[column].str.replace("-", "").tolist() == told[column].tolist()
