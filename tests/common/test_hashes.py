import hashlib
from pathlib import Path

import pytest

from pelage.common.hashes import hashed_folder, hashes_of
from pelage.common.tables import read_table


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(files: dict[str, bytes], folder: Path = Path("data/views/crop/flank")) -> bytes:
    """Fill the folder and return the bytes of its table."""
    with hashed_folder(folder) as fresh:
        for name, content in files.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_bytes(content)
    return hashes_of(folder).read_bytes()


def test_where_the_table_stands():
    assert hashes_of(Path("data/truth")) == Path("data/hashes/truth.csv")
    assert hashes_of(Path("data/views/crop/flank")) == Path("data/hashes/views/crop/flank.csv")
    assert hashes_of(Path("data/masks/v1.2")) == Path("data/hashes/masks/v1.2.csv"), "a dot in a name is no suffix"


def test_a_row_a_file_by_name():
    write({"b.png": b"two", "a,#0.png": b"one", "masks/c.png": b""})
    table = read_table(Path("data/hashes/views/crop/flank.csv"))
    assert table["file"].tolist() == ["a,#0.png", "b.png", "masks/c.png"]
    assert table["sha256"].tolist() == [hashlib.sha256(content).hexdigest() for content in (b"one", b"two", b"")]
    assert {path.name for path in Path("data/views/crop/flank").iterdir()} == {"a,#0.png", "b.png", "masks"}


def test_the_table_is_another_when_a_name_or_a_byte_is_and_only_then():
    files = {"a.png": b"one", "b.png": b"two", "c.png": b"three"}
    before = write(files)
    assert write(dict(reversed(files.items()))) == before, "the order of writing is of no account"
    others = [
        files | {"b.png": b"twp"},
        files | {"a.png": b"two", "b.png": b"one"},
        {"a.png": b"one", "b.png": b"two", "d.png": b"three"},
        {"a.png": b"one", "b.png": b"two"},
        {},
    ]
    assert len({before, *map(write, others)}) == 6
    assert write({}) == b"file,sha256\n"


def test_a_failed_block_leaves_folder_and_table():
    before = write({"a.png": b"one"})
    with pytest.raises(RuntimeError), hashed_folder(Path("data/views/crop/flank")) as folder:
        (folder / "b.png").write_bytes(b"two")
        raise RuntimeError
    assert hashes_of(Path("data/views/crop/flank")).read_bytes() == before
    assert [path.name for path in Path("data/views/crop/flank").iterdir()] == ["a.png"]
