"""SuperPoint (DeTone, Malisiewicz and Rabinovich, CVPR Workshops 2018): keypoints and descriptors of a grey image.

Written after the paper's section 3; layers bear the names of the published weights. These may be used for
non-commercial research only, so whoever wants them fetches them himself (see `rematchers.OWN`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CELL = 8
"""Pixels to the side of a cell: one position of the encoder's output."""

CHANNELS = {"1": (1, 64), "2": (64, 64), "3": (64, 128), "4": (128, 128)}
"""Input and output of the encoder's stages, each two convolutions; all but the last end with a halving."""

GREY = (0.299, 0.587, 0.114)


class SuperPoint(nn.Module):
    """The network with its detection.

    Args:
        keypoints: Most keypoints.
        threshold: Least probability of a keypoint.
        radius: Pixels to each side of a keypoint within which there is no other.
        border: Pixels along the border that have no keypoints.
    """

    def __init__(self, keypoints: int, threshold: float = 0.0005, radius: int = 4, border: int = 4) -> None:
        super().__init__()
        self.keypoints, self.threshold, self.radius, self.border = keypoints, threshold, radius, border
        for stage, (inside, outside) in CHANNELS.items():
            self.add_module(f"conv{stage}a", nn.Conv2d(inside, outside, 3, padding=1))
            self.add_module(f"conv{stage}b", nn.Conv2d(outside, outside, 3, padding=1))
        self.convPa, self.convPb = nn.Conv2d(128, 256, 3, padding=1), nn.Conv2d(256, CELL**2 + 1, 1)
        self.convDa, self.convDb = nn.Conv2d(128, 256, 3, padding=1), nn.Conv2d(256, 256, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect and describe.

        Args:
            image: `(1, 3, H, W)` RGB in [0, 1], of at least 8 x 8 pixels.

        Returns:
            Positions `(N, 2)` in pixels (x, y), most probable first, descriptors `(N, 256)` of length 1, and
            probabilities `(N,)`.
        """
        found = (image * image.new_tensor(GREY)[:, None, None]).sum(dim=1, keepdim=True)
        for stage in CHANNELS:
            for layer in "ab":
                found = functional.relu(self.get_submodule(f"conv{stage}{layer}")(found))
            found = found if stage == "4" else functional.max_pool2d(found, 2)
        probability = self.convPb(functional.relu(self.convPa(found))).softmax(dim=1)[:, :-1]  # the last: no keypoint
        probability = functional.pixel_shuffle(probability, CELL)[0, 0]
        row, column = torch.nonzero(self._peaks(probability), as_tuple=True)
        strength, order = probability[row, column].sort(descending=True, stable=True)
        xy = torch.stack([column, row], dim=1)[order][: self.keypoints]
        descriptors = functional.normalize(self.convDb(functional.relu(self.convDa(found))), dim=1)
        return xy.float(), sampled(descriptors, xy), strength[: self.keypoints]

    def _peaks(self, probability: Tensor) -> Tensor:
        """Take the most probable pixel, drop all within the radius, take the next, and so on, `(H, W)` bool."""
        free = probability > self.threshold
        peaks = torch.zeros_like(free)
        while free.any():  # all pixels that are the best around them at once
            left = torch.where(free, probability, 0)
            best = free & (left == self._around(left))
            peaks |= best
            free &= self._around(best.float()) == 0
        inside = torch.zeros_like(free)
        height, width = inside.shape
        inside[self.border : height - self.border, self.border : width - self.border] = True
        return peaks & inside

    def _around(self, values: Tensor) -> Tensor:
        return functional.max_pool2d(values[None], 2 * self.radius + 1, 1, self.radius)[0]


def sampled(descriptors: Tensor, xy: Tensor) -> Tensor:
    """Return the descriptors at positions between the centres of cells, `(N, D)` of length 1.

    Positions are stretched a little, by up to half a cell at the far border, as in the code with which the published
    weights (and those of LightGlue for them) were used.

    Args:
        descriptors: `(1, D, h, w)`, one a cell.
        xy: `(N, 2)` in pixels.
    """
    size = CELL * xy.new_tensor([descriptors.shape[3], descriptors.shape[2]])
    middle = (CELL - 1) / 2
    grid = 2 * (xy - middle) / (size - middle - 1) - 1
    found = functional.grid_sample(descriptors, grid[None, None], mode="bilinear", align_corners=True)
    return functional.normalize(found[0, :, 0].T, dim=1)
