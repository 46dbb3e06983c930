"""Hashes: a table of the content of a folder of images, which is what other stages depend on in the folder's place.

DVC looks at every file of a folder again for each stage that depends on it; a table is one file, and differs as soon as
a name or a byte of the folder does. That of a folder of packs is written by `packs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from pelage.common.files import fresh_folder, sha256_file
from pelage.common.parallel import parallel_map
from pelage.common.tables import write_table

DATA = Path("data")

HASHES = "hashes"
"""Folder of those tables, beside the folders that they tell of."""


def hashes_of(path: Path, data: Path = DATA) -> Path:
    """Return where the table of a folder below `data` stands: `data/hashes/masks/flank.csv` for `data/masks/flank`."""
    below = path.relative_to(data)
    return data / HASHES / below.with_name(f"{below.name}.csv")


@contextmanager
def hashed_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `path`, as `fresh_folder`, and write its table `hashes_of(path)`.

    The table has the columns `file` (relative to `path`) and `sha256`, a row a file, sorted by name.
    """
    with fresh_folder(path) as folder:
        yield folder
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        names = [file.relative_to(folder).as_posix() for file in files]
        table = pd.DataFrame({"file": names, "sha256": list(parallel_map(sha256_file, files))}, dtype=str)
    write_table(hashes_of(path), table)
