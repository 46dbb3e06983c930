"""Entries of `datasets` in params.yaml: which sources a data set has, and what each needs.

Imports nothing heavy, for the inventory reads it at each run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pelage.common.errors import PelageError
from pelage.common.files import project_root
from pelage.common.params import choose

REQUIRED = {
    "synthetic": ("seed", "individuals", "stations", "days", "photos"),
    "folder": ("path",),
    "git": ("url", "commit"),
    "camtrap_dp": ("path",),
}
"""Kinds of sources, and the keys that each needs."""

OPTIONAL = ("path", "metadata", "path_pattern", "identity_level", "date_order")
"""Keys of `folder` and `git`."""

GENERAL = ("boxes", "part", "parts", "curated", "split_column", "published_leaks")
"""Keys that later stages read, whatever the source."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Source:
    """One source of a data set.

    Attributes:
        name: What the column `source` says: the source's own name, or the data set's where it has one source only.
        kind: synthetic, folder, git or camtrap_dp.
        entry: Its keys and values.
        key: Its place in params.yaml, for messages.
        folder: Folder of its photos below `data/photos`; empty where the data set has one source only.
    """

    name: str
    kind: str
    entry: Mapping[str, Any]
    key: str
    folder: str = ""

    @property
    def path(self) -> Path:
        """Where a local source lies; relative paths start at the project's root."""
        return project_root() / Path(str(self.entry.get("path") or "")).expanduser()

    @property
    def tables(self) -> list[str]:
        """Paths of tables that the entry names, which are tables whatever their suffix."""
        return [str(self.entry["metadata"])] if self.entry.get("metadata") else []


def read_sources(dataset: Mapping[str, Any], name: str) -> list[Source]:
    """Return the sources of the data set `name`: one, or those that its key `sources` lists.

    Raises:
        PelageError: A key is missing or unknown, a source is none of those known, or names of sources are no names or
            not different.
    """
    key = f"datasets.{name}"
    own = dict.fromkeys(["source", *OPTIONAL, *(one for keys in REQUIRED.values() for one in keys)])
    listed = dataset.get("sources")
    if listed is None:
        _refuse_unknown(dataset, [*own, *GENERAL, "sources"], key)
        return [_source(dataset, name, key)]
    _refuse_unknown(dataset, [*own, *GENERAL, "sources"], key)
    if not isinstance(listed, list) or not listed or not all(isinstance(one, Mapping) for one in listed):
        raise PelageError(f"params.yaml: {key}.sources must be a list of sources, each with name, source and its keys.")
    if dataset.get("source") is not None:
        raise PelageError(
            f"params.yaml: {key} has both source and sources. Take source out, or make it one of sources."
        )
    found: list[Source] = []
    for position, one in enumerate(listed):
        here = f"{key}.sources[{position}]"
        _refuse_unknown(one, ["name", *own], here)
        if not NAME.fullmatch(str(one.get("name") or "")):
            raise PelageError(
                f"params.yaml: {here}.name is {one.get('name')!r}; give a name of letters, digits, - and _, for it "
                "begins ids and names a folder."
            )
        called = str(one["name"])
        if called.lower() in {other.name.lower() for other in found}:
            raise PelageError(f"params.yaml: {here}.name is {called!r}, as another source is called. Make them differ.")
        found.append(_source(one, called, here, called))
    return found


def _source(entry: Mapping[str, Any], name: str, key: str, folder: str = "") -> Source:
    kind = choose(entry.get("source"), REQUIRED, f"{key}.source")
    for needed in REQUIRED[kind]:
        if entry.get(needed) in (None, ""):
            raise PelageError(f"params.yaml: {key} lacks the key {needed!r}, which source {kind} needs.")
    return Source(name, kind, entry, key, folder)


def _refuse_unknown(entry: Mapping[str, Any], known: list[str], key: str) -> None:
    for name in entry:
        if name not in known:
            raise PelageError(f"params.yaml: {key} has the unknown key {name!r}; known are {', '.join(known)}.")
