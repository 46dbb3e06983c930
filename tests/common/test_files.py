from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.common.errors import PelageError
from pelage.common.files import fresh_folder, inside, seed_files, write_bytes


def test_a_failed_block_leaves_the_old_folder(tmp_path):
    out = tmp_path / "views"
    with fresh_folder(out) as folder:
        (folder / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), fresh_folder(out) as folder:
        (folder / "b.txt").write_text("new")
        raise RuntimeError
    assert [p.name for p in out.iterdir()] == ["a.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["views"]


def test_files_of_seeds_by_number_or_the_one_file(tmp_path):
    assert seed_files(tmp_path / "v1.2.parquet") == [tmp_path / "v1.2.parquet"]
    for name in ("10.parquet", "2.parquet", "2.safetensors"):
        write_bytes(tmp_path / "v1.2" / name, b"")
    assert seed_files(tmp_path / "v1.2.parquet") == [tmp_path / "v1.2/2.parquet", tmp_path / "v1.2/10.parquet"]


def test_a_new_folder_holds_nothing_of_the_old(tmp_path):
    for name in ("a", "b"):
        with fresh_folder(tmp_path / "out") as folder:
            (folder / name).touch()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b"]


def test_write_bytes_replaces_and_leaves_no_temporary(tmp_path):
    write_bytes(tmp_path / "x" / "f", b"1")
    write_bytes(tmp_path / "x" / "f", b"2")
    assert (tmp_path / "x" / "f").read_bytes() == b"2"
    assert len(list((tmp_path / "x").iterdir())) == 1


@pytest.mark.parametrize("path", ["../b.jpg", "/etc/passwd", "a/../../b.jpg", "..", "a/../../photos2/b.jpg"])
def test_paths_out_of_the_root_are_refused(path):
    with pytest.raises(PelageError, match=r"metadata\.csv, row 3.*leaves its folder"):
        inside(Path("data/photos"), path, "metadata.csv, row 3")


@given(st.lists(st.sampled_from(["a", "b c", ".", "..", "ü"]), min_size=1, max_size=6))
def test_inside_is_inside_or_refused(parts):
    root = Path("/root/photos")
    try:
        path = inside(root, "/".join(parts), "row")
    except PelageError:
        return
    assert path == root or root in path.parents
    assert ".." not in path.parts


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "я" * 125 + ".jpg"])
def test_a_name_of_the_greatest_length_can_be_written(tmp_path, name):
    write_bytes(tmp_path / name, b"1")
    with fresh_folder(tmp_path / name[:-4]) as folder:
        (folder / "a").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, name[:-4]])


def test_two_threads_may_write_the_same_file(tmp_path):
    path = tmp_path / "key"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write_bytes(path, b"same"), range(400)))
    assert path.read_bytes() == b"same"
    assert [left.name for left in tmp_path.iterdir()] == ["key"]
