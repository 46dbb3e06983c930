"""The page over its own HTTP: what it shows, what decisions do, and what harms nothing."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import uuid
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from survey_run import make_run, read_lines

from pelage.animals.journal import append, new_entry, read_journal
from pelage.animals.naming import hear_people
from pelage.animals.rehearsal import survey_metrics
from pelage.review.app import build_app
from pelage.review.desk import Desk
from pelage.review.pictures import Pictures
from pelage.review.run import Run

PORT, TOKEN = 8437, "a-token"
HERE = f"http://127.0.0.1:{PORT}"
JSON = {"Content-Type": "application/json", "Origin": HERE}


class Reader:
    """A browser without a screen."""

    def __init__(self, folder, run, read_only=False):
        self.run = run
        self.desk = Desk(self.run, folder / "review/journal.jsonl")
        pictures = Pictures(folder / "data", self.run.part, self.run.hashes)
        self.client = TestClient(build_app(self.desk, pictures, PORT, TOKEN, read_only), base_url=HERE)
        self.client.get(f"/?token={TOKEN}")

    def decide(self, verb, reviewer="Ana", **fields):
        said = {"id": str(uuid.uuid4()), "time": "2026-03-01T10:00:00Z", "reviewer": reviewer, "verb": verb, **fields}
        return self.client.post("/decide", content=json.dumps(said), headers=JSON)

    def answer(self, question, verb):
        sides = ([photo.crop for photo in self.run.of_unit[question[end]]] for end in ("unit", "other"))
        return self.decide(verb, **dict(zip(("crops", "other_crops"), sides, strict=True)))

    def state(self):
        return self.client.get("/state").json()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a run's folder, the true animal of each crop, and the run."""
    folder = tmp_path_factory.mktemp("run")
    truth = make_run(folder, known=8, new=3, visits=3, practised=8, alike=2.0, missed=0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, truth, Run.read(Path("data"))


@pytest.fixture
def run(made):
    return made[2]


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_page_says_when_it_is_enough(folder, run):
    reader = Reader(folder, run)
    assert not reader.state()["progress"]["enough"] and "It is enough" not in reader.client.get("/").text
    for _ in range(100):
        reader.desk.state.inquiry.rest.note(changed=False)
    append(new_entry(reviewer="Ben", verb="note", crops=[next(iter(run.photos))], reason="seen"), reader.desk.path)
    reader.desk.refresh()
    assert reader.state()["progress"]["enough"] and "It is enough" in reader.client.get("/").text


def test_every_page_answers_and_loads_nothing_from_elsewhere(folder, run):
    reader = Reader(folder, run)
    state = reader.state()
    name = next(iter(state["members"]))
    unit = state["questions"][0]["unit"]
    for address in ("/", "/individuals", f"/individual?name={name}", f"/pair?unit={unit}", "/suspects", "/history"):
        answer = reader.client.get(address)
        assert answer.status_code == 200, address
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)
    crop = next(iter(reader.run.hashes))
    picture = reader.client.get("/picture", params={"crop": crop, "size": "small"})
    assert picture.status_code == 200 and picture.headers["content-type"] == "image/jpeg"
    for crop in ("../../params.yaml", "/etc/passwd", "photo 9999#0"):
        assert reader.client.get("/picture", params={"crop": crop}).status_code == 404
    assert reader.client.get("/static/../app.py").status_code == 404


def test_an_answer_changes_the_clusters_at_once_and_as_the_pipeline_does(folder, run):
    reader = Reader(folder, run)
    for _ in range(6):
        before = reader.state()
        if not before["questions"]:
            break
        question = before["questions"][0]
        assert reader.answer(question, "different" if question["together"] else "same").status_code == 200
        after = reader.state()
        assert after["progress"]["decisions"] == before["progress"]["decisions"] + 1
        pairs = [{one["unit"], one["other"]} for one in after["questions"]]
        assert {question["unit"], question["other"]} not in pairs, "what was answered is not asked again"
    anew = Reader(folder, run).state()
    clusters = [sorted(map(sorted, state["members"].values())) for state in (reader.state(), anew)]
    assert clusters[0] == clusters[1], "a restart shows the same"
    named = run.name(hear_people(read_journal(reader.desk.path), run.units, run.clean))
    assert as_sets(reader.desk.state) == as_sets_of(named)
    assert reader.state()["progress"]["individuals"] == survey_metrics(named)["individuals"]


def as_sets(state):
    return {frozenset(units) for units in state.members.values()}


def as_sets_of(named):
    label = dict(zip(named.graph.names, named.best, strict=True))
    members = {}
    for unit, node in named.nodes.member.items():
        members.setdefault(label[node], set()).add(unit)
    return {frozenset(units) for units in members.values()}


@pytest.mark.parametrize("seed", range(4))
def test_the_page_and_the_pipeline_find_the_same_animals_whatever_is_answered(tmp_path, monkeypatch, seed):
    make_run(tmp_path, seed=seed, pictures=False, known=10, new=4, visits=4, practised=8, missed=0.3)
    monkeypatch.chdir(tmp_path)
    run, rng = Run.read(Path("data")), np.random.default_rng(seed)
    desk = Desk(run, tmp_path / "review/journal.jsonl")
    shown = [unit for unit in run.units.table["unit"] if unit in run.of_unit]
    for number in range(30):
        state = desk.look()
        asked = state.questions()
        pair = (asked[0].unit, asked[0].other) if asked and number % 3 else rng.choice(shown, 2, replace=False)
        sides = ([photo.crop for photo in run.of_unit[unit]] for unit in pair)
        verb = str(rng.choice(["same", "different", "cannot_tell"]))
        fields = dict(zip(("crops", "other_crops"), sides, strict=True))
        desk.decide({"id": f"{number}", "reviewer": str(rng.choice(["Ana", "Ben"])), "verb": verb, **fields})
    state = desk.settle()
    named = run.name(hear_people(read_journal(desk.path), run.units, run.clean))
    assert as_sets(state) == as_sets_of(named)
    assert state.individuals == survey_metrics(named)["individuals"]


