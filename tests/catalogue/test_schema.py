"""What a source tells: every fault is caught and named, costs no more than it must, and the rest is in one form."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.catalogue.inventory import list_files
from pelage.catalogue.schema import OF_CLAIMS, OF_PHOTOS, Survey, box_text, check_survey
from pelage.common.errors import PelageError

KEY = "datasets.mine"


@pytest.fixture
def survey(photo_folder):
    def make(**columns) -> Survey:
        root = photo_folder(["a.jpg", "b/c.jpg", "d.jpg"])
        rows = {"image_id": ["i1", "i2", "i3"], "path": ["a.jpg", "b/c.jpg", "d.jpg"], "identity": ["L1", "L2", "L3"]}
        rows |= columns
        table = pd.DataFrame({name: values for name, values in rows.items() if values is not None})
        return Survey(table, root, "table.csv", [f"row {i + 2}" for i in range(len(table))], list_files(root))

    return make


def test_a_good_table_is_brought_into_one_form(survey):
    checked = check_survey(
        survey(
            path=["b\\c.jpg", "./a.jpg", "D.JPG"],
            identity=["L2", " L1 ", "None"],
            date=["2026:01:31 23:59:59", "2026-02-01", "NA"],
            orientation=["Left", "top", "n/a"],
            bbox=["[1.0, 2, 3.5, 4]", "", "nan"],
            note=["kept  as it is", "", "NA"],
            width=["7", "8", ""],
        ),
        KEY,
    )
    table = checked.rows
    assert {"image_id", "path", *OF_CLAIMS, *OF_PHOTOS, "note", "source_width"} <= set(table)
    assert table["path"].tolist() == ["b/c.jpg", "a.jpg", "d.jpg"]
    assert table["identity"].tolist() == ["L2", "L1", "unknown"]
    assert table["date"].tolist() == ["2026-01-31T23:59:59", "2026-02-01", ""]
    assert table["orientation"].tolist() == ["left", "unknown", "unknown"]
    assert table["bbox"].tolist() == ["1 2 3.5 4", "", ""]
    assert table["note"].tolist() == ["kept  as it is", "", "NA"]
    assert table["camera"].tolist() == ["", "", ""]
    assert not checked.rejected
    assert checked.counts["words_for_nothing"] == 4
    assert checked.counts["other_orientations"] == 1
    assert checked.counts["paths_by_case"] == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"identity": None}, "table.csv has no column 'identity'"),
        ({"image_id": None}, "table.csv has no column 'image_id'"),
        ({"path": ["x.jpg", "y.jpg", "z.jpg"]}, "table.csv, row 2: the photo 'x.jpg' is listed but absent.*all 3 rows"),
        ({"date": ["01/02/2026"] * 3}, r"table.csv, row 2, row 3, row 4: date '01/02/2026' may begin .*datasets\.mine"),
        ({"bbox": ["0.1 0.2 0.5 0.5"] * 3}, "are shares of the photo's sides, not pixels"),
    ],
)
def test_what_makes_the_whole_meaningless_stops(survey, columns, message):
    with pytest.raises(PelageError, match=message):
        check_survey(survey(**columns), KEY)


@pytest.mark.parametrize(
    ("columns", "reason", "message", "rows"),
    [
        ({"path": ["", "b/c.jpg", "d.jpg"]}, "path", "table.csv, row 2: path is empty", 2),
        ({"path": ["../a.jpg", "b/c.jpg", "d.jpg"]}, "path", "row 2: the path '../a.jpg' leaves its folder", 2),
        ({"path": ["/etc/passwd", "b/c.jpg", "d.jpg"]}, "path", "the path '/etc/passwd' leaves its folder", 2),
        ({"path": ["b/../../x.jpg", "b/c.jpg", "d.jpg"]}, "path", "leaves its folder", 2),
        ({"path": ["z.jpg", "b/c.jpg", "d.jpg"]}, "missing", "row 2: the photo 'z.jpg' is listed but absent", 2),
        ({"date": ["2026-02-30", "2026-01-01", ""]}, "date", "row 2: date '2026-02-30' is no day of the calendar", 3),
        ({"date": ["0001-01-01", "2026-01-01", ""]}, "date", "is in the year 1", 3),
        ({"bbox": ["1 2 3", "", ""]}, "box", "row 2: bbox '1 2 3' is no box", 3),
        ({"bbox": ["1 2 0 4", "1 2 30 4", ""]}, "box", "row 2: bbox '1 2 0 4' is no box", 3),
        ({"bbox": ["0 0 0.5 1", "1 2 30 4", ""]}, "box", "is of shares of the photo's sides, where others", 3),
    ],
)
def test_a_fault_costs_its_cell_or_its_row(survey, columns, reason, message, rows):
    checked = check_survey(survey(**columns), KEY)
    assert len(checked.rows) == rows
    (rejected,) = checked.rejected
    assert rejected[0] == "i1"
    assert rejected[2] == reason
    assert message in rejected[3]
    assert checked.missing == (["z.jpg"] if reason == "missing" else [])


def test_paths_are_never_stripped_before_they_are_tried(photo_folder):
    root = photo_folder([" L1/a.jpg", "L1/a.jpg"])
    table = pd.DataFrame(
        {"image_id": ["1", "2", "3"], "path": [" L1/a.jpg", "L1/a.jpg ", "L1\\a.jpg"], "identity": "x"}
    )
    survey = Survey(table, root, "t.csv", ["row 2", "row 3", "row 4"], list_files(root))
    assert check_survey(survey, KEY).rows["path"].tolist() == [" L1/a.jpg", "L1/a.jpg", "L1/a.jpg"]


def test_absolute_paths_are_cut_alike_or_not_used(photo_folder):
    root = photo_folder(["L1/a.jpg", "L2/b.jpg", "c.jpg"])
    paths = ["C:\\x\\L1\\a.jpg", "C:/x/L2/b.jpg", "/elsewhere/y/c.jpg", str(root / "c.jpg")]
    table = pd.DataFrame({"image_id": list("1234"), "path": paths, "identity": "x"})
    checked = check_survey(Survey(table, root, "t.csv", [f"row {i}" for i in range(2, 6)], list_files(root)), KEY)
    assert checked.rows["path"].tolist() == ["L1/a.jpg", "L2/b.jpg", "c.jpg"]
    assert checked.counts["absolute_paths"] == 2
    assert [(row[0], row[2]) for row in checked.rejected] == [("3", "path")]


def test_what_is_no_photo_is_not_used_as_one(photo_folder):
    root = photo_folder({"a.jpg": None, "v.mp4": b"\0\0\0\x18ftypmp42", "h.jpg": b"\0\0\0\x18ftypheic"})
    table = pd.DataFrame({"image_id": list("123"), "path": ["a.jpg", "v.mp4", "h.jpg"], "identity": "x"})
    checked = check_survey(Survey(table, root, "t.csv", ["row 2", "row 3", "row 4"], list_files(root)), KEY)
    assert [row[2] for row in checked.rejected] == ["unsupported", "unsupported"]


def test_photos_in_a_linked_folder_may_be_listed(photo_folder):
    outside, root = photo_folder(["far.jpg"], "outside"), photo_folder(["a.jpg"])
    (root / "link").symlink_to(outside)
    table = pd.DataFrame({"image_id": list("12"), "path": ["a.jpg", "link/far.jpg"], "identity": "x"})
    survey = Survey(table, root, "t.csv", ["row 2", "row 3"], list_files(root))
    assert check_survey(survey, KEY).rows["path"].tolist() == ["a.jpg", "link/far.jpg"]


@given(
    st.lists(st.floats(0.5, 1e4), min_size=4, max_size=4),
    st.sampled_from(["[{}, {}, {}, {}]", "({},{},{},{})", "{} {} {} {}"]),
)
def test_boxes_of_any_style_read_alike(values, style):
    read = [float(part) for part in box_text(style.format(*values)).split()]
    assert read == pytest.approx(values, abs=0.0051)
