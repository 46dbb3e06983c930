"""Features: what a backbone gives for an image, and how it becomes maps `(N, D, h, w)` or a class token `(N, D)`.

Convolutional networks give maps, Swin gives maps with the channels last, and other transformers give tokens: a few
that stand for the whole image, then one for each place, row by row (timm's convention).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import layer_norm

from pelage.common.errors import PelageError


@dataclass(frozen=True)
class Layout:
    """The shape of a backbone's features.

    Attributes:
        kind: `maps` (N, D, h, w), `maps_last` (N, h, w, D) or `tokens` (N, prefix + h * w, D).
        width: D.
        rows: h, at the size that the layout was made for.
        columns: w, likewise.
        prefix: Tokens that stand for no place.
        class_token: The first of them was trained to stand for the whole image.
    """

    kind: str
    width: int
    rows: int
    columns: int
    prefix: int = 0
    class_token: bool = False


class _Features(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.forward_features(images)


def feature_layout(network: nn.Module, channels: int, height: int, width: int) -> Layout:
    """Find out by a trial without numbers (torch's `meta` device) what a network gives for images of one size.

    Args:
        network: A timm network.
        channels: Of the images.
        height: Of the images, in pixels.
        width: Likewise.

    Raises:
        PelageError: It does not take this size, or gives neither maps nor one token a place.
    """
    probe, training = _Features(network), network.training
    state = {name: value.to("meta") for name, value in (*probe.named_parameters(), *probe.named_buffers())}
    probe.eval()
    try:
        with torch.no_grad():
            features = functional_call(probe, state, torch.empty(1, channels, height, width, device="meta"))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise PelageError(
            f"params.yaml: model.backbone does not take images of {width} x {height} pixels ({error}). "
            "Change model.width and model.height, or the backbone."
        ) from error
    finally:
        network.train(training)
    shape = tuple(features.shape) if isinstance(features, Tensor) else ()
    if len(shape) == 4:
        if getattr(network, "output_fmt", "NCHW") == "NHWC":
            return Layout("maps_last", shape[3], shape[1], shape[2])
        return Layout("maps", shape[1], shape[2], shape[3])
    if len(shape) == 3:
        prefix = getattr(network, "num_prefix_tokens", 0)
        rows, columns = _grid(network, shape[1] - prefix, height, width)
        has_class = getattr(network, "cls_token", None) is not None
        return Layout("tokens", shape[2], rows, columns, prefix, has_class)
    raise PelageError(
        f"params.yaml: model.backbone gives features of shape {shape}, neither maps nor tokens. Choose another one."
    )


def _grid(network: nn.Module, tokens: int, height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of `tokens` places: as the network tells, or as the image's sides are to each other."""
    told = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    if told is not None and told[0] * told[1] == tokens:
        return tuple(told)
    rows = max(1, round(math.sqrt(tokens * height / width)))
    if tokens < 1 or tokens % rows:
        raise PelageError(
            f"params.yaml: model.backbone gives {tokens} tokens for {width} x {height} pixels, which are no grid. "
            "Change model.width and model.height, or the backbone."
        )
    return rows, tokens // rows


def feature_maps(features: Tensor, layout: Layout) -> Tensor:
    """Return features of any layout as maps `(N, D, h, w)`; tokens that stand for no place are left out."""
    if layout.kind == "maps":
        return features
    if layout.kind == "tokens":
        features = features[:, layout.prefix :].unflatten(1, (layout.rows, layout.columns))
    return features.permute(0, 3, 1, 2)


def last_norm(network: nn.Module) -> nn.Module | None:
    """Return the norm that timm's network applies after pooling (ConvNeXt, some ViTs), if it has one."""
    for norm in (getattr(getattr(network, "head", None), "norm", None), getattr(network, "fc_norm", None)):
        if norm is not None and not isinstance(norm, nn.Identity):
            return norm
    return None


def apply_norm(norm: nn.Module, pooled: Tensor, width: int) -> Tensor:
    """Normalise each cell's vector of `(N, width * cells)` pooled maps, as timm does with the one cell of its own."""
    cells = pooled.unflatten(1, (width, -1)).transpose(1, 2)
    if isinstance(norm, nn.LayerNorm):  # timm's LayerNorm2d would want maps
        cells = layer_norm(cells, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    else:
        cells = norm(cells)
    return cells.transpose(1, 2).flatten(1)
