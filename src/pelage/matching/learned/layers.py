"""LightGlue's layers for inference: what kornia's compute, with weights that are made ready once.

Equal up to rounding, in two thirds of the time on a CPU (`benchmarks/lightglue.py`): weights are converted once and not
in every layer of every batch; output projections are folded into the layer that follows them, scales into those before;
queries, keys and values come out of one product in the order in which they are used; and attention is two batched
products and a softmax, in both directions from one matrix of similarities where two crops look at one another.
Training takes kornia's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from kornia.feature import LightGlue
    from torch import nn

Linear = tuple[Tensor, Tensor]
"""Weight `(out, in)` and bias `(out,)`."""


@dataclass(frozen=True)
class FeedForward:
    """What a message does to points: `x + second(gelu(norm([x, message] @ first)))`; its projection is in `first`."""

    first: Linear
    norm: Linear
    second: Linear

    @classmethod
    def of(cls, ffn: nn.Sequential, projection: nn.Linear, dtype: torch.dtype) -> FeedForward:
        """Return kornia's with the `projection` of messages folded into its first product."""
        weight, bias = ffn[0].weight, ffn[0].bias
        own, message = weight.chunk(2, dim=1)
        folded = torch.cat([own, message @ projection.weight], dim=1), bias + message @ projection.bias
        return cls(*(_typed(pair, dtype) for pair in (folded, _linear(ffn[1]), _linear(ffn[3]))))

    def __call__(self, points: Tensor, typed: Tensor, message: Tensor) -> Tensor:
        """Return new points.

        Args:
            points: `(B, N, D)` float32.
            typed: The same in the type of the weights.
            message: `(B, H, N, D / H)`, in that type.
        """
        both = torch.cat([typed, message.transpose(1, 2).flatten(start_dim=2)], dim=-1)
        hidden = functional.linear(both, *self.first)
        hidden = functional.gelu(functional.layer_norm(hidden, hidden.shape[-1:], *self.norm))
        return functional.linear(hidden, *self.second).float().add_(points)


@dataclass(frozen=True)
class Layer:
    """One layer: points look at those of their own crop, then at those of the other.

    Attributes:
        heads: H of them.
        own: Product that gives queries, keys (both with the even components of a head before the odd ones) and values.
        other: Product that gives what is compared, and values.
        after_own, after_other: What the messages do.
    """

    heads: int
    own: Linear
    after_own: FeedForward
    other: Linear
    after_other: FeedForward

    @classmethod
    def of(cls, layer: nn.Module, dtype: torch.dtype) -> Layer:
        """Return kornia's `layer` in the given type."""
        own, other = layer.self_attn, layer.cross_attn
        heads, width = own.num_heads, own.head_dim
        place = torch.arange(3 * heads * width, device=own.Wqkv.weight.device).view(heads, width, 3)
        turned = torch.cat([place[:, 0::2], place[:, 1::2]], dim=1)  # pairs that turn together, apart
        order = torch.cat([turned[..., 0].flatten(), turned[..., 1].flatten(), place[..., 2].flatten()])
        scale = torch.ones(len(order), device=order.device)
        scale[: heads * width] = width**-0.5
        weight, bias = own.Wqkv.weight[order] * scale[:, None], own.Wqkv.bias[order] * scale
        root = width**-0.25
        compared = torch.cat([other.to_qk.weight * root, other.to_v.weight])
        compared_bias = torch.cat([other.to_qk.bias * root, other.to_v.bias])
        return cls(
            heads,
            _typed((weight, bias), dtype),
            FeedForward.of(own.ffn, own.out_proj, dtype),
            _typed((compared, compared_bias), dtype),
            FeedForward.of(other.ffn, other.to_out, dtype),
        )

    def __call__(self, points: Sequence[Tensor], encodings: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the points of both crops after the layer.

        Args:
            points: `(B, N, D)` float32 of the queries, `(B, M, D)` of the candidates.
            encodings: Of their positions, `(2, B, 1, N, D / H)`: cosines and sines, each twice.
        """
        first, second = (self.within(*side) for side in zip(points, encodings, strict=True))
        return self.between(first, second)

    def within(self, points: Tensor, encoding: Tensor) -> Tensor:
        """Return the points `(B, N, D)` of crops that have looked at themselves."""
        typed = points.to(self.own[0].dtype)
        query, key, value = _split(functional.linear(typed, *self.own), 3, self.heads)
        cosine, sine = encoding[..., 0::2].to(typed.dtype)
        query, key = (_turned(side, cosine, sine) for side in (query, key))
        return self.after_own(points, typed, _attention(query, key, value))

    def between(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points of both crops that have then looked at one another."""
        typed = [side.to(self.other[0].dtype) for side in (first, second)]
        (left, left_value), (right, right_value) = (
            _split(functional.linear(side, *self.other), 2, self.heads) for side in typed
        )
        if left.is_cuda:
            messages = _attention(left, right, right_value), _attention(right, left, left_value)
        else:
            alike = _product(left, right.transpose(2, 3))
            messages = (
                _product(alike.softmax(dim=3), right_value),
                _product(alike.softmax(dim=2).transpose(2, 3), left_value),
            )
        return tuple(map(self.after_other, (first, second), typed, messages))


def prepare_layers(network: LightGlue, dtype: torch.dtype) -> list[Layer]:
    """Return the layers of `network`, with weights of the given type on its device."""
    with torch.inference_mode():
        return [Layer.of(layer, dtype) for layer in network.transformers]


def _linear(module: nn.Module) -> Linear:
    return module.weight, module.bias


def _typed(linear: Linear, dtype: torch.dtype) -> Linear:
    return tuple(tensor.detach().to(dtype).contiguous() for tensor in linear)


def _split(product: Tensor, kinds: int, heads: int) -> tuple[Tensor, ...]:
    """Take `(B, N, K * D)` apart into K times `(B, H, N, D / H)`."""
    return product.unflatten(-1, (kinds, heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def _turned(points: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn components i and i + half by the angles of their positions (rotary encoding, Su et al. 2021)."""
    even, odd = points.chunk(2, dim=-1)
    return torch.cat([even * cosine - odd * sine, odd * cosine + even * sine], dim=-1)


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return `softmax(query @ key.T) @ value`, `(B, H, N, D)`. Torch's own is faster on a GPU and slower on a CPU."""
    if query.is_cuda:
        return functional.scaled_dot_product_attention(query, key, value, scale=1)
    return _product(_product(query, key.transpose(2, 3)).softmax(dim=3), value)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Return `left @ right` of `(B, H, ...)`; one batch of matrices is multiplied faster than a batch of batches."""
    return torch.bmm(left.flatten(0, 1), right.flatten(0, 1)).unflatten(0, left.shape[:2])
