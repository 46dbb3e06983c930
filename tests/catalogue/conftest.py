"""Small folders of photos for the readers."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pelage.catalogue.data_set import DataSet, bring_in


def jpeg(seed: int = 0, date: str = "", size: tuple[int, int] = (40, 30), orientation: int = 1) -> bytes:
    """Return a small JPEG of noise, with an EXIF date if one is given."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    exif = Image.Exif()
    if date:
        exif.get_ifd(0x8769)[0x9003] = date
    if orientation != 1:
        exif[0x0112] = orientation
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.fixture
def photo_folder(tmp_path):
    """Write photos (path -> bytes, or None for a plain one) below a folder and return it."""

    def make(files, name: str = "photos", **tables: str) -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        files = files if isinstance(files, dict) else dict.fromkeys(files)
        for number, (path, data) in enumerate(files.items()):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(jpeg(number) if data is None else data)
        for table, text in tables.items():
            (root / f"{table}.csv").write_text(text)
        return root

    return make


@pytest.fixture
def make_jpeg():
    """Return the function that makes a small JPEG."""
    return jpeg


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """Return a function that reads a data set as the stage `ingest` does; keys are those of its entry."""
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    number = iter(range(100))

    def bring(path: Path | None = None, name: str = "mine", **entry) -> DataSet:
        if path is not None:
            entry = {"source": "folder", "path": str(path), **entry}
        out = tmp_path / f"out{next(number)}"
        for folder in ("photos", "truth"):
            (out / folder).mkdir(parents=True)
        return bring_in(entry, name, out / "photos", out / "truth", "copy")

    return bring
