"""What file names and folders tell of a photo: who, when, where.

Named groups of a regular expression become columns, as in wildlife-datasets' readers of folder trees.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from pelage.common.errors import PelageError


def id_from_path(paths: Sequence[str]) -> list[str]:
    """Return an image_id for each path: the path without its suffix, `/` as `-`; where two agree, the path itself."""
    ids = pd.Series([re.sub(r"\.[^./]*$", "", path).replace("/", "-") for path in paths], dtype=object)
    return ids.mask(ids.duplicated(keep=False), pd.Series(paths, dtype=object)).tolist()


def parse_names(paths: Sequence[str], pattern: str, key: str) -> tuple[pd.DataFrame, int]:
    """Return what the named groups of `pattern` find in each path.

    Args:
        paths: N paths with `/`, relative to the folder of photos.
        pattern: Regular expression, searched for anywhere in the path; a group's name is the column it fills.
        key: The pattern's place in params.yaml, for messages.

    Returns:
        Table of N rows and one column a group (empty where the pattern or the group does not match), and how many
        paths do not match at all.

    Raises:
        PelageError: The expression is none, has no named group, fills `path`, or matches no path.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise PelageError(f"params.yaml: {key} is no regular expression: {error} in {pattern!r}.") from error
    groups = list(expression.groupindex)
    if not groups or "path" in groups:
        raise PelageError(f"params.yaml: {key} needs named groups such as (?P<identity>...), and none called path.")
    matches = [expression.search(path) for path in paths]
    found = [{} if match is None else match.groupdict("") for match in matches]
    unmatched = sum(match is None for match in matches)
    if paths and unmatched == len(paths):
        raise PelageError(
            f"params.yaml: {key} matches no photo, not even {paths[0]!r}. Mend the expression {pattern!r}."
        )
    return pd.DataFrame(found, columns=groups, dtype=object).fillna(""), unmatched
