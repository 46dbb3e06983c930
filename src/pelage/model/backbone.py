"""Backbone: a timm network without its classifier, and weights brought into it key by key.

Weights come from a safetensors file (never from a pickle). What does not fit is named together with the reason, and
a first convolution with more channels than the weights keeps the RGB filters and starts the edge filters at zero: at
its first step the network is the pretrained one, and learns what edges are worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pelage.common.errors import PelageError


@dataclass(frozen=True)
class LoadReport:
    """What became of a weights file.

    Attributes:
        loaded: Tensors taken, the widened ones among them.
        widened: Names of first convolutions that got filters for the edge channel.
        skipped: `(name, reason)` of each tensor of the file that was left out.
        missing: Tensors of the backbone that the file does not have and that keep their random start.
    """

    loaded: int
    widened: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.loaded} tensors loaded"]
        lines += [f"{name} widened for the edge channel" for name in self.widened]
        for reason in dict.fromkeys(reason for _, reason in self.skipped):
            names = [name for name, why in self.skipped if why == reason]
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            lines.append(f"{', '.join(names[:3])}{more} skipped ({reason})")
        lines += [f"{name} missing, starts from random numbers" for name in self.missing]
        return "; ".join(lines)


def create_backbone(name: str, channels: int, stride: int | str = "none") -> nn.Module:
    """Create a timm network that gives feature maps, with random weights from torch's generator.

    Args:
        name: timm's name, such as `tf_efficientnet_lite0`.
        channels: 3 (RGB) or 4 (RGB and edges).
        stride: Pixels of the image that a place of the feature map stands for: coarser layers are cut off. `none`
            keeps them all.

    Returns:
        The network; `num_features` is the number of its maps.

    Raises:
        PelageError: timm has no such network, or it has no layer of that stride.
    """
    if name not in timm.list_models():
        close = timm.list_models(f"*{name[:6]}*")[:5]
        raise PelageError(
            f"params.yaml: model.backbone is {name!r}, which timm {timm.__version__} does not have. "
            f"Choose one of its {len(timm.list_models())} names" + (f", such as {', '.join(close)}." if close else ".")
        )
    network = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", in_chans=channels)
    return network if stride == "none" else _cut(network, stride, name)


def _cut(network: nn.Module, stride: int | str, name: str) -> nn.Module:
    stages = list(getattr(network, "feature_info", []))
    strides = [stage["reduction"] for stage in stages]
    if stride not in strides or not hasattr(network, "prune_intermediate_layers"):
        raise PelageError(
            f"params.yaml: model.stride is {stride!r}, but the layers of {name} have the strides "
            f"{', '.join(map(str, dict.fromkeys(strides))) or 'none that timm could tell'}. Choose one of them, or "
            "none to keep the whole network."
        )
    last = len(strides) - 1 - strides[::-1].index(stride)
    network.prune_intermediate_layers([last], prune_norm=False, prune_head=True)
    network.num_features = stages[last]["num_chs"]
    return network


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        PelageError: It is missing or is something else; a pickle is refused because opening one can run any program.
    """
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise PelageError(
            f"The weights {path} are missing. Run `dvc repro weights`, or set model.weights in params.yaml to a "
            "safetensors file or to none."
        ) from error
    except SafetensorError as error:
        raise PelageError(
            f"{path} is not a safetensors file ({error}). Pickled weights (.pth, .pt, .bin) are refused because "
            "opening one can run any program: convert them with safetensors.torch.save_file."
        ) from error


def load_weights(backbone: nn.Module, weights: Mapping[str, Tensor], source: str = "weights") -> LoadReport:
    """Copy what fits of `weights` into `backbone`, name by name.

    Args:
        backbone: From `create_backbone`.
        weights: Tensors by timm's names.
        source: File name for the error message.

    Raises:
        PelageError: Fewer than half of the backbone's tensors are there: these are weights of another architecture.
    """
    target = backbone.state_dict()
    first = first_convolutions(backbone)
    taken: dict[str, Tensor] = {}
    widened, skipped = [], []
    for name, value in weights.items():
        if name not in target:
            skipped.append((name, "the backbone has no such tensor"))
        elif name in first and value.ndim == 4 and value.shape[1] == 3 and target[name].shape[1] > 3:
            taken[name] = widen(value, target[name].shape[1])
            widened.append(name)
        elif value.shape != target[name].shape:
            skipped.append((name, f"shape {tuple(value.shape)}, the backbone wants {tuple(target[name].shape)}"))
        else:
            taken[name] = value
    wanted = [name for name in target if not name.endswith("num_batches_tracked")]
    missing = tuple(name for name in wanted if name not in taken)
    if 2 * len(missing) > len(wanted):
        raise PelageError(
            f"{source} are weights of another architecture: {len(missing)} of the backbone's {len(wanted)} tensors "
            f"are not in it, such as {missing[0]}. Set model.weights in params.yaml to the file of model.backbone, "
            "or to none."
        )
    backbone.load_state_dict(taken, strict=False)
    return LoadReport(len(taken), tuple(widened), tuple(skipped), missing)


def first_convolutions(backbone: nn.Module) -> tuple[str, ...]:
    """Return the names of the weights that see the image's channels, as timm tells them."""
    first = backbone.default_cfg.get("first_conv") or ()
    return tuple(f"{name}.weight" for name in ([first] if isinstance(first, str) else first))


def widen(weight: Tensor, channels: int) -> Tensor:
    """Return filters `(O, channels, h, w)` of RGB filters `(O, 3, h, w)`: RGB as it is, others zero."""
    return torch.cat([weight, weight.new_zeros(len(weight), channels - 3, *weight.shape[2:])], dim=1)
