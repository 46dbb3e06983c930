"""Backbone: a timm network without its classifier, and weights brought into it key by key.

Weights come from a safetensors file (never from a pickle). What does not fit is named together with the reason, and
a first convolution with more channels than the weights keeps the RGB filters. Its edge filters start at zero (at its
first step the network is the pretrained one, and learns what edges are worth) or as a copy of the red ones.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import get_model_traits, resolve_model_input_args
from torch import Tensor, nn

from pelage.common.errors import PelageError
from pelage.common.params import choose

HUB_ARCHITECTURES = {
    "hf-hub:BVRA/MegaDescriptor-T-224": "swin_tiny_patch4_window7_224",
    "hf-hub:BVRA/MegaDescriptor-S-224": "swin_small_patch4_window7_224",
    "hf-hub:BVRA/MegaDescriptor-B-224": "swin_base_patch4_window7_224",
    "hf-hub:BVRA/MegaDescriptor-L-224": "swin_large_patch4_window7_224",
    "hf-hub:BVRA/MegaDescriptor-L-384": "swin_large_patch4_window12_384",
}
"""timm's names of the MegaDescriptors (Cermak et al., WACV 2024), so that a local file of weights needs no network."""

EDGE_FILTERS = ("zeros", "red")
"""How the filters of the edge channel start: at zero, or as the red ones, as the leopard study has it (see README)."""

PREFIXES = ("module.", "model.", "backbone.", "trunk.", "network.", "encoder.", "student.", "teacher.", "_orig_mod.")
"""What wrappers put before the names of a network's tensors."""


@dataclass(frozen=True)
class LoadReport:
    """What became of a weights file.

    Attributes:
        loaded: Tensors taken, the widened ones among them.
        widened: Names of first convolutions that got filters for the edge channel.
        skipped: `(name, reason)` of each tensor of the file that was left out.
        missing: Tensors of the backbone that the file does not have and that keep their random start.
        prefix: What was taken off the names in the file, such as `module.model.`.
        renamed: Names that timm's filter gave to tensors of another layout.
        resized: Position tables that were resampled for the size of the images.
    """

    loaded: int
    widened: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    prefix: str = ""
    renamed: tuple[str, ...] = ()
    resized: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.loaded} tensors loaded"]
        lines += [f"prefix {self.prefix} taken off"] if self.prefix else []
        lines += [f"{name} widened for the edge channel" for name in self.widened]
        for names, what in ((self.renamed, "renamed from another layout"), (self.resized, "resampled for the size")):
            lines += [f"{_few(names)} {what}"] if names else []
        for reason in dict.fromkeys(reason for _, reason in self.skipped):
            lines.append(f"{_few([name for name, why in self.skipped if why == reason])} skipped ({reason})")
        lines += [f"{name} missing, starts from random numbers" for name in self.missing]
        return "; ".join(lines)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def create_backbone(
    name: str, channels: int, stride: int | str = "none", size: tuple[int, int] | None = None
) -> nn.Module:
    """Create a timm network without its classifier, with random weights from torch's generator.

    Args:
        name: timm's name, such as `tf_efficientnet_lite0`, with or without the tag of its weights
            (`vit_small_patch16_224.dino`), or `hf-hub:OWNER/NAME`. The architectures of the MegaDescriptors are known
            here; of another hub name timm reads the configuration from the hub or its cache.
        channels: 3 (RGB) or 4 (RGB and edges).
        stride: Pixels of the image that a place of the feature map stands for: coarser layers are cut off. `none`
            keeps them all.
        size: Width and height of the images in pixels; by default those of the network's own training.

    Returns:
        The network; `forward_features` gives what `features.Layout` describes.

    Raises:
        PelageError: timm has no such network, the hub cannot be reached, the network does not take this size, or it
            has no layer of that stride.
    """
    known = HUB_ARCHITECTURES.get(name, name)
    if ":" not in known and not timm.is_model(known):
        close = timm.list_models(f"*{known[:6]}*")[:5]
        raise PelageError(
            f"params.yaml: model.backbone is {name!r}, which timm {timm.__version__} does not have. "
            f"Choose one of its {len(timm.list_models())} names" + (f", such as {', '.join(close)}." if close else ".")
        )
    shown = "its own size" if size is None else f"{size[0]} x {size[1]} pixels"
    try:
        # timm knows which constructors want the size (img_size) and which networks take any
        wanted = {} if size is None else {"img_size": (size[1], size[0])}
        network = timm.create_model(**resolve_model_input_args(known, wanted, in_chans=channels), num_classes=0)
    except OSError as error:
        raise PelageError(
            f"params.yaml: model.backbone is {name!r}, but its config.json is neither in the cache of the Hugging Face "
            f"hub nor to be downloaded ({type(error).__name__}). Run once where there is a network, or name timm's "
            "architecture itself (such as swin_base_patch4_window7_224) and set model.weights to the safetensors file."
        ) from error
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise PelageError(
            f"params.yaml: timm cannot make the model.backbone {name!r} for {shown} and {channels} channels: {error}"
        ) from error
    if size is not None:
        _require_whole_patches(network, *size)
    if stride != "none":
        _cut(network, stride, name)
    _drop_head(network)
    return network


