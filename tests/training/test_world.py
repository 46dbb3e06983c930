"""Two processes end with what one alone would have learnt."""

import os
import subprocess
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from timm import create_model
from timm.layers import convert_sync_batchnorm
from torch.nn.functional import batch_norm
from torch.nn.parallel import DistributedDataParallel

from pelage.common.errors import PelageError
from pelage.model.embeddings import embed_images
from pelage.training import loop
from pelage.training.world import ALONE, World, _SharedBatchNorm, join

ROOT = Path(__file__).resolve().parents[2]
ALIKE = {"lr": 0.01, "optimizer": "sgd", "precision": "fp32"}
CONFIGS = {
    "plain": ALIKE,
    "rich": ALIKE | {"accumulate": 2, "ema": 0.9, "freeze_backbone": 1, "clip_norm": 1.0, "photos_per_identity": 3},
    "gpu_norms": ALIKE,
}

# Both processes train in one folder after another; in float64, where rounding does not grow to what one can see. In the
# last one they take the batch norms of a GPU, on this CPU: torch's own but for five kernels, written out here.
DRIVER = """
import os, runpy, sys
import torch
root, *folders = sys.argv[1:]
sys.path[:0] = [root + "/stages", root + "/src", root + "/tests/training"]
from test_world import norms_of_a_gpu, shares_validation
shares_validation()
torch.set_default_dtype(torch.float64)
for folder in folders:
    os.chdir(folder)
    sys.argv = ["train.py", "tiny"]
    with norms_of_a_gpu(folder.endswith("gpu_norms")):
        runpy.run_path(root + "/stages/train.py", run_name="__main__")
"""


def channels(values, like):
    return values.view([1, -1] + [1] * (like.ndim - 2))


def but_channels(like):
    return [axis for axis in range(like.ndim) if axis != 1]


def stats(features, eps):
    variance, mean = torch.var_mean(features, but_channels(features), correction=0)
    return mean, (variance + eps).rsqrt()


def gather_stats(features, means, inverse, running_mean, running_var, momentum, eps, counts):
    """Ioffe and Szegedy's statistics of several batches, by law of total variance."""
    share = (counts / counts.sum())[:, None]
    mean = (share * means).sum(0)
    variance = (share * (inverse**-2 - eps + means**2)).sum(0) - mean**2
    running_mean.lerp_(mean, momentum)
    running_var.lerp_(variance * counts.sum() / (counts.sum() - 1), momentum)
    return mean, (variance + eps).rsqrt()


def normalised(features, weight, bias, mean, inverse, eps):
    return (features - channels(mean, features)) * channels(inverse * weight, features) + channels(bias, features)


def backward_sums(gradient, features, mean, inverse, weight, *_):
    total = gradient.sum(but_channels(features))
    along = (gradient * (features - channels(mean, features))).sum(but_channels(features))
    return total, along, along * inverse, total


def backward(gradient, features, mean, inverse, weight, total, along, counts):
    own = channels(along * inverse**2, features) * (features - channels(mean, features))
    return (gradient - (channels(total, features) + own) / counts.sum()) * channels(inverse * weight, features)


def let_work_here(forward):
    def allowed(self, features):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(torch._C, "_get_privateuse1_backend_name", lambda: "cpu")
            return forward(self, features)

    return allowed


@contextmanager
def norms_of_a_gpu(wanted):
    with pytest.MonkeyPatch.context() as patched:
        if wanted:
            patched.setattr(World, "synchronised", lambda self, network: convert_sync_batchnorm(network))
            patched.setattr(torch.nn.SyncBatchNorm, "forward", let_work_here(torch.nn.SyncBatchNorm.forward))
            patched.setattr(DistributedDataParallel, "_passing_sync_batchnorm_handle", lambda *_: None)
            patched.setattr(_SharedBatchNorm, "_normalise", lambda *_, **__: pytest.fail("ours on a GPU"))
            patched.setattr(torch, "batch_norm_stats", stats)
            patched.setattr(torch, "batch_norm_gather_stats_with_counts", gather_stats)
            patched.setattr(torch, "batch_norm_elemt", normalised)
            patched.setattr(torch, "batch_norm_backward_reduce", backward_sums)
            patched.setattr(torch, "batch_norm_backward_elemt", backward)
        yield


def shares_validation():
    """Run by each of two processes: both have the points and the first one the scores that one alone has."""
    from test_loop import CPU, striped, variant

    own, world = variant(train={"ema": 0.9}), join(CPU, 2)[0]
    for batch in (5, 100):  # 3 and 5 batches; one, so that a process has nothing to embed
        alone, shared = (loop._Trainer(own, striped(), None, CPU, batch, world=one) for one in (ALONE, world))
        asked = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(loop, "embed_images", partial(noted, asked))
            places = shared.data.validation.gallery
            points = shared._embedded(places)
        assert np.array_equal(points, alone._embedded(places))
        assert len(asked[0]) == len(places[world.batches(len(places), batch)])
        assert shared._validate() == (alone._validate() if world.first else {})
        for one, other in ((alone, shared), (shared, alone)):  # either goes on where the other was
            one.learner.load_state_dict(other.learner.state_dict())
        assert alone.learner.state_dict()["model"].keys() == shared.learner.state_dict()["model"].keys()


def noted(asked, embedder, images, *rest):
    asked.append(images)
    return embed_images(embedder, images, *rest)


def test_torchrun_on_two_processes_gives_the_result_of_one(tmp_path, tiny_survey, run, warm):
    for name, config in CONFIGS.items():
        for count in ("one", "two"):
            tiny_survey(tmp_path / count / name, dropout=0.0, **config)
        assert run(tmp_path / "one" / name, "double") == 0
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = {key: value for key, value in os.environ.items() if key not in ("DVC_ROOT", "PELAGE_CACHE")}
    python = str(warm / "python")
    torchrun = [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python", python]
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

    def __init__(self, world_size, global_rank, others=(), device="cpu"):
        self.world_size, self.global_rank, self.others = world_size, global_rank, others
        self.device = torch.device(device)

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


@pytest.mark.parametrize("total", [1, 8, 9, 17])
def test_shares_of_validation_are_whole_batches_in_their_order(total):
    rows = np.arange(total)
    shares = [rows[World(Parts(3, rank)).batches(total, 4)] for rank in range(3)]
    assert np.concatenate(shares).tolist() == rows.tolist()
    assert all(share[0] % 4 == 0 for share in shares if len(share))
    counts = [-(-len(share) // 4) for share in shares]
    assert max(counts) - min(counts) <= 1


def test_batch_norms_on_a_gpu_are_those_of_torch_with_names_and_activations_as_they_were():
    torch.manual_seed(0)
    network, pixels = create_model("test_efficientnet", num_classes=0).eval(), torch.rand(2, 3, 32, 32)
    names, before = network.state_dict().keys(), network(pixels)
    assert World(Parts(2, 0)).synchronised(network) is network and not synchronised(network)
    there = World(Parts(2, 0, device="cuda")).synchronised(network)
    assert synchronised(there) and there.state_dict().keys() == names
    assert torch.equal(there(pixels), before)


def synchronised(network):
    return any(isinstance(module, torch.nn.SyncBatchNorm) for module in network.modules())


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
