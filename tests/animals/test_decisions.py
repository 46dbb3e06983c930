"""What a journal means: by hand, and that nothing depends on how the lines of several reviewers interleave."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit

from pelage.animals.clustering import Graph, cluster
from pelage.animals.decisions import fold
from pelage.animals.journal import NEEDS, new_entry, parse_journal

UNITS = {f"{name}#0": f"E{name}" for name in "abcdefgh"} | {"a2#0": "Ea"}
IDENTITY = {f"E{name}": "unknown" for name in "abcdef"} | {"Eg": "L1", "Eh": "L2"}
HASHES = {crop[:-2]: crop[:-2].upper() for crop in UNITS}
VOICE = float(logit(0.98))


class Pen:
    """Writes entries with ids 1, 2, ..."""

    def __init__(self):
        self.entries = []

    def __call__(self, verb, crops="", other="", reviewer="ana", **fields):
        number = len(self.entries) + 1
        sides = {"crops": [f"{c}#0" for c in crops.split()], "other_crops": [f"{c}#0" for c in other.split()]}
        time = f"2026-03-01T14:{number:02d}:00+02:00"
        self.entries.append(new_entry(verb, reviewer, id=str(number), time=time, **sides, **fields))
        return self

    def fold(self):
        text = "".join(entry.text() + "\n" for entry in self.entries)
        return fold(parse_journal(text.encode()).entries, UNITS, IDENTITY, HASHES)

    def links(self):
        columns = ["unit", "other", "log_odds", "kind"]
        return [tuple(row) for row in self.fold().links[columns].itertuples(index=False)]


def why(decisions):
    return " ".join(told.sentence(Path("j")) for told in decisions.told)


def test_voices_add_up_and_each_reviewer_has_one():
    pen = Pen()("same", "b", "a")("same", "a2", "b")("same", "a", "b", reviewer="ben")
    assert pen.links() == [("Ea", "Eb", pytest.approx(2 * VOICE), "decision")]
    pen("different", "a", "b", reviewer="cy")
    assert pen.links()[0][2] == pytest.approx(VOICE)
    pen("different", "a", "b")
    decisions = pen.fold()
    assert decisions.links[["for", "against", "entries"]].values.tolist() == [[1, 2, "3 4 5"]]
    assert decisions.seen == {("Ea", "Eb"): ("ana", "ben", "cy")}


def test_voices_that_cancel_are_disputed_and_cannot_tell_has_none():
    pen = Pen()("same", "a", "b")("different", "a", "b", reviewer="ben")("cannot_tell", "c", "d")
    assert pen.fold().disputed == [("Ea", "Eb")]
    assert len(pen.links()) == 1 and ("Ec", "Ed") in pen.fold().seen
    pen("cannot_tell", "a", "b", reviewer="ben")
    assert pen.fold().disputed == []


def test_pinned_holds_until_the_answer_changes():
    pen = Pen()("pin", "a", "b")
    assert "nothing is pinned" in why(pen.fold()) and pen.links() == []
    pen("same", "a", "b")("pin", "a", "b")("same", "a", "b")
    assert pen.links() == [("Ea", "Eb", np.inf, "must")]
    pen("different", "a", "b")
    assert pen.links() == [("Ea", "Eb", pytest.approx(-VOICE), "decision")]
    assert Pen()("merge", "a", "b").links()[0][3] == "must" and Pen()("split", "a", "b").links()[0][3] == "cannot"


def test_undo_and_undo_of_undo():
    pen = Pen()("same", "a", "b")("undo", undoes="1", reviewer="ben")
    assert pen.links() == []
    pen("undo", undoes="2")
    assert len(pen.links()) == 1
    pen("undo", undoes="9")
    assert "j, line 4: there is no decision '9' to undo." in why(pen.fold())
    assert "in a circle" in why(Pen()("undo", undoes="2")("undo", undoes="1")("same", "a", "b").fold())


def test_a_chain_of_pins_that_contradicts_itself_is_told_and_taken_as_voices():
    pen = Pen()("merge", "a", "b")("merge", "b", "c", reviewer="ben")("split", "a", "c")("merge", "d", "e")
    decisions = pen.fold()
    assert decisions.links["kind"].tolist() == ["decision", "decision", "decision", "must"]
    assert "j, lines 1, 2, 3: Ea = Eb = Ec by what is pinned" in why(decisions)
    pen("undo", undoes="3")
    assert set(pen.fold().links["kind"]) == {"must"} and not pen.fold().told


def test_names_of_the_source_hold_against_pins_until_they_are_merged():
    pen = Pen()("merge", "g", "a")("merge", "a", "h")
    assert "merge the names" in why(pen.fold())
    pen("merge", name="L1", to="L2")
    assert pen.fold().aliases == {"L1": "L2"} and not pen.fold().told
    assert set(pen.fold().links["kind"]) == {"must"}


def test_is_links_to_the_animal_and_new_counts_against_all_known_ones():
    assert Pen()("is", "a", name="L1").links() == [("Ea", "Eg", pytest.approx(VOICE), "decision")]
    pen = Pen()("is", "a", name="L1")("is", "a", name="L2", reviewer="ben")
    assert pen.fold().disputed == [("Ea", "Eg"), ("Ea", "Eh")]
    pen = Pen()("new", "a")("new", "b")("pin", "b")
    assert pen.fold().new == {"Ea": pytest.approx(VOICE), "Eb": np.inf}
    pen = Pen()("is", "a", name="Sita")("is", "b", name="Sita")
    assert pen.links() == [("Ea", "Eb", pytest.approx(VOICE), "decision")]
    assert pen.fold().called == {"Ea": "Sita", "Eb": "Sita"}
    assert pen.fold().new == {"Ea": pytest.approx(VOICE), "Eb": pytest.approx(VOICE)}
    assert "'L2' here and 'L1' in the source" in why(Pen()("is", "g", name="L2").fold())


def test_cannot_tell_only_where_nobody_can():
    pen = Pen()("cannot_tell", "a", reason="blurred")
    assert pen.fold().cannot_tell == {"Ea": "blurred"}
    assert pen("new", "a", reviewer="ben").fold().cannot_tell == {}


def test_names_change_in_any_order():
    pen = Pen()("rename", name="L1", to="Uma")("rename", name="Uma", to="Uma II", reviewer="ben")
    assert pen.fold().aliases == {"L1": "Uma II", "Uma": "Uma II"}
    assert Pen()("rename", name="L1", to="Uma")("rename", name="Uma", to="L1").fold().aliases == {}
    assert Pen()("merge", name="L1", to="L2")("merge", name="L2", to="L1").fold().aliases == {"L2": "L1"}
    assert Pen()("rename", "g", to="Uma").fold().aliases == {"L1": "Uma"}
    assert Pen()("rename", "a", to="Sita")("rename", name="Sita", to="Gita").fold().called == {"Ea": "Gita"}


@pytest.mark.parametrize(
    ("pen", "said"),
    [
        (
            Pen()("rename", name="L1", to="X")("rename", name="L1", to="Y", reviewer="ben"),
            "lines 1, 2: 'L1' becomes 'X'",
        ),
        (Pen()("rename", name="L1", to="L2"), "merge the two"),
        (Pen()("merge", name="L1", to="L22"), "Did you mean 'L"),
        (Pen()("rename", name="L12", to="X"), "no animal is called 'L12'. Did you mean 'L"),
        (Pen()("rename", name="L1", to="X")("rename", name="L2", to="X"), "two animals are called 'X'"),
        (
            Pen()("rename", name="L1", to="X")("rename", name="X", to="L1", reviewer="ben"),
            "another animal is called 'L1'",
        ),
        (Pen()("merge", name="L1", to="L2")("merge", name="L2", to="L1", reviewer="ben"), "in a circle"),
        (Pen()("rename", "a", to="X")("rename", "a", to="Y", reviewer="ben"), "is called 'X' and 'Y'"),
        (Pen()("different", "a", "a2"), "a decision cannot divide it"),
    ],
)
def test_what_does_not_fit_is_told(pen, said):
    assert said in why(pen.fold())
    assert pen.fold().aliases in ({}, {"L1": "X"})


def test_a_renamed_photo_is_found_by_its_hash_and_a_lost_one_told():
    entry = new_entry("same", "ana", crops=["old#0"], other_crops=["b#0"], hashes={"old#0": "A"})
    assert fold([entry], UNITS, IDENTITY, HASHES).links["unit"].tolist() == ["Ea"]
    entry = new_entry("same", "ana", crops=["old#0"], other_crops=["b#0"])
    assert "crop 'old#0' is gone. The decision does not count." in why(fold([entry], UNITS, IDENTITY, HASHES))
    entry = new_entry("same", "ana", crops=["a#0", "c#0"], other_crops=["b#0"], hashes={"a#0": "Z"})
    decisions = fold([entry], UNITS, IDENTITY, HASHES)
    assert "shows another photo" in why(decisions) and "The other crops count." in why(decisions)
    assert decisions.links["unit"].tolist() == ["Eb"]


def test_best_photo_and_notes_are_in_order_of_time():
    pen = Pen()("best", "a")("best", "a2", reviewer="ben")("note", "a", reason="lame")("note", name="L1", reason="male")
    assert pen.fold().best == {"Ea": "a2#0"}
    assert pen.fold().notes == [("Ea", "ana", "lame"), ("L1", "ana", "male")]


WORDS = st.sampled_from(["L1", "L2", "X", "Y"])
SIDES = st.lists(st.sampled_from([*sorted(UNITS), "gone#0"]), min_size=1, max_size=2, unique=True)


@st.composite
def journals(draw):
    written = []
    for number in range(draw(st.integers(1, 14))):
        verb = draw(st.sampled_from(sorted(NEEDS)))
        crops = draw(SIDES)
        others = [c for c in draw(SIDES) if c not in crops] or ["a#0" if "a#0" not in crops else "h#0"]
        if "h#0" in crops and others == ["h#0"]:
            others = ["b#0"]
        fields = {"name": draw(WORDS), "to": draw(WORDS), "undoes": str(draw(st.integers(0, 14))), "reason": "r"}
        if draw(st.booleans()):
            fields["crops"] = crops
        if "crops" in fields and draw(st.booleans()):
            fields["other_crops"] = others
        needs = next((need for need in NEEDS[verb] if set(need) <= set(fields)), NEEDS[verb][0])
        fields |= {key: value for key, value in (("crops", crops), ("other_crops", others)) if key in needs}
        time = f"2026-03-01T14:{draw(st.integers(0, 3)):02d}:00Z"
        written.append(
            new_entry(verb, draw(st.sampled_from(["ana", "ben", "cy"])), id=str(number), time=time, **fields)
        )
    return written


def state(lines):
    decisions = fold(parse_journal("".join(line + "\n" for line in lines).encode()).entries, UNITS, IDENTITY, HASHES)
    told = sorted((told.entries, told.why) for told in decisions.told)
    links = [tuple(map(str, row)) for row in decisions.links.itertuples(index=False)]
    return [links, told, *(value for key, value in vars(decisions).items() if key not in ("links", "told"))]


@settings(max_examples=100, deadline=None)
@given(journals(), st.randoms(use_true_random=False))
def test_any_interleaving_means_the_same(written, luck):
    queues = {}
    for entry in written:
        queues.setdefault(entry.reviewer, []).append(entry.text())
    mixed = []
    while queues:
        who = luck.choice(sorted(queues))
        mixed.append(queues[who].pop(0))
        if not queues[who]:
            del queues[who]
    assert state(mixed) == state([entry.text() for entry in written])


@settings(max_examples=60, deadline=None)
@given(journals())
def test_what_is_left_never_contradicts_itself(written):
    decisions = fold(written, UNITS, IDENTITY, HASHES)
    names = np.array(sorted(IDENTITY))
    known = sorted({decisions.aliases.get(name, name) for name in IDENTITY.values()} - {"unknown"})
    called = [decisions.aliases.get(IDENTITY[name], IDENTITY[name]) for name in names]
    animal = np.array([known.index(name) if name in known else -1 for name in called])
    rows = decisions.links
    ends = [np.searchsorted(names, rows[column].to_numpy(str)) for column in ("unit", "other")]
    labels = cluster(Graph(names, *ends, rows["log_odds"].to_numpy(), animal))
    place = {name: labels[i] for i, name in enumerate(names)}
    for row in decisions.links.itertuples():
        if row.kind != "decision":
            assert (place[row.unit] == place[row.other]) == (row.kind == "must")
    assert all(told.why and told.lines == () for told in decisions.told)
