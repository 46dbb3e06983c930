"""When photos were taken: the one parser of dates in tables, file names, packages and EXIF.

A date is `YYYY-MM-DDTHH:MM:SS` on the camera's own wall clock, or `YYYY-MM-DD` where only the day is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from pelage.common.errors import PelageError

FIRST_YEAR, LAST_YEAR, FIRST_EXIF_YEAR = 1900, 2200, 1990
_GAP = np.timedelta64(2 * 365 + 1, "D")
_TIME = (
    r"(?:[T _-]+(?P<hour>\d{1,2})[-:._h]?(?P<minute>\d\d)(?:[-:._m]?(?P<second>\d\d)s?(?:[.,]\d+)?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
)
_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?:(?P<m>\d\d)(?P<d>\d\d)|[-:/._](?P<month>\d{1,2})[-:/._](?P<day>\d{1,2}))" + _TIME
)
_PACKED = re.compile(r"(?P<year>\d{4})(?P<m>\d\d)(?P<d>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)")
_YEAR_LAST = re.compile(r"(?P<a>\d{1,2})[-:/._](?P<b>\d{1,2})[-:/._](?P<year>\d{4}|\d\d)" + _TIME)
_ZONED = r"^(.{19})(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)$"


@dataclass(frozen=True)
class Dates:
    """A column of dates, understood.

    Attributes:
        iso: N dates, empty where none is told or none is understood.
        zone: N minutes ahead of UTC, as written; NaN where no zone is.
        faults: What is wrong with a cell that is not understood, by position.
        utc: Whether `iso` was brought to UTC, because zones differ.
    """

    iso: pd.Series
    zone: pd.Series
    faults: dict[int, str]
    utc: bool = False

    @property
    def clock(self) -> float:
        """Minutes ahead of UTC of the clock that `iso` is of; NaN where no zone is told."""
        known = self.zone.dropna()
        return 0.0 if self.utc else float(known.iloc[0]) if len(known) else float("nan")

    def seconds(self) -> np.ndarray:
        """Return N seconds since 1970 by UTC, NaN where no date is; cells without a zone are in the others' first."""
        minutes = self.zone.fillna(np.nan_to_num(self.clock)).to_numpy(float) * (not self.utc)
        times = pd.to_datetime(self.iso.where(self.iso != ""), format="ISO8601")
        return ((times - pd.Timestamp(0)).dt.total_seconds()).to_numpy(float) - 60 * minutes


def read_dates(
    texts: pd.Series,
    where: Callable[[Sequence[int]], str],
    key: str = "",
    order: str = "",
    column: str = "date",
) -> Dates:
    """Understand a column of dates.

    Dates that begin with the year are understood in the forms of ISO 8601, EXIF, spreadsheets and file names. Numbers
    with the day or the month first are never guessed: `order` says which it is. Where all zones of the column agree,
    they are dropped, as it is the cameras' wall clock that counts; where they do not, all is brought to UTC, and a
    time without a zone is not understood. A date that is not understood costs its cell only.

    Args:
        texts: N cells, empty where nothing is told.
        where: Gives the place of some positions for messages.
        key: The source's place in params.yaml, for messages.
        order: The key `date_order`: dmy, mdy or empty.
        column: Name of the column, for messages.

    Raises:
        PelageError: Most dates begin with the day or the month and `order` is not told, or more than half are not
            understood.
    """
    texts = texts.reset_index(drop=True).str.strip()
    iso, zone = pd.Series("", texts.index, object), pd.Series(np.nan, texts.index)
    parts = texts.str.extract(_ZONED) if len(texts) else pd.DataFrame({0: texts, 1: texts})
    bare = parts[0].fillna(texts).str.replace(" ", "T")
    plain = bare.str.len().eq(19) & (texts.str.len().eq(19) | parts[1].notna())
    quick = pd.to_datetime(bare.where(plain), format="%Y-%m-%dT%H:%M:%S", errors="coerce")
    plain &= quick.dt.year.between(FIRST_YEAR, LAST_YEAR)
    iso = iso.mask(plain, bare)
    minutes = {text: _minutes(text) for text in parts[1].dropna().unique()}
    zone = zone.mask(plain, parts[1].map(minutes).astype(float))

    rest = np.flatnonzero((texts != "") & ~plain)
    faults: dict[int, str] = {}
    unordered = []
    understood: dict[str, tuple[str, float] | str] = {}
    for text in texts.iloc[rest].unique():
        try:
            understood[text] = read_date(text, order)
        except ValueError as error:
            understood[text] = str(error)
    for row in rest:
        found = understood[texts.iloc[row]]
        if isinstance(found, str):
            faults[int(row)] = f"{column} {texts.iloc[row]!r} {found}"
            if not order and _YEAR_LAST.fullmatch(texts.iloc[row]):
                unordered.append(int(row))
        else:
            iso.iat[row], zone.iat[row] = found
    told = int((texts != "").sum())
    if unordered and 2 * len(unordered) > told:
        raise PelageError(
            f"{where(unordered)}: {column} {texts.iloc[unordered[0]]!r} may begin with the day or with the month, and "
            f"{len(unordered)} of {told} dates are so. Say which it is: date_order: dmy (day first) or mdy (month "
            f"first) at {key or 'the data set'} in params.yaml."
        )
    if 2 * len(faults) > told:
        first = sorted(faults)
        raise PelageError(
            f"{where(first)}: {faults[first[0]]}, and {len(faults)} of {told} dates are not understood. Write them as "
            "2026-01-31T23:59:59."
        )
    return _in_one_zone(Dates(iso, zone, faults), texts, column)


