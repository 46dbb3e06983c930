"""Where photos come from: a source of a data set, opened by the reader of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pelage.catalogue.camtrap_dp import open_camtrap_dp
from pelage.catalogue.demo import write_survey
from pelage.catalogue.entries import Source
from pelage.catalogue.folder import read_folder
from pelage.catalogue.git import open_git
from pelage.catalogue.inventory import list_files, source_files
from pelage.catalogue.schema import Deployments, Survey
from pelage.common.files import cache_root


@contextmanager
def open_survey(source: Source, photos: Path, truth: Path) -> Iterator[Survey]:
    """Give the photos of a source for as long as the block lasts (it may have to be unpacked).

    Args:
        source: Which one.
        photos: Folder that will hold the photos; the synthetic source makes them there.
        truth: Folder for what is known to be true of them; only the synthetic source has something to put there.

    Raises:
        PelageError: The reader finds a fault that nothing can be read with.
    """
    if source.kind == "synthetic":
        rows, ran = write_survey(source.entry, photos, truth)
        deployments = Deployments(ran, source.key, [f"deployment {number}" for number in range(1, len(ran) + 1)])
        named = [f"photo {name!r}" for name in rows["path"]]
        yield Survey(rows, photos, source.key, named, list_files(photos), deployments=deployments)
    elif source.kind == "folder":
        yield read_folder(source.path, source_files(source), source.entry, source.key)
    elif source.kind == "camtrap_dp":
        with open_camtrap_dp(source, cache_root() / "unpacked") as survey:
            yield survey
    else:
        with open_git(source.entry, source.key, cache_root() / "git") as survey:
            yield survey
