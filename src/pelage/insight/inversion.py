"""Class-centroid inversion: gradient ascent from grey to an image that a network takes for the centre of a class.

Without more, the ascent ends in noise that no photo has. Regularisers of natural images hold it back: L2 and total
variation (Mahendran and Vedaldi, CVPR 2015), jitter (the same, IJCV 2016), a blur after each step that fades (Yosinski
et al., Deep Learning Workshop of ICML 2015), and steps in the colours and frequencies of photos (Olah et al., 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchvision.transforms.functional import gaussian_blur

from pelage.common.progress import track
from pelage.common.seeds import derive, generator
from pelage.model.embedder import Embedder
from pelage.model.embeddings import embed_images

CLASS_COLUMNS = ["label", "crops", "cosine", "next_label", "next_cosine", "photos_cosine"]

NOISE = 2.0
"""Standard deviation of the first image around grey, in pixel values."""

MOMENTUM = 0.9

BLUR_ENDS = 0.25
"""Share of the steps that is left when the blur ends."""

LEAST_BLUR = 0.2
"""Pixels below which a Gaussian changes nothing."""

COLOURS = torch.tensor([[0.0761, 0.0692, 0.0627], [0.0692, 0.0754, 0.0714], [0.0627, 0.0714, 0.0819]]) / 0.0778
"""Covariance of red, green and blue in ImageNet, from its square root in the library lucid; the mean variance is 1."""


@dataclass(frozen=True)
class Centroids:
    """The centre of each class: the mean of its crops' embeddings, brought to length 1.

    Attributes:
        labels: K labels, in order.
        crops: `(K,)`, how many each was made of.
        spread: `(K,)`, mean cosine of those crops to it.
        points: `(K, D)` float32.
    """

    labels: np.ndarray
    crops: np.ndarray
    spread: np.ndarray
    points: np.ndarray


def class_centroids(crops: pd.DataFrame, embeddings: pd.DataFrame) -> Centroids:
    """Return the centroids of the classes that were learnt.

    Args:
        crops: `crop_id` and `label` of the training crops; those without an embedding take no part.
        embeddings: `crop_id` and `embedding`, vectors of length 1.
    """
    known = crops.merge(embeddings, on="crop_id")
    labels, places = np.unique(known["label"].to_numpy(str), return_inverse=True)
    points = np.stack(known["embedding"].to_list()) if len(known) else np.empty((0, 1))
    sums = np.zeros((len(labels), points.shape[1]))
    np.add.at(sums, places, points)
    counts, lengths = np.bincount(places, minlength=len(labels)), np.linalg.norm(sums, axis=1)
    # the mean cosine of unit vectors to their centroid is the length of their mean
    return Centroids(labels, counts, lengths / counts, (sums / lengths[:, None]).astype(np.float32))


def total_variation(images: Tensor) -> Tensor:
    """Return the mean squared step from a pixel to its right and lower neighbours: `(N, C, H, W)` to `(N,)`.

    Mahendran and Vedaldi's V with exponent 2, as a mean over pixels so that it does not depend on the size.
    """
    right = images[:, :, :-1, 1:] - images[:, :, :-1, :-1]
    below = images[:, :, 1:, :-1] - images[:, :, :-1, :-1]
    return (right**2 + below**2).mean(dim=(1, 2, 3))


def invert(
    embedder: Embedder, targets: np.ndarray, width: int, height: int, config: Mapping[str, Any], device: torch.device
) -> np.ndarray:
    """Make an image for each target whose embedding points that way.

    Args:
        embedder: On `device`, in evaluation mode.
        targets: `(N, D)` of length 1.
        width: Of the images in pixels.
        height: Likewise.
        config: Section `insight` of the parameters: `steps`, `rate` (pixel values of the first step; the last is
            0), `tv` and `l2` (weights beside the cosine, of pixels in 0 to 1), `jitter` (pixels), `blur` (pixels,
            standard deviation at first; it falls to 0 at three quarters of the steps) and `seed`.
        device: Where to compute.

    Returns:
        `(N, H, W, C)` uint8.
    """
    random = torch.Generator().manual_seed(derive(config["seed"], "inversion"))
    grey, wanted = embedder.mean, torch.from_numpy(targets).to(device)
    noise = NOISE * torch.randn(len(targets), grey.shape[1], height, width, generator=random)
    images = grey + noise.to(device)
    velocity = torch.zeros_like(images)
    for step in track(range(config["steps"]), "invert", config["steps"]):
        shift = torch.randint(-config["jitter"], config["jitter"] + 1, (2,), generator=random).tolist()
        images.requires_grad_()
        cosine = (normalize(embedder(images.roll(shift, (2, 3)))) * wanted).sum(dim=1)
        rough, far = total_variation(images / 255), ((images - grey) / 255).square().mean(dim=(1, 2, 3))
        gain = (cosine - config["tv"] * rough - config["l2"] * far).sum()
        (gradient,) = torch.autograd.grad(gain, images)
        left = 1 - step / config["steps"]
        velocity = MOMENTUM * velocity + natural(gradient)
        images = images.detach() + config["rate"] * left * velocity
        sigma = config["blur"] * (left - BLUR_ENDS) / (1 - BLUR_ENDS)
        if sigma >= LEAST_BLUR:
            images = gaussian_blur(images, 2 * round(3 * sigma) + 1, sigma)
        images = images.clamp(0, 255)
    return images.round().byte().permute(0, 2, 3, 1).cpu().numpy()


def natural(gradient: Tensor) -> Tensor:
    """Return a gradient as a step towards natural images: their colours, and most of it in slow changes.

    Steepest ascent where distances are measured by the statistics of photos (Olah, Mordvintsev and Schubert, Feature
    visualization, Distill 2017): colours vary together, and the amplitude of a frequency f falls as 1 / f.

    Args:
        gradient: `(N, C, H, W)`, RGB and maybe an edge channel, which has no colour to share.

    Returns:
        The same shape; the root mean square of each image is 1.
    """
    height, width = gradient.shape[2:]
    mixed = torch.einsum("ij,njhw->nihw", COLOURS.to(gradient), gradient[:, :3])
    rows = torch.fft.fftfreq(height, device=gradient.device)[:, None]
    columns = torch.fft.rfftfreq(width, device=gradient.device)[None]
    frequency = torch.hypot(rows, columns).clamp(min=1 / max(height, width))
    spectrum = torch.fft.rfft2(torch.cat([mixed, gradient[:, 3:]], dim=1)) / frequency
    step = torch.fft.irfft2(spectrum, s=(height, width))
    return step / step.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)


def invert_classes(
    embedder: Embedder | None,
    centroids: Centroids,
    width: int,
    height: int,
    config: Mapping[str, Any],
    batch: int,
    device: torch.device,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Invert the centroids of classes that the seed draws, and look how the network takes the images.

    Args:
        embedder: In evaluation mode; None if it was not trained, and then there are no centroids.
        centroids: Of all classes.
        width: Of the images in pixels.
        height: Likewise.
        config: As for `invert`, and `classes`, the most that are drawn.
        batch: Images at a time.
        device: Where to compute.

    Returns:
        `CLASS_COLUMNS` by label: the cosine of the image to its own centroid and to the nearest other one, and the
        mean cosine of the class's photos to it; and the images, `(N, H, W, C)` uint8.
    """
    drawn = np.sort(generator(config["seed"], "classes").permutation(len(centroids.labels))[: config["classes"]])
    if embedder is None or not len(drawn):
        return pd.DataFrame(columns=CLASS_COLUMNS), np.empty((0, height, width, 3), np.uint8)
    embedder.to(device).requires_grad_(False)
    images = invert(embedder, centroids.points[drawn], width, height, config, device)
    cosines = embed_images(embedder, images, batch, device) @ centroids.points.T
    own = cosines[np.arange(len(drawn)), drawn]
    cosines[np.arange(len(drawn)), drawn] = -np.inf
    nearest = cosines.argmax(axis=1)
    columns = (
        centroids.labels[drawn],
        centroids.crops[drawn],
        own.astype(float).round(4),
        centroids.labels[nearest],
        cosines.max(axis=1).astype(float).round(4),
        centroids.spread[drawn].round(4),
    )
    return pd.DataFrame(dict(zip(CLASS_COLUMNS, columns, strict=True))), images
