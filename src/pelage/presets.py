"""Presets: the parameters of one purpose, applied to `params.yaml` visibly and reversibly.

    pelage presets                 which presets there are
    pelage presets leopard_paper   apply one; prints what it changes, as `git diff` will show it
    pelage presets --undo          take the last one back

A preset is `presets/<name>.yaml`: `about` says what it reproduces and from which source, `variants` replaces the
section of that name, `set` holds values laid over the other sections (and may add matchers and rematchers), and `sweep`
says what `pelage sweeps` varies.
Comments of `params.yaml` stay. The pipeline itself knows `params.yaml` alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from pelage.common.errors import PelageError
from pelage.common.files import cache_root, write_text
from pelage.common.params import read_yaml
from pelage.settings.check import check_params

PARAMS, PRESETS = Path("params.yaml"), Path("presets")
FIELDS = ("about", "variants", "set", "sweep")
GROWING = ("matchers.", "rematchers.")
"""Sections whose entries are the user's own: a preset may add some."""
_VARIANTS = re.compile(r"^variants:\n(?:(?:[ #][^\n]*)?\n(?=[ \n])|[ ][^\n]*\n)*", re.MULTILINE)


def read_preset(name: str, folder: Path = PRESETS) -> dict[str, Any]:
    """Read a preset.

    Raises:
        PelageError: There is none of that name, or it has other fields than `FIELDS`.
    """
    names = preset_names(folder)
    if name not in names:
        raise PelageError(f"There is no preset {name!r}; {folder} has {', '.join(names) or 'none'}.")
    preset = read_yaml(folder / f"{name}.yaml")
    wrong = [field for field in preset if field not in FIELDS]
    if wrong or not preset.get("about"):
        raise PelageError(
            f"{folder / name}.yaml: it must have about, and may have variants, set and sweep; {wrong} is not known."
        )
    return preset


def preset_names(folder: Path = PRESETS) -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def applied(text: str, preset: Mapping[str, Any]) -> str:
    """Return the text of `params.yaml` with a preset laid over it, comments kept.

    Raises:
        PelageError: A key of `set` is not in `params.yaml`, or the parameters would be wrong.
    """
    yaml, params = _laid(text, preset)
    after = _dumped(yaml, params)
    check_params(YAML(typ="safe", pure=True).load(after), references=False)
    return after


def laid_over(text: str, preset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that `applied` would write."""
    return YAML(typ="safe", pure=True).load(applied(text, preset))


def _laid(text: str, preset: Mapping[str, Any]) -> tuple[YAML, dict[str, Any]]:
    if "variants" in preset:
        text = _VARIANTS.sub(lambda _: _dumped(YAML(), {"variants": preset["variants"]}) + "\n", text, count=1)
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 4096, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    params = yaml.load(text)
    _lay(params, preset.get("set") or {}, "")
    return yaml, params


def _lay(section: dict[str, Any], values: Mapping[str, Any], where: str) -> None:
    before = len(section)
    for key, value in values.items():
        if key not in section and where in GROWING:
            section.fa.set_block_style()
            section.insert(len(section) - before, key, dict(value))  # before the comments that end the section
        elif key not in section:
            raise PelageError(f"The preset sets {where}{key}, which params.yaml does not have. Correct the preset.")
        elif isinstance(value, Mapping) and isinstance(section[key], Mapping):
            _lay(section[key], value, f"{where}{key}.")
        elif isinstance(value, list) and isinstance(section[key], list):
            _fill(section[key], value)
        elif section[key] != value:
            section[key] = value


def _fill(values: CommentedSeq, new: Sequence[Any]) -> None:
    """Give a list new values; it stays written as it was, and the comment or empty line after it stays."""
    end = values.ca.items.pop(len(values) - 1, None)
    del values[:]
    values.extend(new)
    if new and end:
        values.ca.items[len(new) - 1] = end


def _dumped(yaml: YAML, value: Any) -> str:
    out = StringIO()
    yaml.dump(value, out)
    return out.getvalue()


def difference(before: str, after: str) -> str:
    """Return a unified diff of two texts of `params.yaml`."""
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), "params.yaml", "params.yaml")
    return "".join(lines)


def apply(name: str) -> str:
    """Apply a preset to `params.yaml`, remember how it was, and return the difference."""
    before = PARAMS.read_text(encoding="utf-8")
    after = applied(before, read_preset(name))
    if after != before:
        write_text(_memory("before"), before)
        write_text(_memory("after"), after)
        write_text(PARAMS, after)
    return difference(before, after)


def undo() -> str:
    """Take the last preset back and return the difference.

    Raises:
        PelageError: None was applied, or `params.yaml` was edited since.
    """
    try:
        before, after = (_memory(when).read_text(encoding="utf-8") for when in ("before", "after"))
    except FileNotFoundError as error:
        raise PelageError("No preset was applied here, so there is none to take back.") from error
    now = PARAMS.read_text(encoding="utf-8")
    if now != after:
        raise PelageError(
            "params.yaml was edited after the preset was applied, and taking it back would lose that. "
            "Look at `git diff params.yaml`, and restore with git what you do not want."
        )
    write_text(PARAMS, before)
    return difference(now, before)


def _memory(when: str) -> Path:
    return cache_root() / "presets" / f"{when}.yaml"