def read_date(text: str, order: str = "") -> tuple[str, float]:
    """Return one date in ISO 8601 and its zone in minutes ahead of UTC (NaN where none is told).

    Raises:
        ValueError: It is no date; the message says why, as the end of a sentence.
    """
    match = _YEAR_FIRST.fullmatch(text) or _PACKED.fullmatch(text)
    if match:
        told = match.groupdict()
        day, month = (int(told.get(a) or told.get(b)) for a, b in (("d", "day"), ("m", "month")))
    else:
        match = _YEAR_LAST.fullmatch(text)
        if not match:
            raise ValueError("is no date that is understood")
        if not order:
            raise ValueError("may begin with the day or with the month: date_order does not say which")
        told = match.groupdict()
        day, month = (int(told["a"]), int(told["b"]))[:: 1 if order == "dmy" else -1]
    year = int(told["year"])
    if len(told["year"]) == 2:
        year += 2000 if year < 70 else 1900
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"is in the year {year}")
    if told.get("hour") is None:
        try:
            return datetime(year, month, day).date().isoformat(), float("nan")
        except ValueError:
            raise ValueError("is no day of the calendar") from None
    hour = int(told["hour"])
    if half := (told.get("half") or "")[:1].lower():
        if not 1 <= hour <= 12:
            raise ValueError("is no time of day")
        hour = hour % 12 + 12 * (half == "p")
    try:
        moment = datetime(year, month, day, hour, int(told["minute"]), int(told.get("second") or 0))
    except ValueError:
        raise ValueError("is no time of the calendar") from None
    zone = told.get("zone")
    return moment.isoformat(), _minutes(zone) if zone else float("nan")


def exif_date(text: object) -> str:
    """Return a date of EXIF in ISO 8601; empty where it is none, or earlier than digital cameras."""
    try:
        iso, _ = read_date(str(text or "").strip("\0 "))
    except ValueError:
        return ""  # a camera whose clock was never set writes 0000:00:00 00:00:00
    return iso if int(iso[:4]) >= FIRST_EXIF_YEAR and "T" in iso else ""


def suspect_clocks(dates: pd.Series) -> pd.Series:
    """Tell which dates are more than two years away from the main body of all dates: clocks that were reset or run on.

    The dates are cut wherever two years pass without a photo; the part with most photos is the main body.
    """
    days = pd.to_datetime(dates.where(dates != "").str.slice(0, 10), format="%Y-%m-%d").to_numpy("datetime64[D]")
    told = np.flatnonzero(~np.isnat(days))
    suspect = np.zeros(len(dates), bool)
    if len(told):
        order = told[np.argsort(days[told], kind="stable")]
        part = np.concatenate([[0], np.cumsum(np.diff(days[order]) > _GAP)])
        suspect[order] = part != np.bincount(part).argmax()
    return pd.Series(suspect, dates.index)


def _in_one_zone(dates: Dates, texts: pd.Series, column: str) -> Dates:
    zones = dates.zone.dropna().unique()
    if len(zones) <= 1:
        return dates
    iso, faults = dates.iso.copy(), dict(dates.faults)
    zoned = dates.zone.notna()
    shifted = pd.to_datetime(iso[zoned], format="ISO8601") - pd.to_timedelta(dates.zone[zoned], unit="min")
    iso[zoned] = shifted.dt.strftime("%Y-%m-%dT%H:%M:%S")
    for row in np.flatnonzero(~zoned & iso.str.contains("T", regex=False)):
        faults[int(row)] = f"{column} {texts.iloc[row]!r} has no zone, where other dates of its table are of several"
        iso.iat[row] = ""
    return Dates(iso, dates.zone, faults, utc=True)


def _minutes(zone: str) -> float:
    if not zone[-1].isdigit():
        return 0.0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return (-1.0 if zone[0] == "-" else 1.0) * (60 * int(digits[:2]) + int(digits[2:]))
