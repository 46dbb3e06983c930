"""What the owner of a survey tells of it, and nobody else can: `export.yaml`, an entry a data set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pelage.common.errors import PelageError
from pelage.common.params import nearest, read_yaml

FILE = Path("export.yaml")


@dataclass(frozen=True)
class Owner:
    """An entry.

    Attributes:
        time_zone: Zone of the cameras' clocks, as `clock.time_zone` takes it; empty where it is not told.
        package: Properties of Camtrap DP's datapackage.json.
    """

    time_zone: str = ""
    package: Mapping[str, Any] = field(default_factory=dict)


def read_owner(path: Path, name: str, datasets: Collection[str]) -> Owner:
    """Read what is told of the data set `name`; nothing where there is no file or no entry.

    Args:
        path: The file.
        name: A data set of params.yaml.
        datasets: All of them.

    Raises:
        PelageError: The file is no YAML, or an entry is of no data set or has a field or a value that it cannot have.
    """
    told = (read_yaml(path) or {}) if path.is_file() else {}
    if not isinstance(told, Mapping):
        raise PelageError(f"{path} must have an entry for each data set, with time_zone and package; it is {told!r}.")
    for entry, fields in told.items():
        if entry not in datasets:
            known = ", ".join(datasets)
            raise PelageError(f"{path} names {entry!r}; datasets of params.yaml has {known}.{nearest(entry, datasets)}")
        _check(f"{path}: {entry}", fields)
    return Owner(**{key: value for key, value in (told.get(name) or {}).items() if value is not None})


def _check(where: str, fields: Any) -> None:
    if fields is not None and not isinstance(fields, Mapping):
        raise PelageError(f"{where} is {fields!r}; it must be time_zone and package.")
    for key, value in (fields or {}).items():
        if key not in ("time_zone", "package"):
            known = ("time_zone", "package")
            raise PelageError(
                f"{where} has the unknown field {key!r}; known are {' and '.join(known)}.{nearest(key, known)}"
            )
        if key == "time_zone" and not isinstance(value, str | None):
            raise PelageError(f'{where}.time_zone is {value!r}; it must be a text, such as "+02:00".')
        if key == "package" and not isinstance(value, Mapping | None):
            raise PelageError(
                f"{where}.package is {value!r}; it must be properties of datapackage.json and their values."
            )
