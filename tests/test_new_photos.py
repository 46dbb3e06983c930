"""New photos and corrected tables: the next `dvc repro` sees them, and nothing else makes it run."""

from __future__ import annotations

import os
import re

import pytest

from pelage.common.tables import read_table

COLUMNS = "image_id,path,identity\n"
ROWS = ["1,L1/a.jpg,L1\n", "2,L1/b.jpg,L1\n", "3,L2/c.jpg,L2\n"]


def photo(number: int) -> bytes:
    return b"\xff\xd8\xff\xe0" + bytes([number]) * 60


@pytest.fixture(scope="module")
def project(scratch, tmp_path_factory):
    """Return a project of three photos in a folder of its own, after its first run."""
    root = tmp_path_factory.mktemp("survey")
    for number, path in enumerate(("L1/a.jpg", "L1/b.jpg", "L2/c.jpg")):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(photo(number))
    (root / "metadata.csv").write_text(COLUMNS + "".join(ROWS))
    entry = {
        "source": "folder",
        "path": str(root),
        "boxes": "whole",
        "part": "flank",
        "parts": ["flank"],
        "curated": True,
    }
    made = scratch(datasets__mine=entry, ingest__dataset="mine")
    made.root = root
    assert ran(made) == {"check_params", "inventory", "ingest"}
    return made


def ran(project) -> set[str]:
    return set(re.findall(r"Running stage '([\w@]+)'", project.dvc("repro", "ingest").stdout))


def test_nothing_changed_and_nothing_runs_but_the_look(project):
    assert ran(project) == {"inventory"}
    os.utime(project.root / "L1/a.jpg")
    os.utime(project.root / "metadata.csv")
    assert ran(project) == {"inventory"}, "a touched file has the same content"


def test_every_change_is_seen(project):
    root, seen = project.root, {"inventory", "ingest"}

    def photos() -> dict[str, str]:
        return read_table(project.folder / "data/photos.csv").set_index("path")["image_id"].to_dict()

    def verdicts() -> dict[str, str]:
        return read_table(project.folder / "data/files.csv").set_index("path")["verdict"].to_dict()

    (root / "L2/d.jpg").write_bytes(photo(9))
    assert ran(project) == seen
    assert verdicts()["L2/d.jpg"] == "unlisted"

    (root / "metadata.csv").write_text(COLUMNS + "".join(ROWS) + "4,L2/d.jpg,L2\n")
    assert ran(project) == seen
    assert photos()["L2/d.jpg"] == "4"

    status = os.stat(root / "L1/a.jpg")
    (root / "L1/a.jpg").write_bytes(photo(7))  # of the same size, and with the old time
    os.utime(root / "L1/a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ran(project) == seen
    assert (project.folder / "data/photos/L1/a.jpg").read_bytes() == photo(7)

    (root / "L1/b.jpg").rename(root / "L1/renamed.jpg")
    assert ran(project) == seen
    assert (verdicts()["L1/b.jpg"], verdicts()["L1/renamed.jpg"]) == ("missing", "unlisted")

    (root / "L1/renamed.jpg").unlink()
    assert ran(project) == seen
    assert sorted(photos()) == ["L1/a.jpg", "L2/c.jpg", "L2/d.jpg"]
    assert ran(project) == {"inventory"}
