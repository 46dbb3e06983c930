"""Names of the user's own entries: they become file names, stages and keys, which not every text can be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
RULE = "a name is of letters (a to z, A to Z), digits, _ and -, begins with a letter, and has at most 100 of them"

RESERVED = ("mlp", "orb_sift_brisk_lightgbm", "random_mlp", "random", "majority", "fused", "fused_sightings")
"""Methods that are not entries of params.yaml; `matching.rankings.NAMED` are the same."""

METHODS = ("variants", "matchers", "rematchers")
"""Sections whose entries rank photos; all their names differ, for each is that of a file of rankings."""


def name_faults(params: Mapping[str, Any]) -> Iterator[str]:
    """Give a sentence for each name that is none, differs from another by case only, or is another method's."""
    datasets = params.get("datasets")
    if isinstance(datasets, Mapping):
        yield from _faults(((f"datasets.{name}", name) for name in datasets), "data sets")
        for dataset, entry in datasets.items():
            sources = entry.get("sources") if isinstance(entry, Mapping) else None
            if isinstance(sources, list):
                named = [
                    (f"datasets.{dataset}.sources[{number}].name", source["name"])
                    for number, source in enumerate(sources)
                    if isinstance(source, Mapping) and "name" in source
                ]
                yield from _faults(named, "sources")
    sections = [(section, params.get(section)) for section in METHODS]
    named = [
        (f"{section}.{name}", name) for section, entries in sections if isinstance(entries, Mapping) for name in entries
    ]
    yield from _faults(named, "methods", RESERVED)


def _faults(named: Iterable[tuple[str, Any]], what: str, reserved: Iterable[str] = ()) -> Iterator[str]:
    """Give the faults of names, each with the key where it stands, which must all differ."""
    before = {name.casefold(): f"the method {name} that is always there" for name in reserved}
    for key, name in named:
        if not isinstance(name, str):
            yield f"{key}: the name {name!r} is no text to YAML; {RULE}. Rename it, to n{name} for example."
        elif not NAME.fullmatch(name):
            yield f"{key}: the name {name!r} cannot be used; {RULE}. Rename it, to {mended(name)} for example."
        elif name.casefold() in before:
            other = before[name.casefold()]
            yield f"{key} has the name of {other}, or one that differs in case only. All {what} need different names."
        else:
            before[name.casefold()] = key


def mended(name: str) -> str:
    """Return a name that is like `name` and can be used."""
    text = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:99]
    return text if NAME.fullmatch(text) else f"n{text}"
