"""Packs: what is put is read, by us and by anybody; few of them change; what is wrong with one is told."""

import copy
import hashlib
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packing import pack_images

from pelage.common import packs
from pelage.common.errors import PelageError
from pelage.common.packs import Packs, begins_a_pack, packed_folder
from pelage.common.tables import read_table


def pack(data: Path, images: dict[str, bytes]) -> Packs:
    with packed_folder(data / "crops", data) as packer:
        for name in sorted(images):
            packer.put(name, images[name])
    return Packs(data / "crops", data)


def numbered(count: int) -> dict[str, bytes]:
    return {f"IMG_{number:05d}~0.png": b"%d" % number * (number % 7) for number in range(count)}


def archives(data: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (data / "crops").iterdir()}


def test_what_is_put_is_read_and_the_table_tells_of_it(tmp_path):
    images = numbered(700)
    found = pack(tmp_path, images)
    assert found.names() == sorted(images) and {name: found.read(name) for name in images} == images
    assert "IMG_00001~0.png" in found and "IMG_99999~0.png" not in found
    table = read_table(tmp_path / "hashes/crops.csv")
    assert list(table) == ["file", "sha256", "pack"] and table["file"].tolist() == sorted(images)
    assert [found.sha256(name) for name in sorted(images)] == table["sha256"].tolist()
    assert table.at[3, "sha256"] == hashlib.sha256(b"333").hexdigest()
    firsts = table.drop_duplicates("pack")
    assert 2 <= len(firsts) <= 20 and all(map(begins_a_pack, firsts["file"][1:]))
    assert firsts["pack"].tolist() == [name.removesuffix(".png") + ".zip" for name in firsts["file"]]
    assert {path.name for path in (tmp_path / "crops").iterdir()} == set(firsts["pack"])


def test_a_pack_is_a_zip_file_that_anything_opens(tmp_path):
    images = numbered(300)
    pack(tmp_path, images)
    seen = {}
    for path in (tmp_path / "crops").iterdir():
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
            seen |= {name: archive.read(name) for name in archive.namelist()}
    assert seen == images


def test_names_ascend_and_a_failed_block_leaves_everything(tmp_path):
    pack(tmp_path, numbered(9))
    before = archives(tmp_path), (tmp_path / "hashes/crops.csv").read_bytes()
    for second in ("a.png", "b.png"):
        with pytest.raises(ValueError, match="must ascend"), packed_folder(tmp_path / "crops", tmp_path) as packer:
            packer.put("b.png", b"")
            packer.put(second, b"")
    assert (archives(tmp_path), (tmp_path / "hashes/crops.csv").read_bytes()) == before
    assert {path.name for path in tmp_path.iterdir()} == {"crops", "hashes"}


def test_no_images_are_an_empty_folder_and_table(tmp_path):
    assert pack(tmp_path, {}).names() == []
    assert archives(tmp_path) == {} and (tmp_path / "hashes/crops.csv").read_bytes() == b"file,sha256,pack\n"


def test_the_same_content_gives_the_same_bytes(tmp_path):
    images = numbered(400)
    pack(tmp_path / "a", images)
    pack(tmp_path / "b", dict(reversed(images.items())))
    assert archives(tmp_path / "a") == archives(tmp_path / "b")


names = st.sets(st.integers(0, 400), max_size=200)


@given(names, st.sets(st.integers(0, 400), max_size=6), st.integers(1, 9))
def test_an_image_that_comes_or_goes_changes_two_packs_at_most(tmp_path_factory, before, changed, size):
    """Packs are told by name and bytes, so DVC's cache keeps the others once for both versions."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(packs, "SIZE", size)
        found = []
        for numbers in (before, before ^ changed):
            data = tmp_path_factory.mktemp("packs")
            pack(data, {f"{number}.png": b"%d" % number for number in numbers})
            found.append(set(archives(data).items()))
    assert len(found[1] - found[0]) <= 2 * len(changed)
    assert len(found[0] - found[1]) <= 2 * len(changed)


def test_another_image_of_the_same_name_changes_one_pack(tmp_path):
    images = numbered(700)
    pack(tmp_path, images)
    before = archives(tmp_path)
    pack(tmp_path, images | {"IMG_00350~0.png": b"another"})
    after = archives(tmp_path)
    assert before.keys() == after.keys() and sum(before[name] != after[name] for name in before) == 1


def test_packs_hold_as_many_as_is_said():
    firsts = sum(begins_a_pack(f"L{number % 40}%2FIMG_{number:06d}~0.png") for number in range(100_000))
    assert 0.9 < firsts * packs.SIZE / 100_000 < 1.1


def test_more_entries_than_a_plain_archive_can_tell(tmp_path, monkeypatch):
    """65,535 entries are the most without ZIP64's records; more images than `SIZE` may follow one another."""
    monkeypatch.setattr(packs, "begins_a_pack", lambda name: False)
    images = {f"{number:06d}.png": b"%d" % number for number in range(65_600)}
    found = pack(tmp_path, images)
    assert len(archives(tmp_path)) == 1
    assert all(found.read(name) == images[name] for name in ("000000.png", "032768.png", "065599.png"))


