"""What file names, folders and EXIF tell of a photo: who, when, where.

Named groups of a regular expression become columns, as in wildlife-datasets' readers of folder trees.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO

import pandas as pd
from PIL import Image

from pelage.common.errors import PelageError

DATE = re.compile(
    r"(\d{4})[-:/._]?(\d\d)[-:/._]?(\d\d)"
    r"(?:[T _-]?(\d\d)[-:._h]?(\d\d)(?:[-:._m]?(\d\d)(?:[.,]\d+)?)?\s*(?:Z|[+-]\d\d:?\d\d)?)?"
)
EXIF_IFD, DATE_TIME = 0x8769, 0x0132
DATE_TIME_ORIGINAL, DATE_TIME_DIGITIZED = 0x9003, 0x9004


def iso_date(text: str) -> str:
    """Return `2026-01-31T23:59:59` from a date that starts with the year, whatever stands between its numbers.

    Understood are ISO 8601, EXIF (`2026:01:31 23:59:59`) and file names (`2026-01-31_23-59-59`, `20260131_235959`).
    A zone is dropped: within one survey the cameras' wall clocks are what counts. No time of day is midnight.

    Raises:
        ValueError: It is no such date, or there is no such day (day-first dates are refused as ambiguous).
    """
    if not text:
        return ""
    match = DATE.fullmatch(text)
    if not match:
        raise ValueError(text)
    return datetime(*(int(number or 0) for number in match.groups())).isoformat()


def exif_date(data: bytes) -> str:
    """Return when a photo (the bytes of its file) was taken by its EXIF, as ISO 8601, or empty text.

    The original time counts before the digitised one and that before the time of the last change.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            exif = image.getexif()
            inner = exif.get_ifd(EXIF_IFD)
            told = [inner.get(DATE_TIME_ORIGINAL), inner.get(DATE_TIME_DIGITIZED), exif.get(DATE_TIME)]
    except Exception:  # broken EXIF makes Pillow raise errors of many kinds; such a photo has no date, no more
        return ""
    for text in told:
        try:
            date = iso_date(str(text or "").strip("\0 "))
        except ValueError:
            continue  # a camera whose clock was never set writes 0000:00:00 00:00:00
        if date:
            return date
    return ""


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
