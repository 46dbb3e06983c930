from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.common.errors import PelageError
from pelage.common.tables import crop_file, read_table, require_unique, write_table


def test_text_stays_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("image_id,identity,x\n007,NA,1.5\n008,,2\n")
    table = read_table(path, {"x": float})
    assert table["image_id"].tolist() == ["007", "008"]
    assert table["identity"].tolist() == ["NA", ""]
    assert table["x"].tolist() == [1.5, 2.0]


def test_written_again_has_the_same_bytes(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b,known\n"x, y",,True\nz,1e-4,False\n')
    write_table(tmp_path / "u.csv", read_table(path, {"known": bool}))
    assert (tmp_path / "u.csv").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("text", "numbers", "message"),
    [
        ("a,b\n1,2\nx,3\n", {"a": int}, "row 3: column 'a' holds 'x', which is no int"),
        ("a,b\n1,yes\n", {"b": bool}, "row 2: column 'b' holds 'yes', which is no bool"),
        ("a\n\n", {}, None),
        ("", {}, "not a readable UTF-8 CSV"),
        ("b\n1\n", {}, "no column 'a'"),
    ],
)
def test_errors_name_file_row_and_column(tmp_path, text, numbers, message):
    path = tmp_path / "photos.csv"
    path.write_text(text)
    if message is None:
        read_table(path, numbers, ["a"])
        return
    with pytest.raises(PelageError, match=message) as error:
        read_table(path, numbers, ["a"])
    assert "photos.csv" in str(error.value)


def test_missing_file():
    with pytest.raises(PelageError, match=r"nowhere\.csv is missing"):
        read_table(Path("nowhere.csv"))


def test_duplicates_are_named_with_rows(tmp_path):
    table = pd.DataFrame({"image_id": ["a", "b", "a"]})
    with pytest.raises(PelageError, match=r"rows 2, 4: image_id 'a'"):
        require_unique(table, "image_id", tmp_path / "photos.csv")


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=2, max_size=6, unique=True))
def test_crop_files_are_safe_and_different(ids):
    names = [crop_file(f"{name}#0") for name in ids if max(name) < "\ud800" or max(name) > "\udfff"]
    assert len(set(names)) == len(names)
    assert all("/" not in name and "\\" not in name and name.endswith("~0.png") for name in names)
