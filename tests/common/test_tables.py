import csv
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.common.errors import PelageError
from pelage.common.tables import (
    crop_file,
    read_parquet,
    read_rows,
    read_table,
    require_unique,
    write_parquet,
    write_table,
)


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
    "text",
    [
        "\ufeffa,b\n1,x\n,y\n",
        "a;b\n1;x\n;y\n",
        "a\tb\n1\tx\n\ty\n",
        "sep=;\na;b\n1;x\n;y\n",
        "a,b\n1,x,\n,y,,\n",
        '"a",b\r\n1,"x"\r\n,y\r\n',
    ],
)
def test_what_spreadsheets_write_is_read_alike(tmp_path, text):
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert read_table(tmp_path / "t.csv").to_numpy().tolist() == [["1", "x"], ["", "y"]]
    assert read_rows(tmp_path / "t.csv").table.to_numpy().tolist() == [["1", "x"], ["", "y"]]


def test_a_header_with_commas_wins(tmp_path):
    (tmp_path / "t.csv").write_text("a,b;c\n1;2,x\n")
    assert read_table(tmp_path / "t.csv").to_dict("list") == {"a": ["1;2"], "b;c": ["x"]}


def test_odd_rows_are_told_and_stop_nothing(tmp_path):
    (tmp_path / "t.csv").write_text('a,b,,a\n1,2,3,4\n\n5\n,,,\n1,2,3,4,,\n1,2,3,4,5\n"two\nlines",,,\n')
    rows = read_rows(tmp_path / "t.csv")
    assert rows.table.columns.tolist() == ["a", "b", "column 3", "a.4"]
    assert rows.table["a"].tolist() == ["1", "5", "1", "two\nlines"]
    assert rows.numbers == [2, 4, 6, 8]
    assert (rows.longer, rows.blank, rows.shorter) == ([(7, "1,2,3,4,5")], 1, 1)


def test_rows_that_end_early_are_empty_text(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1\n")
    assert read_table(tmp_path / "t.csv").to_numpy().tolist() == [["1", ""]]


TEXT = st.lists(st.sampled_from([*"a1 é;\t\\", "NA", ",", ",", '"', '""', "\n", "\r\n"]), max_size=14).map("".join)


@given(st.one_of(TEXT, TEXT.map(lambda text: text.replace('"', ""))))
def test_a_table_is_read_as_pythons_own_reader_has_its_rows(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(f"a,b\n{text}", newline="")
    told = None
    with suppress(PelageError):
        told = read_table(path).to_numpy().tolist()
    rows = [row for row in csv.reader(StringIO(f"{text}\n", newline="")) if row]
    if text.count('"') % 2 == 0 and all(len(row) == 2 for row in rows):
        assert told == rows
    elif told is not None:
        whole = [[*row, ""][:2] for row in rows if any(cell.strip() for cell in row)]
        assert [row for row in told if any(cell.strip() for cell in row)] == whole


@pytest.mark.parametrize("word", ["TRUE", "true", "True", "1"])
def test_words_of_spreadsheets_for_true(tmp_path, word):
    (tmp_path / "t.csv").write_text(f"a\n{word}\nFALSE\n")
    assert read_table(tmp_path / "t.csv", {"a": bool})["a"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a,b\nx,é\n".encode("latin-1"), r"row 2 holds b'\\xe9', as older exports .* Save it again as 'CSV UTF-8'"),
        ("a,b\n".encode("utf-16"), "UTF-16.* Save it again as 'CSV UTF-8'"),
        (b"PK\3\4rest", "is a workbook.* Save the sheet as 'CSV UTF-8'"),
    ],
)
def test_other_encodings_are_refused_with_the_mend(tmp_path, data, message):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(PelageError, match=message):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "numbers", "message"),
    [
        ("a,b\n1,2\nx,3\n", {"a": int}, "row 3: column 'a' holds 'x', which is no int"),
        ("a,b\n1,yes\n", {"b": bool}, "row 2: column 'b' holds 'yes', which is no bool"),
        ("a\n\n", {}, None),
        ("", {}, "is empty"),
        ("a,b\n1,2,3\n", {}, "row 2: there are more cells than columns"),
        ('a,b\n1,"2\nx,3\n', {}, "from line 2 on it is no CSV table .*quotation mark is not closed"),
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


@pytest.mark.parametrize("text", ['a,b,c\n007,"x, y",1.5\n', "a;b;c\n007;x, y;1.5\n"])
def test_some_columns_of_a_table(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    table = read_table(tmp_path / "t.csv", {"c": float, "a": int}, columns=["c", "b"])
    assert table.to_dict("list") == {"c": [1.5], "b": ["x, y"]}
    with pytest.raises(PelageError, match="has no column 'd' \\(it has a, b, c\\)"):
        read_table(tmp_path / "t.csv", columns=["a", "d"])


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


@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=150, max_size=400), min_size=1, max_size=4),
    st.integers(0, 12345),
)
def test_crop_files_of_long_ids_are_short_and_different(ids, number):
    ids = {other for name in ids for other in (name, name + "x", name[1:], name[:120] + "y" + name[121:], name[:9])}
    names = [crop_file(f"{name}#{number}") for name in ids]
    assert len(set(names)) == len(ids)
    assert all(len(name.encode()) < 200 and name.endswith(f"~{number}.png") and "/" not in name for name in names)


def test_only_names_that_are_too_long_are_cut():
    assert crop_file("L1/V1 a#0") == "L1%2FV1%20a~0.png"
    assert crop_file("a" * 193 + "#0") == "a" * 193 + "~0.png"
    cyrillic = crop_file("снежный барс " * 5 + "#0")  # 65 characters, 390 bytes when encoded
    assert len(cyrillic) == 173 and "=" in cyrillic
    assert crop_file("\0#0") != crop_file("~#0")


def test_only_the_rows_and_columns_that_are_wanted_are_read(tmp_path):
    table = pd.DataFrame({"protocol": ["a", "b", "a"], "query": ["x", "y", "z"], "rank": [1, 2, 3]})
    write_parquet(tmp_path / "t.parquet", table)
    found = read_parquet(tmp_path / "t.parquet", where={"protocol": "a"}, columns=["query", "rank"])
    assert found.to_dict("list") == {"query": ["x", "z"], "rank": [1, 3]}
    write_parquet(tmp_path / "t.parquet", table.head(0))
    assert read_parquet(tmp_path / "t.parquet", where={"protocol": "a"}).empty
