"""A whole data set: one row a photo, one a claim, every file with a verdict, several sources as one."""

from __future__ import annotations

import csv
import io
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pelage.catalogue.data_set import bring_in, to_look_at
from pelage.common.errors import PelageError

JPEG = b"\xff\xd8\xff\xe0" + bytes(8)


def table(*rows: str, header: str = "image_id,path,identity") -> str:
    return "\n".join([header, *rows]) + "\n"


@pytest.fixture
def read(photo_folder, brought):
    """Return a function that reads photos a.jpg, b.jpg and L1/c.jpg as a table lists them."""

    def run(text: str | bytes, files=("a.jpg", "b.jpg", "L1/c.jpg"), **entry):
        root = photo_folder(list(files))
        (root / "metadata.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        return brought(root, **entry)

    return run


def claims(data) -> list[tuple]:
    return list(data.claims[["image_id", "claim", "identity", "bbox"]].itertuples(index=False, name=None))


def test_a_photo_of_two_animals_is_one_row_and_two_claims(read):
    data = read(
        table(
            *("p2,a.jpg,L2,5 5 9 9,", "p1,a.jpg,L1,1 2 3 4,x", "q,b.jpg,L1,,", "r,L1/c.jpg,,,"),
            header="image_id,path,identity,bbox,note",
        )
    )
    assert data.photos["image_id"].tolist() == ["p1", "q", "r"]
    assert not {"identity", "bbox", "orientation", "species"} & set(data.photos)
    assert data.photos["note"].tolist() == ["x", "", ""]
    assert claims(data) == [("p1", 0, "L2", "5 5 9 9"), ("p1", 1, "L1", "1 2 3 4"), ("q", 0, "L1", "")]
    assert data.claims["row"].tolist() == ["row 2", "row 3", "row 4"]


def test_two_rows_that_claim_one_animal_both_stand_and_a_repeated_one_does_not(read):
    data = read(
        table(*("p,a.jpg,L1,1 2 3 4", "p,a.jpg,L2,1 2 3 4", "p,a.jpg,L1,1 2 3 4"), header="image_id,path,identity,bbox")
    )
    assert claims(data) == [("p", 0, "L1", "1 2 3 4"), ("p", 1, "L2", "1 2 3 4")]
    assert data.counts["repeated_rows"] == 1
    assert data.counts["rejected"] == {"repeated": 1}


def test_boxes_for_half_of_the_photos(read):
    data = read(table(*("p,a.jpg,L1,1 2 3 4", "q,b.jpg,L2,"), header="image_id,path,identity,bbox"))
    assert (data.counts["with_box"], data.counts["photos"]) == (1, 2)


def test_cells_of_a_photo_on_which_rows_disagree_are_emptied(read):
    header = "image_id,path,identity,date,station"
    data = read(table("p,a.jpg,L1,2026-01-31,S1", "p,a.jpg,L2,2026-02-01,S1", "p,a.jpg,L3,,", header=header))
    assert data.photos[["date", "station"]].to_numpy().tolist() == [["", "S1"]]
    assert data.counts["rejected"] == {"conflict": 1}
    assert "disagree on date: '2026-01-31' and '2026-02-01'" in data.rejected["detail"].iloc[0]


def test_an_id_of_several_photos_is_made_longer_for_all_of_them(read):
    data = read(table("p,a.jpg,L1", "p,b.jpg,L2", ",L1/c.jpg,L2"))
    assert data.photos["image_id"].tolist() == ["L1-c", "p-a", "p-b"]
    assert data.counts["repeated_ids"] == 2


def test_rows_with_too_many_cells_and_listed_but_absent_photos_stop_nothing(read):
    data = read(table("p,a.jpg,L1", "q,b.jpg,L2,oops", "r,z.jpg,L2", "s,L1/c.jpg,L2,,,"))
    assert data.photos["image_id"].tolist() == ["p", "s"]
    assert data.counts["rejected"] == {"cells": 1, "missing": 1}
    verdicts = data.files.set_index("path")["verdict"].to_dict()
    assert verdicts == {
        "a.jpg": "photo",
        "b.jpg": "unlisted",
        "L1/c.jpg": "photo",
        "metadata.csv": "table",
        "z.jpg": "missing",
    }
    assert any("photos that no row of the table lists" in line for line in to_look_at(data))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + table("p,a.jpg,L1", "q,b.jpg,L2"),
        table("p;a.jpg;L1", "q;b.jpg;L2", header="image_id;path;identity"),
        table("p\ta.jpg\tL1", "q\tb.jpg\tL2", header="image_id\tpath\tidentity"),
        "sep=;\n" + table("p;a.jpg;L1", "q;b.jpg;L2", header="image_id;path;identity"),
        table("p,a.jpg,L1,", "q,b.jpg,L2,", ",,,", ",,,"),
        table("p,a.jpg,L1", "", "q,b.jpg,L2", header="image_id,path,identity,"),
        table("p,a.jpg,L1", "q,b.jpg,L2").replace("\n", "\r\n"),
        table('"p","a.jpg" ,"L1"', '"q","b.jpg","L2"'),
        table("p,a.jpg,L1", "q,b.jpg,L2", header="Image ID,PATH,Identity"),
    ],
)
def test_what_spreadsheets_do_to_a_table_is_undone(read, text):
    data = read(text)
    assert data.photos[["image_id", "path"]].to_numpy().tolist() == [["p", "a.jpg"], ["q", "b.jpg"]]
    assert data.claims["identity"].tolist() == ["L1", "L2"]


