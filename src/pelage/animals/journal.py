"""Journal: what people decided, one line of JSON a decision, only ever appended to.

A line is written in one piece and is on the disk before `append` returns. A line that a crash tore, that a hand spoilt
or that asks for what does not exist is told with its number and left out; all others count.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pelage.common.errors import PelageError
from pelage.common.params import nearest

JOURNAL = Path("review/journal.jsonl")

NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "same": (("crops", "other_crops"),),
    "different": (("crops", "other_crops"),),
    "is": (("crops", "name"),),
    "new": (("crops",),),
    "cannot_tell": (("crops",),),
    "skip": (("crops",),),
    "pin": (("crops",),),
    "undo": (("undoes",),),
    "merge": (("crops", "other_crops"), ("name", "to")),
    "split": (("crops", "other_crops"),),
    "rename": (("crops", "to"), ("name", "to")),
    "note": (("crops", "reason"), ("name", "reason")),
    "best": (("crops",),),
}
"""By verb, the fields that it needs: all of one of these groups."""

BEYOND = 1 << 40

FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

LONGEST_LINE = 1 << 18
"""Bytes that a line stays below."""


@dataclass(frozen=True)
class Entry:
    """One decision.

    Attributes:
        id: Given by whoever asks for the decision, so that asking twice decides once.
        time: ISO 8601 with a zone.
        reviewer: Who decided.
        verb: What, one of `NEEDS`.
        crops, other_crops: Crops of the one side, and of the other.
        hashes: By crop id, the SHA-256 of its photo; finds a crop again whose photo was renamed.
        name, to: Names of animals; `to` is what `name` (or the animal of `crops`) becomes.
        reason: In words.
        shown: What was on the screen: probability, filters, version of the run.
        undoes: The id of the entry that is taken back.
        line: Number of the line in the file, from 1; 0 where it was not read from one.
    """

    id: str
    time: str
    reviewer: str
    verb: str
    crops: tuple[str, ...] = ()
    other_crops: tuple[str, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    to: str = ""
    reason: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict)
    undoes: str = ""
    line: int = field(default=0, compare=False)

    def text(self) -> str:
        """Return the line, without its end: fields in the order above, empty ones left out."""
        said = {key: value for key, value in asdict(self).items() if value and key != "line"}
        return json.dumps(said, ensure_ascii=False)


@dataclass(frozen=True)
class Told:
    """Something about the journal that a person should know.

    Attributes:
        entries: Ids of the entries it is about; empty where a line is no entry.
        lines: Their lines.
        why: A sentence or two.
    """

    entries: tuple[str, ...]
    lines: tuple[int, ...]
    why: str

    def sentence(self, path: Path = JOURNAL) -> str:
        """Return all of it, with the file and lines."""
        numbers = ", ".join(map(str, self.lines))
        return f"{path}, line{'s' if len(self.lines) > 1 else ''} {numbers}: {self.why}" if self.lines else self.why


@dataclass(frozen=True)
class Journal:
    """What a file holds: its entries in order, and what was left out."""

    entries: list[Entry]
    told: list[Told]


def new_entry(verb: str, reviewer: str, **fields: Any) -> Entry:
    """Return a checked entry; `id` and `time` are made where `fields` does not give them.

    Raises:
        PelageError: As `parsed`.
    """
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return parsed({"id": str(uuid.uuid4()), "time": now, "reviewer": reviewer, "verb": verb, **fields})


def parsed(said: Any, line: int = 0) -> Entry:
    """Return the entry that a JSON object says.

    Raises:
        PelageError: It is no object, a field is missing or of the wrong kind, or the verb is unknown.
    """
    if not isinstance(said, dict):
        raise PelageError("it is no JSON object. Mend or remove the line.")
    unknown = next((key for key in said if key not in _FIELDS), None)
    if unknown is not None:
        raise PelageError(f"there is no field {_short(unknown)}.{nearest(unknown, _FIELDS)}")
    made: dict[str, Any] = {}
    for key, default in _FIELDS.items():
        value = said.get(key, default)
        if isinstance(default, tuple):
            good = isinstance(value, list | tuple) and all(isinstance(crop, str) and crop for crop in value)
            made[key] = tuple(value) if good else None
        elif isinstance(default, dict):
            good = isinstance(value, dict) and (key == "shown" or all(isinstance(text, str) for text in value.values()))
            made[key] = value
        else:
            good, made[key] = isinstance(value, str), value
        if not good:
            kind = {tuple: "a list of crop ids", dict: "an object"}.get(type(default), "text")
            raise PelageError(f"{key} is {_short(value)}; it must be {kind}.")
    verb = made["verb"]
    if verb not in NEEDS:
        raise PelageError(f"the verb {_short(verb)} is none of {', '.join(NEEDS)}.{nearest(verb, NEEDS)}")
    needed = (("id", "time", "reviewer"),), NEEDS[verb]
    for groups in needed:
        if not any(all(made[key] for key in group) for group in groups):
            raise PelageError(f"{verb} needs {' or '.join(' and '.join(group) for group in groups)}.")
    try:
        zone = datetime.fromisoformat(made["time"]).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise PelageError(
            f"the time {_short(made['time'])} is not ISO 8601 with a zone, such as 2026-03-01T14:05:00+02:00."
        )
    if set(made["crops"]) & set(made["other_crops"]):
        raise PelageError("a crop is on both sides. Give each side its own.")
    return Entry(**made, line=line)


_FIELDS: Mapping[str, Any] = {
    **dict.fromkeys(("id", "time", "reviewer", "verb"), ""),
    **dict.fromkeys(("crops", "other_crops"), ()),
    "hashes": {},
    **dict.fromkeys(("name", "to", "reason"), ""),
    "shown": {},
    "undoes": "",
}


def _short(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 60 else said[:57] + "..."


def read_journal(path: Path = JOURNAL) -> Journal:
    """Read a journal; one that is not there is empty.

    An entry that stands there twice, as after a retry, counts once. Entries of one id that differ count not at all.

    Raises:
        PelageError: The file cannot be read at all.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Journal([], [])
    except OSError as error:
        raise PelageError(f"{path} cannot be read: {error.strerror}.") from error
    return parse_journal(data)


