"""The folder of an export: whole or not at all, and never in the place of somebody's files."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from PIL import Image

from pelage.animals.export.files import Export
from pelage.animals.export.folder import MARKER, write_export
from pelage.animals.export.photos import without_place
from pelage.common.errors import PelageError

FIRST = Export({"a.csv": "1\n", "sub/b.csv": "2\n"}, ["What it is."], {"photos that show people": 1234, "others": 0})
SECOND = Export({"a.csv": "3\n"}, ["Another."])


def content(folder) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_former_export_gives_way(tmp_path):
    write_export(tmp_path / "out", "secr", FIRST)
    assert set(content(tmp_path / "out")) == {"a.csv", "sub/b.csv", "README.txt", MARKER}
    assert "  1,234 photos that show people\n" in content(tmp_path / "out")["README.txt"]
    assert "others" not in content(tmp_path / "out")["README.txt"]
    write_export(tmp_path / "out", "mark", SECOND)
    assert set(content(tmp_path / "out")) == {"a.csv", "README.txt", MARKER}
    assert ":\n  nothing\n" in content(tmp_path / "out")["README.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def edit(folder):
    (folder / "a.csv").write_text("my own\n")


def add(folder):
    (folder / "sub/notes.txt").write_text("mine\n")


def link(folder):
    (folder / "a.csv").rename(folder.parent / "kept.csv")
    (folder / "a.csv").symlink_to(folder.parent / "kept.csv")


def break_marker(folder):
    (folder / MARKER).write_text("[]")


def lose_marker(folder):
    (folder / MARKER).unlink()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (edit, "a.csv was added or changed since"),
        (add, "sub/notes.txt was added or changed"),
        (link, "a.csv was added or changed"),
        (break_marker, "cannot be read"),
        (lose_marker, r"is not empty, and what is in it is no export of pelage \(README.txt\)"),
    ],
)
def test_what_a_person_has_touched_stays(tmp_path, change, says):
    write_export(tmp_path / "out", "secr", FIRST)
    change(tmp_path / "out")
    before = content(tmp_path)
    with pytest.raises(PelageError, match=says):
        write_export(tmp_path / "out", "secr", SECOND)
    assert content(tmp_path) == before


def test_an_empty_folder_is_taken_and_a_file_is_not(tmp_path):
    (tmp_path / "empty").mkdir()
    write_export(tmp_path / "empty", "secr", FIRST)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PelageError, match="is no folder"):
        write_export(tmp_path / "file", "secr", FIRST)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_export(tmp_path / "link", "secr", FIRST)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real/a.csv").read_text() == "1\n"


def test_what_is_found_wrong_is_not_left_there(tmp_path):
    write_export(tmp_path / "out", "secr", FIRST)
    before = content(tmp_path)

    def check(folder):
        assert (folder / "a.csv").read_text() == "3\n"
        raise PelageError("wrong")

    with pytest.raises(PelageError, match="wrong"):
        write_export(tmp_path / "out", "secr", SECOND, check=check)
    assert content(tmp_path) == before


def test_what_somebody_puts_there_meanwhile_stays(tmp_path):
    write_export(tmp_path / "out", "secr", FIRST)
    with pytest.raises(PelageError, match=r"sub/notes\.txt was added"):
        write_export(tmp_path / "out", "secr", SECOND, check=lambda _: add(tmp_path / "out") or "right")
    assert (tmp_path / "out/sub/notes.txt").read_text() == "mine\n"


def test_the_marker_knows_each_file(tmp_path):
    write_export(
        tmp_path / "out", "secr", Export(FIRST.files, [], {}, {"media/x.jpg": "S1/x.JPG"}), lambda path: path.encode()
    )
    told = json.loads((tmp_path / "out" / MARKER).read_text())
    assert told["format"] == "secr" and set(told["files"]) == {"a.csv", "sub/b.csv", "README.txt", "media/x.jpg"}
    assert (tmp_path / "out/media/x.jpg").read_bytes() == b"S1/x.JPG"


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_copy_keeps_pixels_orientation_and_time_and_loses_the_place(make_photo, orientation):
    data = make_photo((40, 30), orientation)
    bare = without_place(data)
    before, after = (Image.open(BytesIO(one)) for one in (data, bare))
    assert before.getexif().get_ifd(0x8825) and not after.getexif().get_ifd(0x8825)
    assert after.getexif().get_ifd(0x8769)[0x9003] == "2026:03:01 06:00:00" and b"Maker" not in bare
    assert after.getexif().get(0x0112) == orientation and after.info["comment"] == b"visit"
    assert before.tobytes() == after.tobytes()


def test_words_of_editors_about_the_place_go_too(make_photo):
    data = make_photo((40, 30))
    xmp = b"http://ns.adobe.com/xap/1.0/\x00<exif:GPSLatitude>22,7S</exif:GPSLatitude>"
    data = data[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp + data[2:]
    assert b"GPSLatitude" in data and b"GPSLatitude" not in without_place(data)


def test_what_is_no_jpeg_is_told(make_photo):
    png = BytesIO()
    Image.new("RGB", (4, 4)).save(png, "PNG")
    assert (
        without_place(png.getvalue()) is None and without_place(b"\xff\xd8\xff") is None and without_place(b"") is None
    )
    assert without_place(make_photo()[:200]) is None
