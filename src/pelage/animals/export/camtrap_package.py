"""A Camtrap Data Package as it lies in a folder: its descriptor and its tables, read, written and checked offline.

Camtrap DP 1.0.2, https://camtrap-dp.tdwg.org. The profile and the schemas of the tables are those of the standard, that
of a data package is Frictionless Data's (both MIT; schemas/README.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from pelage.animals.export.files import table_text
from pelage.common.errors import PelageError
from pelage.common.files import inside
from pelage.common.tables import read_table

VERSION = "1.0.2"
BASE = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}/"
PROFILE = f"{BASE}camtrap-dp-profile.json"
TABLES = ("deployments", "media", "observations")
DESCRIPTOR = "datapackage.json"
REMOTE = {
    "https://specs.frictionlessdata.io/schemas/data-package.json": "data-package.json",
    "http://json.schemastore.org/geojson.json": "geojson.json",
}
"""Schemas that the profile refers to, by the file that stands in for each."""

TOLD = 10
"""Faults that are told at once."""


@dataclass(frozen=True)
class Package:
    """A package.

    Attributes:
        descriptor: What datapackage.json says.
        tables: Tables by the name of their resource, all text.
    """

    descriptor: dict[str, Any]
    tables: dict[str, pd.DataFrame]

    def files(self) -> dict[str, str]:
        """Return the texts of its files, by path."""
        told = json.dumps(self.descriptor, indent=2, ensure_ascii=False, allow_nan=False, default=_iso)
        texts = {DESCRIPTOR: told + "\n"}
        for resource in self.descriptor["resources"]:
            if resource["name"] in self.tables:
                texts[resource["path"]] = table_text(self.tables[resource["name"]])
        return texts


def _iso(day: date) -> str:
    """Return a date or time as text; YAML has made one of what looks like one."""
    return day.isoformat()


@cache
def schema(name: str) -> dict[str, Any]:
    """Return a schema that comes with pelage: `camtrap-dp-profile.json`, `media-table-schema.json` and so on."""
    return json.loads(files("pelage.animals.export").joinpath("schemas", name).read_text(encoding="utf-8"))


def columns(table: str) -> list[str]:
    """Return the columns of a table, in their order."""
    return [one["name"] for one in schema(f"{table}-table-schema.json")["fields"]]


def read_package(folder: Path) -> Package:
    """Read a package, with every table that its descriptor names by one path.

    Raises:
        PelageError: The descriptor or a table is missing or cannot be read.
    """
    path = folder / DESCRIPTOR
    try:
        descriptor = json.loads(path.read_text(encoding="utf-8-sig"))
        tables = {one["name"]: one["path"] for one in descriptor["resources"] if isinstance(one.get("path"), str)}
    except FileNotFoundError as error:
        raise PelageError(f"{path} is missing: give the folder of a Camtrap Data Package.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PelageError(f"{path} is no data package descriptor with resources: {error!r}. Mend it.") from error
    return Package(
        descriptor, {name: read_table(inside(folder, file, str(path))) for name, file in tables.items() if file}
    )


def descriptor_faults(descriptor: Any) -> list[tuple[str, str]]:
    """Check a descriptor against the profile; nothing is fetched.

    Returns:
        Place, such as `project.title`, and what is wrong there; of the alternatives of a schema the nearest.
    """
    from jsonschema import Draft4Validator, FormatChecker
    from jsonschema.exceptions import relevance
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    resources = [(uri, Resource(schema(file), DRAFT4)) for uri, file in REMOTE.items()]
    validator = Draft4Validator(
        schema("camtrap-dp-profile.json"), registry=Registry().with_resources(resources), format_checker=FormatChecker()
    )
    faults = []
    for error in validator.iter_errors(descriptor):
        place = ".".join(map(str, error.absolute_path))
        if place.split(".")[0] == "spatial":  # its alternatives are those of GeoJSON, none of which is the one meant
            faults.append((place, f"{str(error.instance)[:80]} is no GeoJSON"))
            continue
        while error.context:
            error = max(error.context, key=relevance)
        faults.append((".".join(map(str, error.absolute_path)), error.message))
    return sorted(set(faults))


def table_faults(folder: Path, descriptor: dict[str, Any]) -> list[str]:
    """Check the tables of a package that lies in `folder` with frictionless: columns, types, keys; nothing is fetched.

    Resources that are no table of the standard are checked where they bring their own schema.
    """
    from frictionless import Package as Tables

    checked = []
    for resource in descriptor["resources"]:
        told = schema(f"{resource['name']}-table-schema.json") if resource["name"] in TABLES else resource.get("schema")
        if isinstance(told, dict):
            kept = {key: resource[key] for key in ("name", "path", "data", "encoding") if key in resource}
            checked.append({**kept, "type": "table", "schema": told})
    report = Tables.from_descriptor({"resources": checked}, basepath=str(folder)).validate()
    found = [("", error) for error in report.errors]
    found += [(f"{task.name}: ", error) for task in report.tasks for error in task.errors]
    return [name + error.message for name, error in found]


def check_package(folder: Path) -> str:
    """Check a package in a folder.

    Returns:
        A sentence that says by what it was found to be valid.

    Raises:
        PelageError: It is not; the first faults.
    """
    from importlib.metadata import version

    descriptor = read_package(folder).descriptor
    faults = [f"{DESCRIPTOR}, {place}: {said}" for place, said in descriptor_faults(descriptor)]
    faults = faults or [f"tables, {said}" for said in table_faults(folder, descriptor)]
    if faults:
        more = f" And {len(faults) - TOLD} more." if len(faults) > TOLD else ""
        raise PelageError(f"The package is no valid Camtrap DP {VERSION}: {'; '.join(faults[:TOLD])}.{more}")
    return (
        f"Valid Camtrap DP {VERSION}: the descriptor by its profile (jsonschema {version('jsonschema')}), the tables "
        f"by their schemas (frictionless {version('frictionless')})."
    )