def test_an_archive_of_more_than_four_gigabytes(tmp_path, monkeypatch):
    """An offset that 32 bits cannot tell: half of the archive is a hole, which takes no room on the disk."""
    monkeypatch.setattr(packs, "begins_a_pack", lambda name: False)
    with packed_folder(tmp_path / "crops", tmp_path) as packer:
        packer.put("a.png", b"first")
        packer._pack.fp.seek(5 << 30)
        packer._pack.start_dir = 5 << 30
        packer.put("b.png", b"second")
    found = Packs(tmp_path / "crops", tmp_path)
    assert (tmp_path / "crops/a.zip").stat().st_size > 5 << 30
    assert (found.read("a.png"), found.read("b.png")) == (b"first", b"second")


@given(st.sets(st.text("ab~%.", min_size=1, max_size=4), max_size=30), st.text("ab~%.", max_size=4))
def test_every_image_is_found_and_no_other(tmp_path_factory, names, other):
    data = tmp_path_factory.mktemp("found")
    rows = [f"{name},{name * 2},{name}.zip\n" for name in sorted(names)]
    (data / "hashes").mkdir()
    (data / "hashes/crops.csv").write_text("file,sha256,pack\n" + "".join(rows))
    found = Packs(data / "crops", data)
    assert found.names() == sorted(names)
    assert [found.sha256(name) for name in names] == [name * 2 for name in names]
    assert (other in found) == (other in names)


def test_a_table_of_something_else_is_refused(tmp_path):
    pack(tmp_path, numbered(3))
    (tmp_path / "hashes/crops.csv").write_text("file,sha256\n")
    with pytest.raises(PelageError, match="is no list of images"):
        Packs(tmp_path / "crops", tmp_path)


def test_readers_are_shared_by_threads_and_processes(tmp_path):
    images = numbered(700)
    found = pack(tmp_path, images)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(found.read, images)) == list(images.values())
    assert pickle.loads(pickle.dumps(found)).read("IMG_00600~0.png") == images["IMG_00600~0.png"]
    assert copy.copy(found).read("IMG_00600~0.png") == images["IMG_00600~0.png"]


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def replaced(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"333", b"334"))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (Path.unlink, "is missing"),
        (torn, "is torn, or no archive"),
        (lambda path: path.write_bytes(b""), "is torn, or no archive"),
        (replaced, r"holds another IMG_00003~0\.png than data/hashes/crops\.csv tells"),
        (lambda path: zipfile.ZipFile(path, "w").close(), r"lacks IMG_00003~0\.png"),
    ],
)
def test_a_pack_that_is_not_as_it_was_written_is_named_with_the_mend(tmp_path, monkeypatch, spoil, told):
    monkeypatch.chdir(tmp_path)
    pack(Path("data"), numbered(60))
    spoil(Path("data/crops/IMG_00000~0.zip"))
    found = Packs(Path("data/crops"))
    with pytest.raises(PelageError, match=told) as error:
        found.read("IMG_00003~0.png")
    assert "data/crops/IMG_00000~0.zip" in str(error.value)
    assert "`dvc checkout data/crops`, or run the stage" in str(error.value)


@given(st.integers(0, 2000), st.integers(0, 255), st.booleans())
def test_whatever_happens_to_a_pack_an_image_is_right_or_refused(tmp_path_factory, place, byte, lost):
    data = tmp_path_factory.mktemp("spoilt")
    images = numbered(12)
    found = pack(data, images)
    path = data / "crops/IMG_00000~0.zip"
    whole = path.read_bytes()
    place %= len(whole)
    path.write_bytes(whole[:place] + (b"" if lost else bytes([byte])) + whole[place + 1 :])
    for name, image in images.items():
        try:
            assert found.read(name) == image
        except PelageError as error:
            assert str(path) in str(error)


def test_a_missing_table_and_an_image_that_is_none_are_told(tmp_path):
    with pytest.raises(PelageError, match=r"hashes/crops\.csv is missing.*run the stage"):
        Packs(tmp_path / "crops", tmp_path)
    found = pack(tmp_path, {"a.png": b"no image"})
    with pytest.raises(PelageError, match=r"has no image b\.png"):
        found.read("b.png")
    with pytest.raises(PelageError, match=r"crops/a\.png is not a readable image"):
        found.image("a.png")


def test_images_are_what_they_were(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)
    assert np.array_equal(pack_images(tmp_path, "crops", {"a.png": image}).image("a.png"), image)
