"""The commands of `pelage review`: what to decide next, and decisions by hand or from a table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pelage.common.errors import PelageError

QUESTIONS = Path("data/questions.csv")
SHOWN = ["place", "crop", "other_crop", "individual", "probability", "delta", "why"]


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the commands to the parser of `pelage review`; each is a function of this module, its docstring its help."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Any) -> argparse.ArgumentParser:
        said = run.__doc__.strip()
        added = commands.add_parser(name, help=said[0].lower() + said[1:].rstrip("."), description=said)
        added.set_defaults(step=run)
        return added

    added = command("list", list_questions)
    added.add_argument("--most", type=int, default=20, help="how many (default: 20)")
    added = command("decide", decide)
    added.add_argument("verb", help="same, different, is, new, cannot_tell, skip, pin, undo, merge, split, rename, ...")
    added.add_argument("crop", nargs="*", help="the crop, and what it is compared with")
    for name, said in (("name", "of an animal"), ("to", "its new name"), ("reason", "in words"), ("undoes", "an id")):
        added.add_argument(f"--{name}", default="", help=said)
    added.add_argument("--reviewer", required=True, help="who decides")
    added = command("import", import_table)
    added.add_argument("file", type=Path, help="a CSV table; its columns are told in docs/review.md")
    added.add_argument("--reviewer", default="", help="who decided, where no column says it")
    command("check", check)
    added = command("serve", serve)
    added.add_argument("--port", type=int, default=8437, help="of 127.0.0.1 (default: 8437; 0: a free one)")
    added.add_argument("--journal", type=Path, default=Path("review/journal.jsonl"), help="where decisions are written")
    added.add_argument("--read-only", action="store_true", help="look, decide nothing")


def list_questions(asked: argparse.Namespace) -> None:
    """List what to decide next, the most open question first."""
    from pelage.common.tables import read_table
    from pelage.review.known import open_questions, read_now

    journal, known = read_now()
    questions = read_table(QUESTIONS, required=[name for name in SHOWN if "crop" not in name])
    left = open_questions(questions, known, journal)
    if not left.empty:
        print(left[SHOWN].head(asked.most).to_string(index=False))
    answered = len(questions) - len(left)
    print(f"{len(left)} questions" + (f", {answered} more were answered since the last run." if answered else "."))


def decide(asked: argparse.Namespace) -> None:
    """Write one decision to the journal; the next `dvc repro` follows it."""
    from pelage.animals.journal import JOURNAL, append
    from pelage.review.known import read_now, sides_of

    journal, known = read_now()
    told = {name: getattr(asked, name) for name in ("name", "to", "reason", "undoes")}
    try:
        entry = known.entry(asked.verb, asked.reviewer, *sides_of(asked.verb, asked.crop), **told)
    except PelageError as error:
        raise PelageError(f"{str(error)[0].upper()}{str(error)[1:]} Nothing was decided.") from error
    append(entry)
    print(f"{JOURNAL}: {entry.verb}, id {entry.id}")
    for one in known.fold([*journal.entries, entry]).told:
        if entry.id in one.entries:
            print(f"but {one.why}")


def import_table(asked: argparse.Namespace) -> None:
    """Write the decisions of a table to the journal; a row that is there already changes nothing."""
    from pelage.animals.journal import JOURNAL, append
    from pelage.review.decision_table import COLUMNS, read_decisions
    from pelage.review.known import read_now

    journal, known = read_now()
    rows = read_decisions(asked.file, known, asked.reviewer)
    there = {entry.id for entry in journal.entries}
    written = 0
    for number, entry in rows.entries:
        if entry.id not in there:
            try:
                written += append(entry)
                there.add(entry.id)
            except PelageError as error:
                rows.bad.append(f"{asked.file}, row {number}: {error}")
    for name in rows.unread:
        print(f"{asked.file}: nothing is read from column {name} Known are {', '.join(COLUMNS)}.")
    for sentence in rows.bad:
        print(sentence)
    already = len(rows.entries) - written
    print(f"{JOURNAL}: {written} decisions written, {already} not new, {len(rows.bad)} rows left out")
    if rows.bad:
        sys.exit(1)


def check(_: argparse.Namespace) -> None:
    """Say what in the journal does not fit together, or fits nothing there is."""
    from pelage.animals.journal import JOURNAL
    from pelage.review.known import read_now, told_now

    journal, known = read_now()
    told = told_now(journal, known)
    for sentence in told:
        print(sentence)
    disputed = known.fold(journal.entries).disputed
    for unit, other in disputed:
        print(f"Reviewers disagree about {unit!r} and {other!r}: let a third one decide.")
    print(f"{JOURNAL}: {len(journal.entries)} decisions, {len(told)} that do not fit, {len(disputed)} disputed")
    if told:
        sys.exit(1)


def serve(asked: argparse.Namespace) -> None:
    """Open a page of this machine alone on which to decide, by keyboard, with photos side by side."""
    from pelage.review.serve import serve

    serve(asked.port, asked.journal, asked.read_only)
