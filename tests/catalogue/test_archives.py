"""Archives that try to get out of their folder."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile

import pytest

from pelage.catalogue.archives import unpack_tar, unpack_zip
from pelage.common.errors import PelageError


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def test_plain_files_are_unpacked(tmp_path):
    unpack_tar(tar_of((member("a", tarfile.DIRTYPE), b""), (member("a/b.txt"), b"hello")), tmp_path, "it")
    assert (tmp_path / "a/b.txt").read_bytes() == b"hello"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("../x", tarfile.REGTYPE, "leaves its folder"),
        ("/tmp/x", tarfile.REGTYPE, "leaves its folder"),
        ("a/../../x", tarfile.REGTYPE, "leaves its folder"),
        ("x", tarfile.SYMTYPE, "is a link"),
        ("x", tarfile.LNKTYPE, "is a link"),
        ("x", tarfile.FIFOTYPE, "is a link or a device"),
    ],
)
def test_a_tar_cannot_get_out(tmp_path, name, kind, message):
    with pytest.raises(PelageError, match=message):
        unpack_tar(tar_of((member(name, kind), b"")), tmp_path / "in", "it")
    assert not (tmp_path / "x").exists()


def test_a_cut_tar_is_explained(tmp_path):
    whole = tar_of((member("a.txt"), b"x" * 5000)).getvalue()
    with pytest.raises(PelageError, match="no complete archive"):
        unpack_tar(io.BytesIO(whole[:2000]), tmp_path, "it")


@pytest.mark.parametrize(
    ("name", "mode", "message"), [("../x", 0, "leaves its folder"), ("x", stat.S_IFLNK, "is a link")]
)
def test_a_zip_cannot_get_out(tmp_path, name, mode, message):
    info = zipfile.ZipInfo(name)
    info.external_attr = (mode | 0o644) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    (tmp_path / "in").mkdir()
    with pytest.raises(PelageError, match=message):
        unpack_zip(tmp_path / "a.zip", tmp_path / "in")


def test_a_broken_zip_is_explained(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK but not really")
    with pytest.raises(PelageError, match="cannot be unpacked"):
        unpack_zip(tmp_path / "a.zip", tmp_path)