def own_size(network: nn.Module) -> tuple[int, int]:
    """Return width and height in pixels of the images that a timm network was made for."""
    _, height, width = network.pretrained_cfg["input_size"]
    return width, height


def _require_whole_patches(network: nn.Module, width: int, height: int) -> None:
    if not get_model_traits(network)["fixed_input_size"]:
        return
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    rows, columns = (patch, patch) if isinstance(patch, int) else patch
    for key, side, step in (("width", width, columns), ("height", height, rows)):
        if side % step:
            raise PelageError(
                f"params.yaml: model.{key} is {side}, but the patches of model.backbone are {step} pixels long and "
                f"would not see the rest. Set it to {side - side % step or step} or {side - side % step + step}."
            )


def _cut(network: nn.Module, stride: int | str, name: str) -> None:
    stages = list(getattr(network, "feature_info", []))
    strides = [stage["reduction"] for stage in stages]
    if stride not in strides or not hasattr(network, "prune_intermediate_layers"):
        raise PelageError(
            f"params.yaml: model.stride is {stride!r}, but the layers of {name} have the strides "
            f"{', '.join(map(str, dict.fromkeys(strides))) or 'none that timm could tell'}. Choose one of them, or "
            "none to keep the whole network."
        )
    last = len(strides) - 1 - strides[::-1].index(stride)
    shortened = last < len(strides) - 1
    network.prune_intermediate_layers([last], prune_norm=shortened, prune_head=True)
    if shortened and hasattr(network, "head"):  # sized for the layers that are gone
        network.head = nn.Identity()


def _drop_head(network: nn.Module) -> None:
    """Take away what only timm's own pooling uses, save the norm of pooled features (see `features.last_norm`)."""
    if getattr(network, "attn_pool", None) is not None:
        network.attn_pool = None
    norm = getattr(getattr(network, "head", None), "norm", None)
    if norm is not None:
        network.head = nn.ModuleDict({"norm": norm})
    elif hasattr(network, "head"):
        network.head = nn.Identity()


def weights_file(config: Mapping[str, Any]) -> Path | None:
    """Return the file of the weights that a training starts from: `model.weights` of the parameters.

    `none` is None, `pretrained` is `model.safetensors` of the backbone's own repository on the Hugging Face hub
    (downloaded into the hub's cache unless it is there), and anything else is the path of a safetensors file.

    Raises:
        PelageError: `pretrained`, but timm knows no weights of that name or the file cannot be had.
    """
    name, weights = config["backbone"], config["weights"]
    if weights != "pretrained":
        return None if weights == "none" else Path(weights)
    repository, _, revision = _repository(name).partition("@")
    if not repository:
        raise PelageError(
            f"params.yaml: model.weights is pretrained, but timm has no weights of {name!r} on the Hugging Face hub. "
            "Set it to a safetensors file or to none."
        )
    try:
        return Path(hf_hub_download(repository, "model.safetensors", revision=revision or None))
    except (OSError, ValueError) as error:
        place = f"data/weights/{repository.split('/')[-1]}.safetensors"
        raise PelageError(
            f"params.yaml: model.weights is pretrained, but model.safetensors of {repository} is neither in the cache "
            f"of the Hugging Face hub nor to be downloaded ({type(error).__name__}). Fetch it from "
            f"https://huggingface.co/{repository} where there is a network, put it at {place}, and set model.weights "
            f"to {place}. A repository that only has a pickle (pytorch_model.bin) has to be converted with "
            "safetensors.torch.save_file."
        ) from error


def _repository(name: str) -> str:
    """Return the hub's `OWNER/NAME[@REVISION]` of a backbone's weights, empty if there is none."""
    source, _, identifier = name.rpartition(":")
    if source:
        return identifier if source == "hf-hub" else ""
    known = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    return (known and known.hf_hub_id) or ""


def read_weights(path: Path, rename: Mapping[str, str] | None = None) -> dict[str, Tensor]:
    """Read a safetensors file.

    Args:
        path: The file.
        rename: Beginnings of names in the file, and what the backbone has instead. Of several that fit a name, the
            longest counts.

    Raises:
        PelageError: The file is missing or is something else (a pickle is refused because opening one can run any
            program), or `rename` names a beginning that no tensor has, or gives two tensors one name.
    """
    try:
        weights = load_file(path)
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
    return _renamed(weights, rename or {}, path)


