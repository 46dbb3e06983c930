"""Entries of `datasets` in params.yaml: which sources and which results files a data set has.

Imports nothing heavy, for the inventory reads it at each run. What keys and values may be, `check_params` has checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pelage.common.files import project_root


@dataclass(frozen=True)
class Source:
    """One source of a data set.

    Attributes:
        name: What the column `source` says: the source's own name, or the data set's where it has one source only.
        kind: synthetic, folder, git or camtrap_dp.
        entry: Its keys and values; keys of other kinds may stay in it, so that one override redirects it.
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


def results_files(dataset: Mapping[str, Any]) -> dict[str, Path]:
    """Return the results files of detectors that an entry names, by their paths as written; these start as `path`."""
    told = dataset.get("results") or []
    written = [told] if isinstance(told, str) else [str(one) for one in told]
    return {one: named_file(one) for one in written}


def deployment_tables(dataset: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return the tables of deployments that the data set `name` and its sources name, as written, by the naming key."""
    entries = [(f"datasets.{name}", dataset)]
    entries += [(source.key, source.entry) for source in read_sources(dataset, name) if source.folder]
    return {f"{key}.deployments": str(entry["deployments"]) for key, entry in entries if entry.get("deployments")}


def named_file(written: str) -> Path:
    """Return the file that an entry names, from the project's root."""
    return project_root() / Path(written).expanduser()


def habitat_file(dataset: Mapping[str, Any], name: str) -> dict[str, Path]:
    """Return the file that tells where animals of the data set `name` live, if there is one, by its entry's key."""
    told = dataset.get("habitat")
    return {f"datasets.{name}": project_root() / Path(told).expanduser()} if isinstance(told, str) else {}


def read_sources(dataset: Mapping[str, Any], name: str) -> list[Source]:
    """Return the sources of the data set `name`: its one `source`, or those that its key `sources` lists."""
    key = f"datasets.{name}"
    if not dataset.get("sources"):
        return [Source(name, dataset["source"], dataset, key)]
    listed = enumerate(dataset["sources"])
    return [
        Source(str(one["name"]), one["source"], one, f"{key}.sources[{position}]", str(one["name"]))
        for position, one in listed
    ]