def test_dates_of_spreadsheets_are_asked_about(read):
    text = table("p,a.jpg,L1,03/04/2026 10:22", "q,b.jpg,L2,31/04/2026", header="image_id,path,identity,date")
    with pytest.raises(PelageError, match="date_order: dmy"):
        read(text)
    data = read(text, date_order="dmy")
    assert data.photos["date"].tolist() == ["2026-04-03T10:22:00", ""]
    assert data.counts["rejected"] == {"date": 1}


def test_exif_fills_blank_dates_and_those_that_are_not_understood(photo_folder, make_jpeg, brought):
    files = {name: make_jpeg(1, "2026:01:31 10:00:00") for name in ("a.jpg", "b.jpg", "c.jpg")}
    header = "image_id,path,identity,date"
    rows = table("p,a.jpg,L1,", "q,b.jpg,L2,2026-02-02", "r,c.jpg,L2,soon", header=header)
    data = brought(photo_folder(files, metadata=rows))
    assert data.photos["date"].tolist() == ["2026-01-31T10:00:00", "2026-02-02", "2026-01-31T10:00:00"]


@pytest.mark.parametrize("column", ["encounter", "station", "camera", "sequence"])
@pytest.mark.parametrize("word", ["NA", "None", "unknown", "n/a"])
def test_a_word_for_nothing_joins_no_photos(read, column, word):
    data = read(table(f"p,a.jpg,L1,{word}", f"q,b.jpg,L2,{word}", header=f"image_id,path,identity,{column}"))
    assert data.photos[column].tolist() == ["", ""]


def test_a_column_of_the_pipelines_own_is_kept_under_another_name(read):
    data = read(table("p,a.jpg,L1,x,y", "q,b.jpg,L2,,", header="image_id,path,identity,source,night"))
    assert data.photos["source"].tolist() == ["mine", "mine"]
    assert data.photos[["source_source", "source_night"]].to_numpy().tolist() == [["x", "y"], ["", ""]]


def test_encounter_numbers_that_start_anew_are_told(read):
    data = read(table("p,a.jpg,L1,1", "q,b.jpg,L2,1", header="image_id,path,identity,encounter"))
    assert data.counts["shared_encounters"] == 1
    assert any("such as '1' of L1, L2" in line for line in to_look_at(data))


def test_fewer_than_two_individuals_are_told(read):
    for rows, said in (
        (("p,a.jpg,L1", "q,b.jpg,NA"), "one individual only"),
        (("p,a.jpg,", "q,b.jpg,None"), "no indiv"),
    ):
        data = read(table(*rows))
        assert len(data.photos) == 2 and any(said in line for line in to_look_at(data))
    assert not any("nothing is learnt" in line for line in to_look_at(read(table("p,a.jpg,L1", "q,b.jpg,L2"))))
    with pytest.raises(PelageError, match=r"has no column 'identity'.*an empty one names nobody"):
        read(table("p,a.jpg", header="image_id,path"))


def test_names_of_250_bytes(photo_folder, brought):
    name = "ё" * 123 + ".jpg"
    data = brought(photo_folder([f"L1/{name}", f"L2/{name}"]))
    assert data.photos["path"].tolist() == [f"L1/{name}", f"L2/{name}"]
    assert data.counts["unreadable"] == 0


