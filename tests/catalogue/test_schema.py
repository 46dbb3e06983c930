"""The photo table: every fault is caught, named by file and row, and what is right comes out in one form."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.catalogue.schema import COLUMNS, Survey, box_text, other_orientations, photo_table, table_rows
from pelage.common.errors import PelageError


@pytest.fixture
def survey(photo_folder):
    def make(**columns) -> Survey:
        root = photo_folder(["a.jpg", "b/c.jpg"])
        rows = {"image_id": ["i1", "i2"], "path": ["a.jpg", "b/c.jpg"], "identity": ["L1", "L2"], **columns}
        table = pd.DataFrame({name: values for name, values in rows.items() if values is not None})
        return Survey(table, root, "table.csv", table_rows(len(table)))

    return make


def test_a_good_table_is_brought_into_one_form(survey):
    table = photo_table(
        survey(
            image_id=["i2", "i1"],
            path=["b\\c.jpg", "./a.jpg"],
            identity=["L2", " L1 "],
            date=["2026:01:31 23:59:59", "2026-02-01"],
            orientation=["Left", "top"],
            bbox=["[1.0, 2, 3.5, 4]", ""],
            note=["kept  as it is", ""],
            width=["7", "8"],
        )
    )
    assert list(table.columns) == [*COLUMNS, "note", "source_width"]
    assert table["image_id"].tolist() == ["i1", "i2"]
    assert table["path"].tolist() == ["a.jpg", "b/c.jpg"]
    assert table["identity"].tolist() == ["L1", "L2"]
    assert table["date"].tolist() == ["2026-02-01T00:00:00", "2026-01-31T23:59:59"]
    assert table["orientation"].tolist() == ["unknown", "left"]
    assert table["bbox"].tolist() == ["", "1 2 3.5 4"]
    assert table["note"].tolist() == ["", "kept  as it is"]
    assert table["camera"].tolist() == ["", ""]


def test_nobody_is_unknown(survey, photo_folder):
    photo_folder(["d.jpg", "e.jpg"])
    rows = {
        "image_id": list("1234"),
        "path": ["a.jpg", "b/c.jpg", "d.jpg", "e.jpg"],
        "identity": ["L1", "", "Unknown", "L2"],
    }
    assert photo_table(survey(**rows))["identity"].tolist() == ["L1", "unknown", "unknown", "L2"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"identity": None}, "table.csv has no column 'identity'"),
        ({"image_id": None}, "table.csv has no column 'image_id'"),
        ({"image_id": ["i", "i"]}, "table.csv, row 2, row 3: image_id 'i' occurs more than once"),
        ({"image_id": ["i", ""]}, "table.csv, row 3: image_id is empty"),
        ({"path": ["a.jpg", ""]}, "table.csv, row 3: path is empty"),
        ({"path": ["a.jpg", "../a.jpg"]}, "table.csv, row 3: the path '../a.jpg' leaves its folder"),
        ({"path": ["/etc/passwd", "a.jpg"]}, "table.csv, row 2: the path '/etc/passwd' leaves its folder"),
        ({"path": ["a.jpg", "b/../../x.jpg"]}, "leaves its folder"),
        ({"path": ["a.jpg", "z.jpg"]}, "table.csv, row 3: 1 of 2 photos are listed but absent"),
        ({"path": ["a.jpg", "a.jpg"]}, "table.csv, row 2, row 3: the photo 'a.jpg' is listed more than once"),
        ({"path": ["a.jpg", "a.jpg"], "bbox": ["1 2 3 4", "1 2 3 4"]}, "listed more than once"),
        ({"date": ["2026-01-31", "31/01/2026"]}, "table.csv, row 3: date '31/01/2026' is not understood"),
        ({"date": ["", "2026-02-30"]}, "table.csv, row 3: date '2026-02-30' is not understood"),
        ({"bbox": ["1 2 3", ""]}, "table.csv, row 2: bbox '1 2 3' is not understood"),
        ({"bbox": ["1 2 0 4", ""]}, "table.csv, row 2: bbox '1 2 0 4' is not understood"),
        ({"identity": ["L1", "L1"]}, "table.csv names one individual only .'L1'. in 2 photos"),
        ({"identity": ["", "unknown"]}, "table.csv names no individual by name"),
    ],
)
def test_each_fault_is_named(survey, columns, message):
    with pytest.raises(PelageError, match=message):
        photo_table(survey(**columns))


def test_absent_photos_are_counted_and_the_first_named(photo_folder):
    rows = pd.DataFrame(
        {"image_id": list("abcdefg"), "path": [f"{n}.jpg" for n in "abcdefg"], "identity": list("xyxyxyx")}
    )
    survey = Survey(rows, photo_folder(["a.jpg"]), "t.csv", table_rows(7))
    with pytest.raises(
        PelageError, match=r"t\.csv, row 3, row 4, row 5, row 6, row 7 and 1 more: 6 of 7 .*first is 'b.jpg'"
    ):
        photo_table(survey)


def test_one_photo_may_show_two_boxed_animals(survey):
    table = photo_table(survey(path=["a.jpg", "a.jpg"], bbox=["1 2 3 4", "9 2 3 4"]))
    assert table["bbox"].tolist() == ["1 2 3 4", "9 2 3 4"]


def test_other_orientations_counts_words_that_are_lost(survey):
    assert other_orientations(survey(orientation=["top", "left_side"])) == 1
    assert other_orientations(survey()) == 0


@given(
    st.lists(st.floats(0.5, 1e4), min_size=4, max_size=4),
    st.sampled_from(["[{}, {}, {}, {}]", "({},{},{},{})", "{} {} {} {}"]),
)
def test_boxes_of_any_style_read_alike(values, style):
    read = [float(part) for part in box_text(style.format(*values)).split()]
    assert read == pytest.approx(values, abs=0.0051)
