"""The journal: every line that was acknowledged is there, whatever tore, whoever wrote at once."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelage.animals.journal import NEEDS, append, new_entry, parse_journal, read_journal
from pelage.common.errors import PelageError

TIME = "2026-03-01T14:05:00+02:00"


def said(verb="same", reviewer="ana", **fields):
    fields = {"crops": ["a#0"], "other_crops": ["b#0"], "time": TIME, **fields}
    return new_entry(verb, reviewer, **fields)


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "review" / "journal.jsonl"
    entries = [said(), said("is", other_crops=[], name="Šárka\n<b>\u2028"), said("undo", crops=[], undoes="x")]
    assert all(append(entry, path) for entry in entries)
    assert not append(entries[1], path)
    journal = read_journal(path)
    assert journal.entries == entries and not journal.told
    assert [entry.line for entry in journal.entries] == [1, 2, 3]
    assert list(json.loads(path.read_text().splitlines()[0])) == [
        "id",
        "time",
        "reviewer",
        "verb",
        "crops",
        "other_crops",
    ]


def test_no_file_is_no_decision(tmp_path):
    assert read_journal(tmp_path / "journal.jsonl").entries == []


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_line_is_told_and_closed_by_the_next_write(tmp_path, cut):
    path = tmp_path / "journal.jsonl"
    first, torn, last = said(), said(), said()
    append(first, path)
    append(torn, path)
    os.truncate(path, path.stat().st_size - cut)
    whole = cut == 1  # only the end of the line is missing
    journal = read_journal(path)
    assert journal.entries == [first, torn] if whole else [first]
    assert [told.lines for told in journal.told] == ([] if whole else [(2,)])
    assert append(torn, path) is not whole
    append(last, path)
    assert read_journal(path).entries == [first, torn, last]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"id": 1', "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("<<<<<<< HEAD", "no JSON"),
        ("[]", "no JSON object"),
        ('{"verb": "smae"}', "Did you mean 'same'"),
        ('{"verb": "same", "id": "1", "time": "T", "reviewer": "ana", "crops": ["a"]}', "needs crops and other_crops"),
        ('{"verb": "same", "reviewr": "ana"}', "Did you mean 'reviewer'"),
        ('{"verb": "new", "crops": "a"}', "crops is 'a'; it must be a list"),
        ('{"verb": "new", "id": "1", "reviewer": "ana", "crops": ["a"], "time": "2026-03-01 14:05"}', "with a zone"),
        ('{"verb": "new", "id": "1", "reviewer": "", "crops": ["a"], "time": "2026-03-01"}', "needs id and time and"),
        ('{"verb": "merge", "id": "1", "reviewer": "a", "time": "2026-03-01", "name": "L1"}', "or name and to"),
        (said().text().replace("b#0", "a#0"), "both sides"),
        ("\xff", "no JSON"),
    ],
)  # fmt: skip
def test_a_bad_line_is_told_with_its_number_and_the_others_count(line, why):
    good = said().text().encode()
    journal = parse_journal(b"\n".join([good, line.encode("latin-1"), b"", said().text().encode(), b""]))
    assert len(journal.entries) == 2
    assert [told.lines for told in journal.told] == [(2,)]
    assert why in journal.told[0].sentence(Path("j")) and journal.told[0].sentence(Path("j")).startswith("j, line 2: ")


def test_one_id_of_two_decisions_counts_for_neither(tmp_path):
    one, other = said(id="1"), said("different", id="1")
    journal = parse_journal(f"{one.text()}\n{other.text()}\n{one.text()}\n".encode())
    assert journal.entries == [] and journal.told[0].lines == (1, 2)
    append(one, tmp_path / "j")
    with pytest.raises(PelageError, match="belongs to another decision"):
        append(other, tmp_path / "j")


def test_a_full_disk_acknowledges_nothing():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(PelageError, match="No space left"):
        append(said(), Path("/dev/full"))


def test_a_line_has_a_limit_and_text_is_text(tmp_path):
    with pytest.raises(PelageError, match="bytes"):
        append(said(reason="x" * (1 << 18)), tmp_path / "j")
    with pytest.raises(PelageError, match="character"):
        append(said(reason="\ud800"), tmp_path / "j")


def _write(path, reviewer):
    return [append(said(reviewer=reviewer, reason="x" * 3000), path) for _ in range(25)]


def test_several_processes_lose_nothing(tmp_path):
    with ProcessPoolExecutor(4) as pool:
        for done in [pool.submit(_write, tmp_path / "j", f"r{n}") for n in range(4)]:
            assert done.result() == [True] * 25
    journal = read_journal(tmp_path / "j")
    assert len(journal.entries) == 100 and not journal.told


@given(st.lists(st.sampled_from(sorted(NEEDS)), max_size=8), st.data())
def test_cut_anywhere_all_whole_lines_are_there(verbs, data):
    fields = {"name": "L1", "to": "L2", "reason": "é", "undoes": "x"}
    entries = [said(verb, **fields) for verb in verbs]
    text = "".join(entry.text() + "\n" for entry in entries).encode()
    cut = data.draw(st.integers(0, len(text)))
    journal = parse_journal(text[:cut])
    ends = [len("".join(entry.text() + "\n" for entry in entries[: n + 1]).encode()) - 1 for n in range(len(entries))]
    whole = sum(end <= cut for end in ends)
    assert journal.entries == entries[:whole]
    torn = cut > (ends[whole - 1] + 1 if whole else 0)
    assert [told.lines for told in journal.told] == ([(whole + 1,)] if torn else [])
