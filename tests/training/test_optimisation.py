import copy

import pytest
import timm
import torch
from torch import nn

from pelage.common.errors import PelageError
from pelage.training.optimisation import Optimisation, autocast_dtype, parameter_groups

CPU = torch.device("cpu")
CONFIG = {
    "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "backbone_lr_ratio": 1.0, "layer_decay": 1.0, "weight_decay": 0.02,
    "schedule": "cosine", "warmup": 0.0, "plateau_factor": 0.5, "plateau_patience": 0, "clip_norm": 0,
    "precision": "fp32",
}  # fmt: skip


def network(name):
    backbone = timm.create_model(name, num_classes=0, global_pool="")
    return backbone, nn.ModuleDict({"backbone": backbone, "head": nn.Linear(backbone.num_features, 4)})


def rates(backbone, parts, **config):
    """Return name -> (ratio, decay) of every parameter, each of which is in one group."""
    groups = parameter_groups(backbone, parts, {**CONFIG, **config})
    found = {id(p): (group["ratio"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found) == len(list(parts.parameters()))
    return {name: found[id(parameter)] for name, parameter in parts.named_parameters()}


def test_backbone_and_head_have_rates_of_their_own_and_only_matrices_decay():
    backbone, parts = network("test_efficientnet")
    for name, (ratio, decay) in rates(backbone, parts, backbone_lr_ratio=0.1).items():
        assert ratio == (0.1 if name.startswith("backbone") else 1.0)
        assert decay == (0.02 if parts.get_parameter(name).ndim > 1 else 0.0)
    assert len(parameter_groups(backbone, parts, {**CONFIG, "backbone_lr_ratio": 0.1})) == 4


@pytest.mark.parametrize(
    ("name", "depths"),
    [
        # patches and positions, six blocks, of which the last goes with the final norm
        ("test_vit", {"patch_embed.proj.weight": 6, "blocks.0.attn.qkv.weight": 5, "blocks.5.mlp.fc1.weight": 0,
                      "norm.weight": 0}),
        # stem, eight blocks
        ("resnet18", {"conv1.weight": 8, "layer1.0.conv1.weight": 7, "layer1.1.conv1.weight": 6,
                      "layer4.1.conv2.weight": 0}),
    ],
)  # fmt: skip
def test_rates_fall_by_depth_from_the_head_down(name, depths):
    backbone, parts = network(name)
    told = rates(backbone, parts, layer_decay=0.8, backbone_lr_ratio=0.1)
    for parameter, depth in depths.items():
        assert told[f"backbone.{parameter}"][0] == pytest.approx(0.1 * 0.8**depth)
    assert told["head.weight"][0] == told["head.bias"][0] == 1.0  # ten times the rate of the last layers


def test_position_embeddings_do_not_decay():
    backbone, parts = network("test_vit")
    told = rates(backbone, parts)
    assert told["backbone.pos_embed"] == (1.0, 0.0) and told["backbone.blocks.0.attn.qkv.weight"] == (1.0, 0.02)


def test_what_never_learns_is_in_no_group():
    backbone, parts = network("test_resnet")
    backbone.conv1[0].weight.requires_grad_(False)
    groups = parameter_groups(backbone, parts, CONFIG)
    assert not any(parameter is backbone.conv1[0].weight for group in groups for parameter in group["params"])


def step(parts, gradients, **config):
    """Take a step along each of `gradients`, the gradient of every parameter."""
    optimisation = Optimisation(parts["backbone"], parts, {**CONFIG, **config}, len(gradients), CPU)
    for number, gradient in enumerate(gradients):
        optimisation.add(sum(gradient * parameter.sum() for parameter in parts.parameters()), 1.0)
        optimisation.step(number)
    return optimisation


def tiny():
    torch.manual_seed(0)
    return nn.ModuleDict({"backbone": nn.Linear(3, 2, bias=False), "head": nn.Linear(2, 1, bias=False)})


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.02)),
        ("adam", lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.02)),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.02)),
    ],
)
def test_steps_are_those_of_torch(name, theirs):
    ours, reference = tiny(), tiny()
    gradients = [0.5, -2.0, 1.0]
    step(ours, gradients, optimizer=name, schedule="plateau")
    optimizer = theirs(reference.parameters())
    for gradient in gradients:
        optimizer.zero_grad()
        sum(gradient * parameter.sum() for parameter in reference.parameters()).backward()
        optimizer.step()
    for left, right in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(left, right)


def test_a_long_gradient_is_cut_and_a_short_one_is_left_alone():
    """Eight weights with gradient 3 each: length sqrt(72), cut to 1; SGD moves by rate times gradient."""
    for gradient, clip_norm, moved in ((3.0, 1.0, 0.1 / 8**0.5), (3.0, 0, 0.3), (0.01, 1.0, 0.001)):
        parts = tiny()
        before = copy.deepcopy(parts.state_dict())
        step(parts, [gradient], weight_decay=0.0, clip_norm=clip_norm)
        for name, value in parts.state_dict().items():
            torch.testing.assert_close(before[name] - value, torch.full_like(value, moved), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clip_norm", [0, 1.0])
def test_fp16_leaves_the_weights_alone_when_a_gradient_overflows_and_scales_less(clip_norm):
    parts = tiny()
    before = copy.deepcopy(parts.state_dict())
    optimisation = step(parts, [float("inf")], precision="fp16", clip_norm=clip_norm)
    assert all(torch.equal(before[name], value) for name, value in parts.state_dict().items())
    assert optimisation.scaler.get_scale() == 2.0**15
    again = step(tiny(), [0.5], precision="fp16", clip_norm=clip_norm)
    again.load_state_dict(optimisation.state_dict())
    assert again.scaler.get_scale() == 2.0**15


def test_fp16_moves_as_far_as_fp32():
    single, half = tiny(), tiny()
    step(single, [0.5, 0.25])
    step(half, [0.5, 0.25], precision="fp16")
    for left, right in zip(single.parameters(), half.parameters(), strict=True):
        torch.testing.assert_close(left, right)


def test_precision_follows_the_device_unless_told():
    cuda = torch.device("cuda")
    assert autocast_dtype("auto", CPU) is None and autocast_dtype("auto", cuda) == torch.bfloat16
    assert autocast_dtype("fp32", cuda) is None
    assert autocast_dtype("bf16", CPU) == torch.bfloat16 and autocast_dtype("fp16", cuda) == torch.float16


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"optimizer": "lion"}, "train.optimizer is 'lion'; it must be one of adam, adamw, sgd"),
        ({"precision": "fp8"}, "train.precision is 'fp8'; it must be one of auto, bf16, fp16, fp32"),
        ({"schedule": "none"}, "train.schedule is 'none'"),
    ],
)
def test_unknown_names_are_told_with_what_is_allowed(config, message):
    with pytest.raises(PelageError, match=message):
        step(tiny(), [1.0], **config)
