"""Times with a zone: the wall clock of cameras, told as the time that it was."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from pelage.common.errors import PelageError

OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


def time_zone(name: str) -> tzinfo:
    """Return the zone of a name, `Africa/Johannesburg`, `UTC` or `+02:00`.

    An offset is a clock that is never changed; a name is one that is changed when that place changes its clocks.

    Raises:
        PelageError: There is no such zone.
    """
    if name in ("Z", "UTC"):
        return UTC
    told = OFFSET.fullmatch(name)
    if told and int(told[2]) < 24 and int(told[3]) < 60:
        ahead = timedelta(hours=int(told[2]), minutes=int(told[3]))
        return timezone(-ahead if told[1] == "-" else ahead)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise PelageError(
            f"{name!r} is no time zone. Give one as +02:00 (a clock that is never changed), or by its name in the IANA "
            "list, such as Africa/Johannesburg."
        ) from error


def with_zone(times: pd.Series, zone: tzinfo) -> pd.Series:
    """Return wall-clock times `YYYY-MM-DDTHH:MM:SS` with their offset from UTC; empty stays empty."""
    told = {time: _zoned(time, zone) for time in times.unique()}
    return times.map(told)


def _zoned(time: str, zone: tzinfo) -> str:
    if not time:
        return ""
    text = datetime.fromisoformat(time).replace(tzinfo=zone, microsecond=0).isoformat()
    return re.sub(r"\+00:00$", "Z", text)


def doubtful(times: pd.Series, zone: tzinfo) -> int:
    """Return how many times the zone's clock shows twice or never, when it is put back or forward."""
    moments = [datetime.fromisoformat(time).replace(tzinfo=zone) for time in times if time]
    return sum(moment.utcoffset() != moment.replace(fold=1).utcoffset() for moment in moments)