def parse_journal(data: bytes) -> Journal:
    """Return what the bytes of a journal hold, see `read_journal`."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    found: dict[str, Entry] = {}
    differing: dict[str, list[int]] = {}
    told = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = parsed(_loaded(line, number == len(lines)), number)
        except PelageError as error:
            told.append(Told((), (number,), str(error)))
            continue
        before = found.setdefault(entry.id, entry)
        if before != entry:
            differing.setdefault(entry.id, [before.line]).append(number)
    for name, numbers in differing.items():
        del found[name]
        why = f"these decisions differ and have one id, {_short(name)}; none of them counts. Give each its own."
        told.append(Told((name,), tuple(numbers), why))
    return Journal(list(found.values()), sorted(told, key=lambda one: one.lines))


def _loaded(line: bytes, last: bool) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        if last:
            raise PelageError("the line ends in the middle, as after a crash; it is left out.") from error
        raise PelageError(f"it is no JSON ({error}). Mend or remove the line.") from error


def append(entry: Entry, path: Path = JOURNAL) -> bool:
    """Append an entry, and return once it is on the disk.

    Writers take turns by a lock on the file, so several processes may write. A line that a crash left without its end
    is closed first.

    Returns:
        False where the same entry is there already.

    Raises:
        PelageError: Another entry has this id, the entry is too long or no text, or the disk takes nothing (no part of
            the entry then counts).
    """
    try:
        line = parsed(json.loads(entry.text())).text().encode("utf-8") + b"\n"
    except UnicodeEncodeError as error:
        raise PelageError("the decision holds a character that is none; type it anew.") from error
    if len(line) > LONGEST_LINE:
        raise PelageError(f"the decision takes {len(line)} bytes; more than {LONGEST_LINE} are not written.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        file = os.open(path, FLAGS, 0o644)
        try:
            lock(file)
            size = os.fstat(file).st_size
            os.lseek(file, 0, os.SEEK_SET)
            data = os.read(file, size) if size else b""
            there = _holds(data, entry)
            line = b"\n" + line if data and not data.endswith(b"\n") else line
            if not there and os.write(file, line) < len(line):
                raise PelageError(
                    f"{path} took a part of the decision only: the disk is full. Make room, decide again."
                )
            os.fsync(file)
        finally:
            os.close(file)
        if fresh:
            _sync_folder(path.parent)
    except OSError as error:
        raise PelageError(f"{path} cannot be written: {error.strerror}. The decision is not kept.") from error
    return not there


def lock(file: int) -> None:
    """Wait until no other process writes to an open file; closing it lets the next one in.

    Windows has no `flock`; there the first byte beyond any journal is locked, which keeps nobody from reading.
    """
    if os.name == "nt":
        import msvcrt

        os.lseek(file, BEYOND, os.SEEK_SET)
        while True:
            try:
                return msvcrt.locking(file, msvcrt.LK_LOCK, 1)
            except OSError:  # it waits for ten seconds only
                continue
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX)


def _holds(data: bytes, entry: Entry) -> bool:
    """Tell whether a journal holds an entry.

    Raises:
        PelageError: It holds another of this id.
    """
    name = json.dumps(entry.id, ensure_ascii=False).encode("utf-8")
    start = data.find(name)
    while start >= 0:
        first, end = data.rfind(b"\n", 0, start) + 1, data.find(b"\n", start)
        for there in parse_journal(data[first : end if end >= 0 else len(data)]).entries:
            if there.id == entry.id:
                if there == entry:
                    return True
                raise PelageError(f"the id {_short(entry.id)} belongs to another decision; give this one its own.")
        start = data.find(name, end) if end >= 0 else -1
    return False


def _sync_folder(folder: Path) -> None:
    """Make a new file's name last through a loss of power; Windows sees to that itself."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def lines_of(entries: Sequence[Entry]) -> tuple[int, ...]:
    """Return the lines of entries, sorted, each once."""
    return tuple(sorted({entry.line for entry in entries if entry.line}))