def _renamed(weights: Mapping[str, Tensor], rename: Mapping[str, str], path: Path) -> dict[str, Tensor]:
    for old in rename:
        if not any(name.startswith(old) for name in weights):
            raise PelageError(
                f"params.yaml: model.rename has {old!r}, with which no tensor of {path} begins; "
                f"the first of its names are {_few(list(weights))}."
            )
    renamed: dict[str, Tensor] = {}
    for name, value in weights.items():
        old = max((start for start in rename if name.startswith(start)), key=len, default="")
        new = rename.get(old, "") + name.removeprefix(old)
        if new in renamed:
            raise PelageError(f"params.yaml: model.rename gives two tensors of {path} the name {new}, {name} is one.")
        renamed[new] = value
    return renamed


def load_weights(
    backbone: nn.Module, weights: Mapping[str, Tensor], source: str = "weights", edge_filters: str = "zeros"
) -> LoadReport:
    """Copy what fits of `weights` into `backbone`, name by name.

    Names may have a prefix (`PREFIXES`), as a training's own wrapper leaves it. Older and foreign layouts of an
    architecture (CLIP, DINO, DINOv2, Swin before timm 0.9), and position tables of another image size, are turned
    into the backbone's by timm's own filter for that architecture.

    Args:
        backbone: From `create_backbone`.
        weights: Tensors by name.
        source: File name for the error message.
        edge_filters: One of `EDGE_FILTERS`.

    Raises:
        PelageError: Other `edge_filters`, or fewer than half of the backbone's tensors are there:
            these are weights of another architecture.
    """
    target = backbone.state_dict()
    prefix = _prefix(weights, target)
    named = {name.removeprefix(prefix): value for name, value in weights.items()}
    converted = _converted(backbone, named, target)
    origins = {id(value): name for name, value in named.items()}
    made = {name: origins.get(id(value)) for name, value in converted.items() if name in target}
    resized = tuple(name for name, origin in made.items() if origin is None and name in named)
    renamed = tuple(name for name, origin in made.items() if origin != name and name not in resized)
    first = first_convolutions(backbone)
    taken: dict[str, Tensor] = {}
    widened, skipped = [], []
    for name, value in converted.items():
        if name not in target:
            skipped.append((name, "the backbone has no such tensor"))
        elif name in first and value.ndim == 4 and value.shape[1] == 3 and target[name].shape[1] > 3:
            taken[name] = widen(value, target[name].shape[1], edge_filters)
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
    return LoadReport(len(taken), tuple(widened), tuple(skipped), missing, prefix, renamed, resized)


def _prefix(weights: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> str:
    """Return the chain of `PREFIXES` without which most names of `weights` are names of `target`."""
    hits: Counter[str] = Counter({"": 0})
    for name in weights:
        chain = ""
        while True:
            hits[chain] += name.removeprefix(chain) in target
            following = next((p for p in PREFIXES if name.startswith(chain + p)), None)
            if following is None:
                break
            chain += following
    return max(hits, key=hits.__getitem__)  # the shortest of equals


def _converted(
    backbone: nn.Module, weights: Mapping[str, Tensor], target: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Return `weights` by the names and with the position tables of `backbone`, through timm's own filter."""
    known = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    if known is None:
        return weights
    # timm looks up the module of each table, and those that were cut off have none
    absent = {n: v for n, v in weights.items() if n.endswith("relative_position_bias_table") and n not in target}
    try:
        turned = known({name: value for name, value in weights.items() if name not in absent}, backbone)
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, ValueError):
        return weights  # of another architecture, as the names will show
    return {**turned, **absent}


def first_convolutions(backbone: nn.Module) -> tuple[str, ...]:
    """Return the names of the weights that see the image's channels, as timm tells them."""
    first = backbone.default_cfg.get("first_conv") or ()
    return tuple(f"{name}.weight" for name in ([first] if isinstance(first, str) else first))


def widen(weight: Tensor, channels: int, edge_filters: str = "zeros") -> Tensor:
    """Return filters `(O, channels, h, w)` of RGB filters `(O, 3, h, w)`: RGB as it is, others zero or as red.

    Raises:
        PelageError: Other `edge_filters` than `EDGE_FILTERS` has.
    """
    red = choose(edge_filters, EDGE_FILTERS, "model.edge_filters") == "red"
    more = weight[:, :1] if red else torch.zeros_like(weight[:, :1])
    return torch.cat([weight, more.expand(-1, channels - 3, -1, -1)], dim=1)
