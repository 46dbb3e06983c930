"""Parameters: `params.yaml`, read as YAML 1.2 so that `1e-4` is a number, with errors that name the key."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from pelage.common.errors import PelageError


def read_yaml(path: Path) -> Any:
    """Read one YAML 1.2 file with plain Python types (no tags, no objects)."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PelageError(f"{path} is missing: run from the project's root, or restore the file with git.") from error
    except YAMLError as error:
        raise PelageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def read_params(path: Path = Path("params.yaml")) -> dict[str, Any]:
    """Read `params.yaml` as nested dictionaries."""
    return read_yaml(path)


def nearest(value: Any, known: Collection[str]) -> str:
    """Return ` Did you mean 'saliency'?`, with whichever of `known` is most like `value`, or nothing if none is."""
    names = {str(name).casefold(): name for name in known}
    found = difflib.get_close_matches(str(value).casefold(), names, n=1, cutoff=0.6)
    return f" Did you mean {names[found[0]]!r}?" if found else ""


def choose(value: Any, allowed: Collection[str], key: str) -> str:
    """Return `value` if it is one of `allowed`; otherwise say which key is wrong and what it may be."""
    if not isinstance(value, str) or value not in allowed:
        raise PelageError(
            f"params.yaml: {key} is {value!r}; it must be one of {', '.join(sorted(allowed))}.{nearest(value, allowed)}"
        )
    return value


def entry(section: Mapping[str, Any], name: str, key: str) -> Any:
    """Return `section[name]`; otherwise say that `key` has no such entry and which there are."""
    if name not in section:
        raise PelageError(
            f"params.yaml: {key} has no entry {name!r}; it has {', '.join(map(str, section))}.{nearest(name, section)}"
        )
    return section[name]


def merged(default: Mapping[str, Any], override: Mapping[str, Any] | None, key: str) -> dict[str, Any]:
    """Return `default` with the values of `override` laid over it.

    Raises:
        PelageError: `override` is no section, or names a field that `default` does not have (`key` says where).
    """
    override = {} if override is None else override
    if not isinstance(override, Mapping):
        raise PelageError(
            f"params.yaml: {key} is {override!r}; it must be fields and values, of {', '.join(map(str, default))}."
        )
    unknown = [name for name in override if name not in default]
    if unknown:
        raise PelageError(
            f"params.yaml: {key} has the unknown field {unknown[0]!r}; known are {', '.join(map(str, default))}."
            f"{nearest(unknown[0], default)}"
        )
    return {**default, **override}