def test_several_sources_make_one_data_set(photo_folder, brought):
    old = photo_folder(
        ["a.jpg", "b.jpg"], "old", metadata="image_id,path,identity,encounter\n1,a.jpg,Zawadi,1\n2,b.jpg,L2,2\n"
    )
    new = photo_folder(["S1/a.jpg", "S1/b.jpg"], "new")
    more = photo_folder(["x.jpg"], "more", metadata="image_id,path,identity,encounter\n1,x.jpg,zawadi,1\n")
    sources = [
        {"name": "old", "source": "folder", "path": str(old)},
        {"name": "new", "source": "folder", "path": str(new), "identity_level": "none"},
        {"name": "more", "source": "folder", "path": str(more)},
    ]
    data = brought(sources=sources, boxes="whole")
    assert data.photos["image_id"].tolist() == ["more-1", "new-S1-a", "new-S1-b", "old-1", "old-2"]
    assert data.photos["path"].tolist() == ["more/x.jpg", "new/S1/a.jpg", "new/S1/b.jpg", "old/a.jpg", "old/b.jpg"]
    assert data.photos["source"].tolist() == ["more", "new", "new", "old", "old"]
    assert data.photos["encounter"].tolist() == ["more-1", "", "", "old-1", "old-2"]
    assert data.claims["identity"].tolist() == ["Zawadi", "Zawadi", "L2"]
    assert set(zip(data.files["source"], data.files["path"], strict=True)) >= {
        ("old", "metadata.csv"),
        ("new", "S1/a.jpg"),
    }
    assert data.photos["sha256"].str.len().eq(64).all()


WORDS = ["", "L1", "L2", "l1", "NA", "nan", " L 2", "José", unicodedata.normalize("NFD", "José"), "unknown"]
PATHS = ["a.jpg", "B/b.jpg", "b\\b.JPG", " c.jpg", "../x.jpg", "v.mp4", "gone.jpg", "", "C:\\u\\a.jpg", "h/.d.jpg"]
DATES = ["", "2026-01-31", "2026-01-31 10:00", "0001-01-01", "NA", "2026-02-01T10:00:00"]
BOXES = ["", "1 2 3 4", "[1, 2, 3, 4]", "1 2 3", "nan", "0.1 0.1 0.5 0.5", "9 9 20 20"]
ROWS = st.tuples(
    st.sampled_from(["", "1", "2", "3"]),
    st.sampled_from(PATHS),
    st.sampled_from(WORDS),
    st.sampled_from(DATES),
    st.sampled_from(BOXES),
    st.sampled_from(["S1", "s1", "", "NA"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(ROWS, min_size=1, max_size=24))
def test_every_file_and_cell_is_used_rejected_or_counted(monkeypatch, rows):
    sure = [
        ("x", "sure1.jpg", "Sure1", "2026-01-01", "1 2 30 40", ""),
        ("y", "sure2.jpg", "Sure2", "2026-01-01", "", ""),
    ] * 15
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("PELAGE_CACHE", folder + "/cache")
        root = Path(folder, "photos")
        for path in ("a.jpg", "B/b.jpg", " c.jpg", "h/.d.jpg", "sure1.jpg", "sure2.jpg", "idle.jpg"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(JPEG)
        (root / "v.mp4").write_bytes(b"film")
        text = io.StringIO()
        csv.writer(text).writerows([("image_id", "path", "identity", "date", "bbox", "station"), *sure, *rows])
        (root / "metadata.csv").write_text(text.getvalue())
        before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        out = Path(folder, "out")
        (out / "truth").mkdir(parents=True)
        data = bring_in({"source": "folder", "path": str(root)}, "mine", out, out / "truth", "copy")
        assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before

    files = data.files.set_index("path")["verdict"]
    walked = {"a.jpg", "B/b.jpg", " c.jpg", "h/.d.jpg", "sure1.jpg", "sure2.jpg", "idle.jpg", "v.mp4", "metadata.csv"}
    assert walked <= set(files.index) and files.index.is_unique
    assert set(files.index[files == "photo"]) == set(data.photos["path"]) and data.photos["path"].is_unique
    assert data.photos["image_id"].is_unique and data.photos["image_id"].is_monotonic_increasing
    assert set(data.claims["image_id"]) <= set(data.photos["image_id"])
    claimed = set(data.claims["row"])
    for number, (_, path, identity, date, box, _) in enumerate(rows, len(sure) + 2):
        here = data.rejected["detail"].str.contains(rf"\brow {number}:").any()
        if path in ("../x.jpg", "v.mp4", "gone.jpg", ""):
            assert here, "a row that is not used is rejected"
            continue
        told = identity.strip().lower() not in ("", "na", "nan", "unknown") or box in (
            "1 2 3 4",
            "[1, 2, 3, 4]",
            "9 9 20 20",
        )
        if told:
            assert f"row {number}" in claimed or here, "what a row says of an animal is a claim, or said elsewhere"
        if date == "0001-01-01" or box in ("1 2 3", "0.1 0.1 0.5 0.5"):
            assert here
    names = set(data.claims["identity"])
    assert len({unicodedata.normalize("NFKC", name).casefold() for name in names}) == len(names)
    assert not {"NA", "nan", ""} & names
    nothing = sum(word in ("NA", "nan") for row in rows for word in row[2:])
    assert data.counts["words_for_nothing"] == nothing