def test_what_photos_deny_is_asked_of_others_first(folder, run):
    reader = Reader(folder, run)
    state = reader.desk.state
    pair = next(
        (a, b)
        for a, b in itertools.combinations(sorted(run.of_unit), 2)
        if state.name_of[a] != state.name_of[b]
        and {a, b} & run.named
        and {a, b} - run.named
        and state.question(a, b).probability == 0.5
    )
    reader.answer({"unit": pair[0], "other": pair[1]}, "same")
    state = reader.desk.settle()
    assert state.name_of[pair[0]] != state.name_of[pair[1]], "photos weigh more than one voice"
    first = state.questions("Ben")[0]
    assert first.disputed and {first.unit, first.other} == set(pair)
    assert "people said otherwise" in reader.client.get("/?reviewer=Ben").text
    assert not any(one.disputed for one in state.questions("Ana") + state.questions())


def test_undoing_all_restores_the_first_state(folder, run):
    reader = Reader(folder, run)
    first = reader.state()
    for _ in range(5):
        question = reader.state()["questions"][0]
        reader.answer(question, "different" if question["together"] else "same")
    for _ in range(5):
        assert reader.decide("undo", undoes="last").status_code == 200
    last = reader.state()
    assert (last["members"], last["questions"]) == (first["members"], first["questions"])
    assert len(read_lines(folder)) == 10, "nothing is ever taken out"
    assert reader.decide("undo", undoes="last").status_code == 409


def test_a_decision_that_is_sent_again_counts_once(folder, run):
    reader = Reader(folder, run)
    question = reader.state()["questions"][0]
    said = {"id": "the-same", "crops": [question["query"]], "other_crops": [question["candidate"]]}
    for again in range(3):
        reader = Reader(folder, run) if again == 2 else reader  # and after a restart
        assert reader.decide("same", **said).status_code == 200
    assert len(read_lines(folder)) == 1


def test_merge_rename_and_split(folder, run):
    reader = Reader(folder, run)
    one, other = sorted(name for name in reader.state()["members"] if name.startswith("L"))[:2]
    assert reader.decide("merge", name=one, to=other).status_code == 200
    merged = reader.state()["members"]
    assert one not in merged and other in merged
    assert reader.decide("undo", undoes="last").status_code == 200
    assert reader.decide("rename", name=one, to="Old Scar").status_code == 200
    assert "Old Scar" in reader.state()["members"]
    new = next(name for name in reader.state()["members"] if name.startswith("new-"))
    crops = [photo.crop for photo in reader.run.of_unit[reader.state()["members"][new][0]]]
    assert reader.decide("rename", crops=crops, name=new, to="Stranger").status_code == 200
    assert "Stranger" in reader.state()["members"]
    assert reader.decide("is", crops=crops, name=other).status_code == 200
    assert reader.decide("pin", crops=crops).status_code == 200
    assert reader.run.photos[crops[0]].unit in reader.state()["members"][other]


def test_names_are_text_wherever_they_come_from(folder, run):
    reader = Reader(folder, run)
    name = '<img src=x onerror="alert(1)">'
    first = next(name for name in reader.state()["members"] if name.startswith("L"))
    assert reader.decide("rename", name=first, to=name, reviewer="<b>Eve</b>").status_code == 200
    assert name in reader.state()["members"]
    for address in ("/", "/individuals", "/history"):
        assert "<img src=x" not in reader.client.get(address).text
    page = reader.client.get("/individual", params={"name": name})
    assert page.status_code == 200 and "<img src=x" not in page.text


def test_what_others_write_to_the_journal_is_taken_in(folder, run):
    reader = Reader(folder, run)
    question = reader.state()["questions"][0]
    crops = {"crops": [question["query"]], "other_crops": [question["candidate"]]}
    append(new_entry("different" if question["together"] else "same", "Ben", **crops), folder / "review/journal.jsonl")
    assert reader.state()["progress"]["decisions"] == 1


@pytest.mark.parametrize(
    "said",
    [
        {"verb": "sme"},
        {"verb": "same", "crops": ["nobody#0"], "other_crops": ["photo 0000#0"]},
        {"verb": "same", "crops": "photo 0000#0"},
        {"verb": "is", "crops": ["photo 0000#0"]},
        {"verb": "merge", "name": "L00", "to": "Nobody"},
        {"verb": "same", "crops": [{"a": 1}], "other_crops": [3]},
    ],
)
def test_what_is_no_decision_is_told_and_not_written(folder, run, said):
    reader = Reader(folder, run)
    answer = reader.decide(**said)
    assert answer.status_code == 409 and answer.json()["error"]
    assert not read_lines(folder)


def test_a_full_disk_is_said_and_nothing_counts(folder, run, monkeypatch):
    reader = Reader(folder, run)
    question = reader.state()["questions"][0]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pelage.animals.journal.os.write", full)
    answer = reader.answer(question, "same")
    assert answer.status_code == 409 and "No space left" in answer.json()["error"]
    monkeypatch.undo()
    assert not read_lines(folder) and reader.state()["progress"]["decisions"] == 0


def test_an_oracle_ends(folder, run, made):
    truth = made[1]
    reader = Reader(folder, run)
    answers = 0
    while asked := reader.state()["questions"]:
        same = truth[asked[0]["query"]] == truth[asked[0]["candidate"]]
        reader.answer(asked[0], "same" if same else "different")
        answers += 1
        assert answers < 100, "there is an end"
