import os
import threading

import pytest
import torch

from pelage.common.files import write_bytes
from pelage.training import checkpoint as module
from pelage.training.checkpoint import Checkpoint, fingerprint, joint_digest


def test_keeps_tensors_numbers_and_texts(tmp_path):
    state = {"epoch": 3, "rows": [{"loss": 0.5, "map": None}], "model": {"w": torch.arange(3.0)}, "name": "x"}
    with Checkpoint(tmp_path / "a") as checkpoint:
        assert checkpoint.load() is None
        checkpoint.save(state)
        again = checkpoint.load()
    torch.testing.assert_close(again.pop("model")["w"], state["model"]["w"])
    assert again == {key: value for key, value in state.items() if key != "model"}


def test_an_unreadable_one_starts_afresh_and_says_so(tmp_path, capsys):
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.save({"epoch": 1, "model": {"w": torch.ones(1000)}})
        checkpoint.load()
        whole = (tmp_path / "last.pt").read_bytes()
        for torn in (b"", whole[: len(whole) // 2]):
            (tmp_path / "last.pt").write_bytes(torn)
            assert checkpoint.load() is None
            assert "starts afresh" in capsys.readouterr().out


def test_one_of_other_parameters_is_not_taken_up_and_that_is_said(tmp_path, capsys):
    with Checkpoint(tmp_path / "v" / "before") as checkpoint:
        checkpoint.save({"epoch": 1})
    with Checkpoint(tmp_path / "v" / "after") as checkpoint:
        assert checkpoint.load() is None
        assert "are of other parameters, data or code: the training starts afresh" in capsys.readouterr().out
        (tmp_path / "v" / "before" / "last.pt").rename(tmp_path / "v" / "after" / "last.pt")
        assert checkpoint.load() is None
        assert "last.pt is of other parameters, data or code" in capsys.readouterr().out
    with Checkpoint(tmp_path / "w" / "first") as checkpoint:
        assert checkpoint.load() is None
        assert capsys.readouterr().out == ""


def test_what_is_saved_is_the_state_of_that_moment_and_the_latest_one_stays(tmp_path, monkeypatch):
    first, going = threading.Event(), threading.Event()
    written = []

    def slowly(path, data):
        first.set()
        assert going.wait(10)
        written.append(data)
        write_bytes(path, data)

    monkeypatch.setattr(module, "write_bytes", slowly)
    weights = torch.zeros(3)
    with Checkpoint(tmp_path / "a") as checkpoint:
        checkpoint.save({"epoch": 0, "w": weights})
        assert first.wait(10)
        for epoch in (1, 2, 3):
            weights += 1
            checkpoint.save({"epoch": epoch, "w": weights})
        weights += 1
        going.set()
        state = checkpoint.load()
    assert state["epoch"] == 3 and state["w"].tolist() == [3, 3, 3]
    assert len(written) == 2, "epochs that ended while the first one was written are left out"


def test_a_state_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"), Checkpoint(tmp_path) as checkpoint:
        checkpoint.save({"epoch": 1})


def test_old_trainings_are_forgotten_but_not_those_that_are_held(tmp_path):
    for number in range(12):
        with Checkpoint(tmp_path / f"{number:02}") as checkpoint:
            checkpoint.save({"epoch": number})
        os.utime(tmp_path / f"{number:02}" / "last.pt", (number, number))
    (tmp_path / "notes.txt").write_text("mine")
    kept = {f"{number:02}" for number in range(12 - module.KEPT, 12)}
    with Checkpoint(tmp_path / "04"):
        with Checkpoint(tmp_path / "new") as checkpoint:
            checkpoint.save({"epoch": 0})
        left = {path.name for path in tmp_path.iterdir()}
    assert left == (kept - {"04"}) | {"04", "new", "notes.txt"}


def test_pickled_programs_are_not_run(tmp_path, capsys):
    class Program:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"fingerprint": tmp_path.name, "state": {"epoch": Program()}}, tmp_path / "last.pt")
    with Checkpoint(tmp_path) as checkpoint:
        assert checkpoint.load() is None
    assert not (tmp_path / "ran").exists()


def test_two_processes_never_train_the_same(tmp_path, capsys):
    order = []

    def second():
        with Checkpoint(tmp_path):
            order.append("second")

    with Checkpoint(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert "waiting for another process" in capsys.readouterr().out


def test_the_fingerprint_follows_config_data_and_code(tmp_path, monkeypatch):
    base = fingerprint({"a": 1, "b": [2]}, "data")
    assert len(base) == 16 and fingerprint({"b": [2], "a": 1}, "data") == base
    assert fingerprint({"a": 1, "b": [3]}, "data") != base and fingerprint({"a": 1, "b": [2]}, "other") != base
    package = tmp_path / "pelage"
    (package / "losses").mkdir(parents=True)
    (package / "losses" / "x.py").write_text("margin = 1\n")
    monkeypatch.setattr(module.pelage, "__file__", str(package / "__init__.py"))
    before = fingerprint()
    (package / "losses" / "x.py").write_text("margin = 2\n")
    assert fingerprint() != before
    monkeypatch.setattr(module, "version", lambda name: "0")
    assert fingerprint() != before


def test_joint_digest_follows_the_order():
    assert joint_digest(["a", "b"]) != joint_digest(["b", "a"]) and joint_digest([]) == joint_digest(iter([]))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_lock_is_given_back_whatever_happens(tmp_path, error):
    with pytest.raises(error), Checkpoint(tmp_path):
        raise error
    with Checkpoint(tmp_path):
        pass
