"""Where photos come from: an entry of `datasets` in params.yaml, opened by the reader that its `source` names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pelage.catalogue.camtrap_dp import open_camtrap_dp
from pelage.catalogue.demo import write_survey
from pelage.catalogue.folder import read_folder
from pelage.catalogue.git import open_git
from pelage.catalogue.schema import Survey
from pelage.common.errors import PelageError
from pelage.common.files import cache_root, project_root
from pelage.common.params import choose

REQUIRED = {
    "synthetic": ("seed", "individuals", "stations", "days", "photos"),
    "folder": ("path",),
    "git": ("url", "commit"),
    "camtrap_dp": ("path",),
}
"""Sources, and the keys that each needs."""

OPTIONAL = ("path", "metadata", "path_pattern", "identity_level")
"""Keys of `folder` and `git`."""

GENERAL = ("source", "boxes", "part", "parts", "curated", "split_column", "published_leaks")
"""Keys that later stages read, whatever the source."""


@contextmanager
def open_survey(dataset: Mapping[str, Any], key: str, photos: Path, truth: Path) -> Iterator[Survey]:
    """Give the photos of a data set for as long as the block lasts (a source may have to unpack them).

    Args:
        dataset: Entry of `datasets`. Keys of other sources may stay in it, so that one override redirects it.
        key: The entry's place in params.yaml, such as `datasets.demo`, for messages.
        photos: Folder that will hold the photos; the synthetic source makes them there.
        truth: Folder for what is known to be true of them; only the synthetic source has something to put there.

    Raises:
        PelageError: The source is none of those known, a key is missing or unknown, or the reader finds a fault.
    """
    source = choose(dataset.get("source"), REQUIRED, f"{key}.source")
    known = dict.fromkeys([*GENERAL, *OPTIONAL, *(name for keys in REQUIRED.values() for name in keys)])
    for name in dataset:
        if name not in known:
            raise PelageError(f"params.yaml: {key} has the unknown key {name!r}; known are {', '.join(known)}.")
    for name in REQUIRED[source]:
        if dataset.get(name) in (None, ""):
            raise PelageError(f"params.yaml: {key} lacks the key {name!r}, which source {source} needs.")
    cache = cache_root() / "git" if source == "git" else cache_root() / "unpacked"
    local = project_root() / Path(str(dataset.get("path") or "")).expanduser()
    if source == "synthetic":
        rows = write_survey(dataset, photos, truth)
        yield Survey(rows, photos, key, [f"photo {name!r}" for name in rows["path"]])
    elif source == "folder":
        yield read_folder(local, dataset, key)
    elif source == "camtrap_dp":
        with open_camtrap_dp(local, key, cache) as survey:
            yield survey
    else:
        with open_git(dataset, key, cache) as survey:
            yield survey
