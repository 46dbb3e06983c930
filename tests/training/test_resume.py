"""A training that is killed, at any moment and as often as one likes, ends with the same files."""

from pathlib import Path

import pandas as pd

OUTPUTS = ["data/models/tiny/1.safetensors", "plots/training/tiny.csv", "data/numbers/train/tiny.json"]


def kill_and_compare(tmp_path: Path, tiny_survey, run, moments: list[tuple[str, int]], **train) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    tiny_survey(whole, **train)
    tiny_survey(killed, **train)
    assert run(whole) == 0
    for moment, count in moments:
        assert run(killed, moment, count) == -9
        assert not any((killed / name).exists() for name in OUTPUTS)
    (checkpoint,) = killed.glob(".pelage/checkpoints/tiny/1/*/last.pt")
    finished = checkpoint.stat().st_mtime_ns
    assert run(killed) == 0
    if moments[-1][0] == "output":  # the outputs come from the checkpoint, nothing is learnt again
        assert checkpoint.stat().st_mtime_ns == finished
    assert not list(checkpoint.parent.glob(".*"))  # nor is anything left of the torn ones
    for name in OUTPUTS:
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert pd.read_csv(killed / OUTPUTS[1])["epoch"].tolist() == [1, 2, 3]


def test_killed_again_and_again_ends_with_the_same_bytes(tmp_path, tiny_survey, run):
    # an epoch has four steps: within the first, within the second, while the second's checkpoint is put in place,
    # within the last, and when all is learnt but nothing written
    moments = [("step", 3), ("step", 6), ("replace", 1), ("step", 6), ("output", 1)]
    kill_and_compare(tmp_path, tiny_survey, run, moments)


def test_moving_average_accumulation_plateau_and_momentum_go_on_too(tmp_path, tiny_survey, run):
    # two steps of two batches an epoch: ten times within an epoch, or while a file is written; the backbone thaws in
    # the third
    config = {"optimizer": "sgd", "lr": 0.02, "accumulate": 2, "schedule": "plateau", "plateau_patience": 0}
    config |= {"ema": 0.9, "layer_decay": 0.8, "clip_norm": 1.0, "freeze_backbone": 2, "precision": "fp16"}
    moments = [("step", count) for count in (1, 2, 3, 2, 1, 4, 1)] + [("replace", 1), ("step", 2), ("output", 1)]
    kill_and_compare(tmp_path, tiny_survey, run, moments, **config)
