"""Which file a path in a table means: as written, or as another system writes it. Never one outside the folder."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pelage.catalogue.inventory import Found

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/|file://")
_NO_PHOTOS = {"video": "a video", "unsupported": "of a kind that is not read", "table": "a table", "other": "no photo"}


@dataclass(frozen=True)
class Paths:
    """Files that N paths of a table mean.

    Attributes:
        found: Their paths below the root, empty where there is none.
        faults: Reason and words for each that is not found, by position.
        by_case: How many files were found by a name that differs in case or Unicode form.
        absolute: How many absolute paths were found below the root.
    """

    found: pd.Series
    faults: dict[int, tuple[str, str]]
    by_case: int
    absolute: int


def resolve_paths(root: Path, files: Sequence[Found], texts: pd.Series) -> Paths:
    """Find the file that each path means.

    A path is tried as it stands, then with slashes for backslashes, then without blanks around it, then in another
    case, if one file only is so called. An absolute path from another computer is found by its end; what is cut off in
    front has to be the same for all that are used. Of links, what the folder's owner put there is followed.

    Args:
        root: Folder that paths are relative to.
        files: Every file below it.
        texts: N paths as the table gives them.
    """
    kinds = {file.path: file.kind for file in files}
    folded: dict[str, list[str]] = {}
    for path in () if texts.isin(kinds).all() else kinds:
        folded.setdefault(_fold(path), []).append(path)
    meant: dict[str, str] = {}
    faults: dict[str, tuple[str, str]] = {}
    ends: dict[str, tuple[str, str]] = {}
    by_case: set[str] = set()
    for text in texts.unique():
        if text in kinds:
            meant[text] = text
            continue
        slashed = text.replace("\\", "/")
        tried = list(dict.fromkeys([text, slashed, slashed.strip()]))
        if not tried[-1]:
            faults[text] = "path", "path is empty"
        elif _ABSOLUTE.match(tried[-1]) or text.startswith("\\\\"):
            _find_absolute(text, tried[-1], root, kinds, folded, meant, faults, ends)
        else:
            _find(text, tried, root, kinds, folded, meant, faults, by_case)
    if ends:
        cut = Counter(front for front, _ in ends.values())
        common = min(cut, key=lambda front: (-cut[front], len(front), front))
        for text, (front, end) in ends.items():
            if front == common:
                meant[text] = end
            else:
                faults[text] = (
                    "path",
                    f"the path {text!r} leaves its folder: it is absolute. Give paths relative to the photos' folder",
                )
    for text, path in list(meant.items()):
        if kinds.get(path) in _NO_PHOTOS:
            faults[text] = "unsupported", f"{meant.pop(text)!r} is {_NO_PHOTOS[kinds[path]]}"
    found = texts.map(meant).fillna("")
    wrong = {int(row): faults[texts.iat[row]] for row in np.flatnonzero(found == "")}
    ended = [text for text in ends if text in meant]
    return Paths(found, wrong, int(texts.isin(by_case).sum()), int(texts.isin(ended).sum()))


def _find(text, tried, root, kinds, folded, meant, faults, by_case) -> None:
    ways = [posixpath.normpath(way) for way in tried]
    if any(way == ".." or way.startswith("../") for way in ways):
        faults[text] = "path", f"the path {text!r} leaves its folder. Give one below it, without '..'"
        return
    there = next((way for way in ways if way in kinds), None)
    if there is None:
        alike = folded.get(_fold(ways[-1]), [])
        if len(alike) == 1:
            there = alike[0]
            by_case.add(text)
        else:  # below a linked folder, which is not walked but may be named
            there = next((way for way in ways if os.path.isfile(root / way)), None)
    if there is None or kinds.get(there) in ("broken_link", "link"):
        several = len(folded.get(_fold(ways[-1]), []))
        more = f" ({several} files are called so in another case)" if several > 1 else ""
        faults[text] = "missing", f"the photo {text!r} is listed but absent{more}"
    else:
        meant[text] = there


def _find_absolute(text, slashed, root, kinds, folded, meant, faults, ends) -> None:
    path = posixpath.normpath(slashed.removeprefix("file://"))
    base = os.path.abspath(root).replace(os.sep, "/").rstrip("/") + "/"
    if path.startswith(base) and os.path.isfile(root / path[len(base) :]):
        meant[text] = path[len(base) :]
        return
    parts = path.split("/")
    for cut in range(1, len(parts)):
        end = "/".join(parts[cut:])
        there = [end] if end in kinds else folded.get(_fold(end), [])
        if len(there) == 1:
            ends[text] = "/".join(parts[:cut]), there[0]
            return
    faults[text] = (
        "path",
        f"the path {text!r} leaves its folder: it is absolute, and no file there ends so. Give a relative path",
    )


def _fold(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
