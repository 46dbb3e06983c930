"""HED: holistically-nested edge detection, a VGG-16 whose five scales each draw an edge map, and their fusion.

Xie and Tu, "Holistically-nested edge detection", ICCV 2015 (inference only). Images of different sizes share a batch
and give what each gives alone: beyond its own pixels an image stays zero in every layer, as if it ended there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from pelage.common.errors import PelageError

MEAN_BGR = (104.00699, 116.66877, 122.67892)
BLOCKS = [(64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)]
"""Channels of the 3x3 convolutions of each block of VGG-16."""


class HED(nn.Module):
    """The network, with random weights; `load_hed` gives the trained one."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for block, widths in enumerate(BLOCKS, 1):
            for layer, width in enumerate(widths, 1):
                self.add_module(f"block{block}_conv{layer}", nn.Conv2d(channels, width, 3, padding=1))
                channels = width
            self.add_module(f"dsn{block}", nn.Conv2d(channels, 1, 1))
        self.fuse = nn.Conv2d(len(BLOCKS), 1, 1)

    def forward(self, images: torch.Tensor, sizes: torch.Tensor) -> list[torch.Tensor]:
        """Return the fused edge probabilities of a batch.

        Args:
            images: `(N, 3, H, W)` BGR minus `MEAN_BGR`, zero beyond each image's own pixels.
            sizes: `(N, 2)` height and width of each image, at most H and W.

        Returns:
            For each image its map `(height, width)` in 0..1.
        """
        sides: list[list[torch.Tensor]] = [[] for _ in sizes]
        x, own = images, sizes
        for block, widths in enumerate(BLOCKS, 1):
            if block > 1:
                x, own = functional.max_pool2d(x, 2, ceil_mode=True), (own + 1) // 2
            inside = _inside(own, *x.shape[2:])
            for layer in range(1, len(widths) + 1):
                x = self.get_submodule(f"block{block}_conv{layer}")(x).relu_() * inside
            for side, logits, (height, width), size in zip(
                sides, self.get_submodule(f"dsn{block}")(x), own.tolist(), sizes.tolist(), strict=True
            ):
                own_logits = logits[None, :, :height, :width]
                side.append(functional.interpolate(own_logits, size, mode="bilinear", align_corners=False))
        return [self.fuse(torch.cat(side, 1)).sigmoid()[0, 0] for side in sides]


def _inside(sizes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return `(N, 1, height, width)`, True on each image's own pixels."""
    rows = torch.arange(height, device=sizes.device)[None, :, None] < sizes[:, 0, None, None]
    columns = torch.arange(width, device=sizes.device)[None, None, :] < sizes[:, 1, None, None]
    return (rows & columns)[:, None]


def load_hed(weights: Path) -> HED:
    """Return the trained network on the GPU if there is one, else on the CPU, where images share the cores instead.

    So a map does not depend on how many cores there are.

    Raises:
        PelageError: The file is missing, damaged, or has other keys or shapes than `HED`.
    """
    try:
        state = load_file(weights)
    except FileNotFoundError as error:
        raise PelageError(f"{weights} is missing: run the stage weights.") from error
    except SafetensorError as error:
        raise PelageError(f"{weights} is no safetensors file ({error}). Run the stage weights again.") from error
    torch.set_num_threads(1)
    model = HED()
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise PelageError(f"{weights} holds the weights of another network: {error}") from error
    return model.eval().requires_grad_(False).to("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def hed_edges(model: HED, images: list[np.ndarray]) -> list[np.ndarray]:
    """Return the edge map `(H, W)`, uint8 of 0 to 255, of each RGB image `(H, W, 3)`; the images are one batch."""
    device = model.fuse.weight.device
    sizes = torch.tensor([image.shape[:2] for image in images], device=device)
    height, width = sizes.amax(0).tolist()
    batch = torch.zeros(len(images), 3, height, width, device=device)
    for row, image in zip(batch, images, strict=True):
        bgr = image[:, :, ::-1].astype(np.float32) - np.array(MEAN_BGR, np.float32)
        row[:, : image.shape[0], : image.shape[1]] = torch.from_numpy(bgr.transpose(2, 0, 1).copy())
    return [(edges * 255).round().byte().cpu().numpy() for edges in model(batch, sizes)]
