"""Two processes end with what one alone would have learnt."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import batch_norm

from pelage.common.errors import PelageError
from pelage.training.world import ALONE, World, _SharedBatchNorm, join

ROOT = Path(__file__).resolve().parents[2]
ALIKE = {"lr": 0.01, "optimizer": "sgd", "precision": "fp32"}
CONFIGS = {
    "plain": ALIKE,
    "rich": ALIKE | {"accumulate": 2, "ema": 0.9, "freeze_backbone": 1, "clip_norm": 1.0, "photos_per_identity": 3},
}

# Both processes train in one folder after another; in float64, where rounding does not grow to what one can see.
DRIVER = """
import os, runpy, sys
import torch
torch.set_default_dtype(torch.float64)
root, *folders = sys.argv[1:]
sys.path[:0] = [root + "/stages", root + "/src"]
for folder in folders:
    os.chdir(folder)
    sys.argv = ["train.py", "tiny"]
    runpy.run_path(root + "/stages/train.py", run_name="__main__")
"""


def test_torchrun_on_two_processes_gives_the_result_of_one(tmp_path, tiny_survey, run):
    for name, config in CONFIGS.items():
        for count in ("one", "two"):
            tiny_survey(tmp_path / count / name, dropout=0.0, **config)
        assert run(tmp_path / "one" / name, "double") == 0
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = {key: value for key, value in os.environ.items() if key not in ("DVC_ROOT", "PELAGE_CACHE")}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "driver.py", str(ROOT), *(str(tmp_path / "two" / name) for name in CONFIGS)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("train tiny: ") == len(CONFIGS)  # the second process is silent
    for name in CONFIGS:
        one, two = tmp_path / "one" / name, tmp_path / "two" / name
        assert len(list(two.glob(".pelage/checkpoints/tiny/1/*/last.pt"))) == 1
        history = [pd.read_csv(folder / "plots/training/tiny.csv") for folder in (one, two)]
        pd.testing.assert_frame_equal(*history)
        first, second = (load_file(folder / "data/models/tiny/1.safetensors") for folder in (one, two))
        assert first.keys() == second.keys() and first["head.1.weight"].dtype == torch.float64
        for tensor in first:
            torch.testing.assert_close(second[tensor], first[tensor], rtol=1e-7, atol=1e-9)


class Parts:
    """Stands for Fabric in a process whose share is as large as the others', which are told."""

    def __init__(self, world_size, global_rank, others=()):
        self.world_size, self.global_rank, self.others = world_size, global_rank, others

    def all_gather(self, value, sync_grads):
        assert sync_grads
        return torch.stack([value, *self.others])


def test_shared_batch_norm_is_batch_norm_of_the_whole_batch():
    torch.manual_seed(0)
    whole = 5 + torch.randn(7, 3, 4, 2)
    own, other = whole[:4].requires_grad_(), whole[4:]
    told = torch.stack([*torch.var_mean(other, (0, 2, 3), correction=0), torch.full((3,), 3 * 8.0)])
    weight, bias = torch.rand(3), torch.rand(3)
    ours, theirs = [torch.zeros(3), torch.ones(3)], [torch.zeros(3), torch.ones(3)]
    with _SharedBatchNorm(Parts(2, 0, [told])):
        shown = batch_norm(own, *ours, weight, bias, True, 0.1, 1e-5)
        still = batch_norm(own, *ours, weight, bias, False, 0.1, 1e-5)
    expected = batch_norm(whole, *theirs, weight, bias, True, 0.1, 1e-5)
    torch.testing.assert_close(shown, expected[:4], rtol=1e-4, atol=1e-5)
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right)
    torch.testing.assert_close(still, batch_norm(own, *theirs, weight, bias, False, 0.1, 1e-5))


@pytest.mark.parametrize("total", [3, 7, 8])
def test_shares_are_a_batch_in_its_order(total):
    chosen = np.arange(total)
    shares = [World(Parts(3, rank)).share(chosen) for rank in range(3)]
    assert np.concatenate([chosen[share] for share in shares]).tolist() == chosen.tolist()
    sizes = [len(chosen[share]) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert ALONE.share(chosen) == slice(0, total)


def test_what_cannot_be_shared_is_told(monkeypatch):
    with pytest.raises(PelageError, match=r"2 photos for 3 processes. Lower train.processes"):
        World(Parts(3, 0)).share(np.arange(2))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    with pytest.raises(PelageError, match=r"train.processes is 4, but torch sees 1 CUDA"):
        join(torch.device("cuda"), 4)


def test_one_process_needs_no_other(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    world, device = join(torch.device("cpu"), 1)
    assert (world.size, world.first, device.type) == (1, True, "cpu") and world.agree({"a": 1}) == {"a": 1}
