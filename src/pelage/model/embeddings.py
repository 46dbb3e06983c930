"""Embeddings: crops through a trained network, and the file that holds the points.

At test time a crop may be shown in several views, whose normalised embeddings are averaged and normalised again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pyarrow.parquet import write_table
from safetensors.numpy import save
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from pelage.common.files import write_bytes
from pelage.common.params import choose
from pelage.model.embedder import Embedder

AUGMENTATIONS = ("none", "flips", "reflections", "multi_crop")
PRECISIONS = {"float32": np.float32, "float16": np.float16}
FORMATS = ("parquet", "safetensors")

SYMMETRIC = ("face",)
"""Parts that look the same in a mirror. A flank does not: its mirror image looks like another animal's other flank."""

SHARE = 7 / 8
"""Of each side, what a crop of `multi_crop` keeps."""


def embed_images(
    embedder: Embedder, images: np.ndarray, batch: int, device: torch.device, tta: str = "none", part: str = ""
) -> np.ndarray:
    """Embed crops in evaluation mode; the embedder's own mode is kept.

    Args:
        embedder: On `device`.
        images: `(N, H, W, C)` uint8.
        batch: Images at a time.
        device: Where to compute: on a GPU in float16 (a cosine changes by less than 0.001), but for batches that hold
            numbers beyond it, which are computed in float32, as all are on a CPU.
        tta: Views of each crop, see `augmented`.
        part: What the crops show.

    Returns:
        `(N, D)` float32 of length 1.
    """
    was_training, half = embedder.training, device.type == "cuda"
    embedder.eval()
    points = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(np.ascontiguousarray(images[start : start + batch])).to(device)
            pixels = pixels.permute(0, 3, 1, 2)
            mean = _mean_of_views(embedder, pixels, tta, part, half)
            if half and not mean.isfinite().all():
                mean = _mean_of_views(embedder, pixels, tta, part, half=False)
            points.append(mean.cpu().numpy())
    embedder.train(was_training)
    return np.concatenate(points).astype(np.float32) if points else np.empty((0, 0), np.float32)


def _mean_of_views(embedder: Embedder, pixels: Tensor, tta: str, part: str, half: bool) -> Tensor:
    with torch.autocast(pixels.device.type, torch.float16, enabled=half):
        views = [normalize(embedder(view).float()) for view in augmented(pixels, tta, part)]
    return views[0] if len(views) == 1 else normalize(torch.stack(views).mean(dim=0))


def augmented(pixels: Tensor, tta: str, part: str) -> Iterator[Tensor]:
    """Yield the views of a batch that test-time augmentation embeds, the batch itself first.

    Args:
        pixels: `(N, C, H, W)` uint8.
        tta: none | flips (the mirror image too, for parts that allow it: faces, not flanks) | reflections (the mirror
            image, that upside down, and both, of any part: a left flank then looks like a right one as well) |
            multi_crop (the four corners and the centre too, 7/8 of each side, brought back to the full size).
        part: What the crops show.

    Raises:
        PelageError: Another `tta`.
    """
    choose(tta, AUGMENTATIONS, "embed.tta")
    yield pixels
    if tta == "flips" and part in SYMMETRIC:
        yield pixels.flip(3)
    if tta == "reflections":
        yield from (pixels.flip(axes) for axes in ((3,), (2,), (2, 3)))
    if tta == "multi_crop":
        full = pixels.shape[2:]
        height, width = (max(1, round(side * SHARE)) for side in full)
        down, right = full[0] - height, full[1] - width
        for top, left in ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)):
            window = pixels[:, :, top : top + height, left : left + width].float()
            yield interpolate(window, size=full, mode="bilinear", align_corners=False)


def write_embeddings(
    path: Path,
    crop_ids: Sequence[str],
    points: np.ndarray,
    dim: int,
    precision: str = "float32",
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write points and their ids, atomically and with the same bytes every time.

    A file named `.parquet` is the table `crop_id`, `embedding` (lists of `dim` numbers); one named `.safetensors` has
    the tensor `embedding` (N, dim), and the list `crop_id` in the JSON of its metadata.

    Args:
        path: Its suffix is one of `FORMATS`.
        crop_ids: N ids.
        points: `(N, dim)`; N may be 0.
        dim: D.
        precision: float32 | float16 (half the size; a cosine changes by less than 0.001).
        about: Written as JSON into the metadata, under `pelage`.

    Raises:
        PelageError: Another format or precision.
    """
    kind = PRECISIONS[choose(precision, PRECISIONS, "embed.precision")]
    values = np.ascontiguousarray(points, kind).reshape(-1, dim)
    about = about or {}
    if choose(path.suffix[1:], FORMATS, "embed.format") == "safetensors":
        # one key, because safetensors writes several in any order
        metadata = {"pelage": json.dumps({**about, "crop_id": list(crop_ids)}, sort_keys=True)}
        write_bytes(path, save({"embedding": values}, metadata))
        return
    metadata = {"pelage": json.dumps(about, sort_keys=True)}
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), dim)
    table = pa.table({"crop_id": pa.array(crop_ids, pa.string()), "embedding": lists})
    buffer = BytesIO()
    write_table(table.replace_schema_metadata(metadata), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())
