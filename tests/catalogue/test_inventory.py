"""The inventory: every file is in it with its kind, and what did not change is not read again."""

from __future__ import annotations

import builtins
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pelage.catalogue import inventory
from pelage.catalogue.entries import Source, habitat_file, results_files
from pelage.catalogue.inventory import (
    habitat_rows,
    inventory_rows,
    kind_of,
    list_files,
    results_rows,
    source_files,
    write_inventory,
)
from pelage.common.errors import PelageError

ROOT = Path(__file__).resolve().parents[2]
JPEG, PNG, TIFF = b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\0"


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Return the state file; files count as settled at once."""
    monkeypatch.setattr(inventory, "_SETTLED_NS", -(10**12))
    return tmp_path / "state.tsv"


@pytest.fixture
def opened(monkeypatch):
    """Return the list of files that are opened for reading from now on."""
    seen: list[str] = []
    real = builtins.open

    def noting(file, *arguments, **options):
        seen.append(os.path.basename(os.fsdecode(file)))
        return real(file, *arguments, **options)

    monkeypatch.setattr(inventory, "open", noting, raising=False)
    return seen


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.JPG", b"", "photo"),
        ("a.jfif", b"damaged", "photo"),
        ("a.jpe", JPEG, "photo"),
        ("a", JPEG, "photo"),
        ("a.dat", PNG, "photo"),
        ("a.tif", TIFF, "photo"),
        ("a.webp", b"RIFF1234WEBPVP8 ", "photo"),
        ("a.bmp", b"BM" + bytes(30), "photo"),
        ("a.DNG", TIFF, "unsupported"),
        ("a.NEF", b"MM\0*", "unsupported"),
        ("a.heic", b"", "unsupported"),
        ("a.jpg", b"\0\0\0\x18ftypheic", "unsupported"),
        ("a.jpg", b"\0\0\0\x18ftypmp42", "video"),
        ("a.gif", b"GIF89a", "unsupported"),
        ("a.avif", b"\0\0\0\x18ftypavif", "unsupported"),
        ("a.MP4", b"", "video"),
        ("a.avi", b"RIFF1234AVI LIST", "video"),
        ("a.csv", b"BMW,x\n", "table"),
        ("a.THM", JPEG, "thumbnail"),
        ("a.txt", b"words", "other"),
    ],
)
def test_kinds_are_told_by_content_and_by_name(name, head, kind):
    assert kind_of(name, head) == kind


def test_nothing_is_left_out_and_nothing_stops_it(photo_folder, tmp_path):
    outside = photo_folder(["far.jpg"], "outside")
    names = ["L1/a.jpg", "L1/.b.jpg", ".git/c.jpg", "@eaDir/d.jpg", "$RECYCLE.BIN/S-1/e.jpg", "__MACOSX/L1/._a.jpg"]
    root = photo_folder(
        [*names, "System Volume Information/x", "Thumbs.db", " blank/f.jpg", "a\tb.jpg", "n\xa0b.jpg", "v.mp4"]
    )
    (root / "link.jpg").symlink_to(outside / "far.jpg")
    (root / "folder").symlink_to(outside)
    (root / "lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "round.jpg").symlink_to(root / "round.jpg")
    (root / "notes.md").write_text("words")
    os.mkfifo(root / "pipe.jpg")
    with open(os.fsencode(root) + b"/latin\xe9.jpg", "wb") as file:
        file.write(JPEG)
    files = list_files(root)
    kinds = {file.path: file.kind for file in files}
    assert kinds == {
        "L1/a.jpg": "photo",
        "L1/.b.jpg": "hidden",
        ".git/c.jpg": "hidden",
        "@eaDir/d.jpg": "thumbnail",
        "$RECYCLE.BIN/S-1/e.jpg": "system",
        "__MACOSX/L1/._a.jpg": "system",
        "System Volume Information/x": "system",
        "Thumbs.db": "system",
        " blank/f.jpg": "photo",
        "a\\tb.jpg": "unnameable",
        "n\xa0b.jpg": "photo",
        "v.mp4": "photo",  # it is a JPEG
        "link.jpg": "photo",
        "folder": "link",
        "lost.jpg": "broken_link",
        "round.jpg": "broken_link",
        "notes.md": "other",
        "pipe.jpg": "other",
        "latin\\xe9.jpg": "unnameable",
    }
    assert files == sorted(files)


def test_what_a_table_lists_is_read_wherever_it_lies(photo_folder, state):
    outside = photo_folder(["far.jpg", "idle.jpg"], "outside")
    root = photo_folder(["a.jpg", ".h/b.jpg", ".h/idle.jpg"], metadata="image_id,path\n1,.h\\b.jpg\n2,link/far.jpg\n")
    (root / "link").symlink_to(outside)
    files = {file.path: file for file in list_files(root, state)}
    assert {path: file.kind for path, file in files.items()} == {
        "a.jpg": "photo",
        ".h/b.jpg": "photo",
        ".h/idle.jpg": "hidden",
        "link": "link",
        "link/far.jpg": "photo",
        "metadata.csv": "table",
    }
    assert files["link/far.jpg"].sha256 and files[".h/b.jpg"].sha256
    (outside / "far.jpg").write_bytes(JPEG)
    again = {file.path: file for file in list_files(root, state)}
    assert again["link/far.jpg"].sha256 != files["link/far.jpg"].sha256


def test_what_may_not_be_read_is_a_row(photo_folder, monkeypatch):
    root = photo_folder(["L1/a.jpg", "L2/b.jpg"])
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("L2"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    monkeypatch.setattr(inventory, "open", refusing_open, raising=False)
    files = {file.path: file for file in list_files(root)}
    assert files["L2"].kind == "other" and "Permission denied" in files["L2"].detail
    assert files["L1/a.jpg"].kind == "photo" and "Permission denied" in files["L1/a.jpg"].detail


def refusing_open(*_arguments):
    raise PermissionError(13, "Permission denied")


def test_only_what_changed_is_read_again(photo_folder, state, opened):
    root = photo_folder(["a.jpg", "b.jpg", "c.jpg"], metadata="image_id,path\n")
    (root / "film.mp4").write_bytes(bytes(1000))
    first = list_files(root, state)
    assert sorted(opened) == ["a.jpg", "b.jpg", "c.jpg", "film.mp4", "metadata.csv"]
    opened.clear()
    assert list_files(root, state) == first
    assert not opened

    status = os.stat(root / "a.jpg")
    data = bytearray((root / "a.jpg").read_bytes())
    data[-1] ^= 1
    (root / "a.jpg").write_bytes(data)  # the same size and, set back, the same time
    os.utime(root / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(root / "b.jpg")
    (root / "c.jpg").rename(root / "d.jpg")
    (root / "new.jpg").write_bytes(JPEG)
    then = {file.path: file for file in list_files(root, state)}
    assert sorted(opened) == ["a.jpg", "b.jpg", "d.jpg", "new.jpg"]
    before = {file.path: file for file in first}
    assert then["a.jpg"].sha256 != before["a.jpg"].sha256
    assert then["b.jpg"] == before["b.jpg"]
    assert then["d.jpg"].sha256 == before["c.jpg"].sha256
    assert "c.jpg" not in then


def test_a_file_that_just_changed_is_read_again(photo_folder, tmp_path, opened):
    root = photo_folder(["a.jpg"])
    for _ in range(2):
        list_files(root, tmp_path / "state.tsv")
    assert opened == ["a.jpg", "a.jpg"], "it may change again within the same tick of the file system"


def test_sources_that_are_not_local_are_pinned(photo_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    root = photo_folder(["a.jpg"])
    shutil.make_archive(str(tmp_path / "p"), "zip", root)
    entries = [
        ("demo", "synthetic", {"seed": 7}),
        ("repo", "git", {"url": "u", "commit": "c" * 40, "path": "p"}),
        ("pack", "camtrap_dp", {"path": str(tmp_path / "p.zip")}),
        ("mine", "folder", {"path": str(root)}),
    ]
    rows = inventory_rows([Source(name, kind, entry, "key") for name, kind, entry in entries])
    assert [row[:3] for row in rows] == [
        ("demo", "seed 7", "synthetic"),
        ("mine", "a.jpg", "photo"),
        ("pack", "p.zip", "package"),
        ("repo", "u@" + "c" * 40 + ":p", "git"),
    ]
    assert [len(row[4]) for row in rows] == [0, 64, 64, 0]
    assert write_inventory(rows).startswith("source,path,kind,bytes,sha256\ndemo,seed 7,synthetic,,\n")
    with pytest.raises(PelageError, match=r"key.path: the folder .* does not exist"):
        source_files(Source("x", "folder", {"path": str(tmp_path / "nowhere")}, "key"))


def test_a_results_file_is_in_it_with_its_hash_wherever_it_lies(tmp_path, monkeypatch, opened):
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(inventory, "_SETTLED_NS", -(10**12))
    for name in ("md.json", "b.json"):
        (tmp_path / name).write_text("{}")
    files = results_files({"results": ["md.json", str(tmp_path / "b.json")]})
    first = results_rows("mine", files)
    assert [row[:4] for row in first] == [
        ("mine", "md.json", "results", "2"),
        ("mine", str(tmp_path / "b.json"), "results", "2"),
    ]
    assert len(first[0][4]) == 64 and results_rows("mine", files) == first
    assert opened == ["md.json", "b.json"], "what did not change is not read again"
    (tmp_path / "md.json").write_text("[]")
    second = results_rows("mine", files)
    assert second[0][4] != first[0][4] and second[1] == first[1]
    assert results_files({"results": "md.json"}) == {"md.json": tmp_path / "md.json"} and results_files({}) == {}
    with pytest.raises(PelageError, match=r"datasets.mine.results is 'gone.json', and there is no file"):
        results_rows("mine", results_files({"results": "gone.json"}))


def test_the_habitat_file_is_in_it(tmp_path):
    file = tmp_path / "area.geojson"
    file.write_text("{}")
    ((name, written, kind, size, digest),) = habitat_rows("mine", habitat_file({"habitat": str(file)}, "mine"))
    assert (name, written, kind, size, len(digest)) == ("mine", str(file), "habitat", "2", 64)
    assert habitat_rows("mine", habitat_file({"habitat": 2000}, "mine")) == []
    with pytest.raises(PelageError, match=r"datasets\.mine\.habitat .*metres around the stations"):
        habitat_rows("mine", habitat_file({"habitat": "gone.geojson"}, "mine"))


def test_a_large_folder_half_of_it_no_photos(tmp_path, state):
    root = tmp_path / "many"
    root.mkdir()
    for number in range(5000):
        (root / f"{number}.JPG").write_bytes(JPEG)
        (root / f"{number}.{('txt', 'MP4', 'THM', 'DNG')[number % 4]}").write_bytes(b"x")
    kinds = Counter(file.kind for file in list_files(root, state))
    assert kinds == {"photo": 5000, "other": 1250, "video": 1250, "thumbnail": 1250, "unsupported": 1250}


def test_names_of_250_bytes(photo_folder, state):
    name = "ё" * 123 + ".jpg"
    root = photo_folder([name])
    assert [file.path for file in list_files(root, state)] == [name]
    assert list_files(root, state)[0].sha256


def test_the_stage_imports_nothing_heavy():
    code = (
        "import sys; sys.path[:0] = ['src', 'stages']; import inventory; "
        "print([name for name in ('pandas', 'numpy', 'cv2', 'torch', 'PIL', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
