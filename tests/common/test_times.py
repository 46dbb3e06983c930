import subprocess
import sys

import pytest

from pelage.common import memo, progress, times
from pelage.common.memo import Memo
from pelage.common.progress import track
from pelage.common.times import Cost, cost_of, cost_table, last_costs, note


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    monkeypatch.setattr(times, "DONE", progress.DONE.__class__())
    monkeypatch.setattr(progress, "DONE", times.DONE)
    monkeypatch.setattr(times, "LOOKED_UP", memo.LOOKED_UP.__class__())
    monkeypatch.setattr(memo, "LOOKED_UP", times.LOOKED_UP)
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path))
    return tmp_path


def test_what_was_done_and_what_the_memo_saved_are_counted(fresh):
    kept = Memo("looks", 1, {}, fresh / "memo")
    for number in track(range(5), "look", 5):
        key = kept.key(str(number % 3))
        if kept.get(key) is None:
            kept.put(key, b"seen")
    list(track("ab", "read"))
    cost = cost_of("clean")
    assert cost.done == {"look": 5, "read": 2} and cost.most == ("look", 5)
    assert (cost.recalled, cost.looked_up) == (2, 5)
    assert cost.row()["recalled"] == "2 of 5"
    assert " 5 look, " in cost.sentence() and "2 of 5 recalled" in cost.sentence()


def test_a_loop_that_is_left_early_counts_what_it_did(fresh):
    for number in track(range(10), "look"):
        if number == 3:
            break
    assert cost_of("clean").done == {"look": 3}


def test_a_stage_without_loops_or_memo_says_no_more_than_it_knows(fresh):
    sentence = Cost("split", 2.0, 3.0).sentence()
    assert sentence == "split: 2.0 s, 1.5 cores"
    assert Cost("split", 0.0, 0.0).sentence() == "split: 0.0 s"


def test_peak_memory_grows_with_an_array():
    script = "from pelage.common.times import peak_gib as p; a = p(); b = b'1' * 2**29; print(p() - a)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 0.4 < float(told.stdout) < 0.7


def test_the_last_run_of_a_stage_counts_and_the_longest_stands_first(fresh):
    for cost in (Cost("a", 1.0, 1.0), Cost("b", 3.0, 3.0), Cost("a", 5.0, 1.0)):
        note(cost)
    assert [(cost.stage, cost.seconds) for cost in last_costs()] == [("a", 5.0), ("b", 3.0)]
    assert cost_table().iloc[-1].tolist()[:2] == ["all together", "8.0"]
