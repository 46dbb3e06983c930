"""Export: the embeddings of many crops, chunk by chunk, so that a killed run goes on where it was.

A finished chunk is a file in a folder outside DVC's outputs. The folder is named by everything that embeddings depend
on, the file by the crops in it, so that neither is ever taken for another's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import pelage
from pelage.common.errors import PelageError
from pelage.common.files import sha256_bytes, sha256_file, write_bytes
from pelage.common.packs import Packs
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.common.tables import crop_file
from pelage.common.workers import Ahead
from pelage.model.compute import prepare
from pelage.model.crops import read_crops
from pelage.model.embedder import Embedder, load_model
from pelage.model.embeddings import embed_images

ROOMS = ("common", "model")
LIBRARIES = ("torch", "timm", "numpy")


def fingerprint(*depends: Any) -> str:
    """Return 16 hex digits that change with any of `depends` (JSON), the code that embeds, and the libraries."""
    root = Path(pelage.__file__).parent
    code = [sha256_file(path) for room in ROOMS for path in sorted((root / room).glob("*.py"))]
    versions = [cv2.__version__, *(version(name) for name in LIBRARIES)]
    return sha256_bytes(json.dumps([depends, code, versions], sort_keys=True).encode())[:16]


def embed_crops(
    embedder: Embedder,
    about: Mapping[str, Any],
    crop_ids: Sequence[str],
    crops: Packs,
    settings: Mapping[str, Any],
    device: torch.device,
    cache: Path,
) -> np.ndarray:
    """Embed crops in chunks, taking from `cache` those that an earlier run finished.

    Args:
        embedder: On `device`.
        about: What the model file tells: `channels`, `part`, and `model` with `width` and `height`.
        crop_ids: N ids.
        crops: Of one view and part.
        settings: Section `embed` of the parameters: `chunk` (crops), `batch` and `tta`.
        device: Where to compute.
        cache: Named by `fingerprint` of the model and all that the numbers depend on.

    Returns:
        `(N, dim)` float32 of length 1.

    Raises:
        PelageError: `chunk` or `batch` is no whole number from 1, or a crop cannot be read.
    """
    chunks = _chunks(crop_ids, settings)
    width, height = (about["model"][key] for key in ("width", "height"))
    size = embedder.dim
    points = np.empty((len(crop_ids), size), np.float32)

    def load(ids: Sequence[str]) -> tuple[Path, np.ndarray | None, np.ndarray | None]:
        digests = [crops.sha256(crop_file(crop_id)) for crop_id in ids]
        file = cache / f"{sha256_bytes(json.dumps([list(ids), digests]).encode())[:32]}.npy"
        chunk = _stored(file, (len(ids), size))
        images = read_crops(ids, crops, about["channels"], width, height)[0] if chunk is None else None
        return file, chunk, images

    start = 0
    for file, chunk, images in track(parallel_map(load, chunks, 1), f"embed {crops}", len(chunks)):
        if chunk is None:  # the next ones are read meanwhile
            chunk = embed_images(embedder, images, settings["batch"], device, settings["tta"], about["part"])
            buffer = BytesIO()
            np.save(buffer, chunk)
            write_bytes(file, buffer.getvalue())
        points[start : start + len(chunk)] = chunk
        start += len(chunk)
    return points


def embed_ahead(ahead: Ahead, crop_ids: Sequence[str], place: Mapping[str, Any]) -> None:
    """Have workers embed crops, chunk by chunk, so that `embed_crops` takes all from `cache`.

    Args:
        ahead: See `workers`.
        crop_ids: As `embed_crops` takes them.
        place: Arguments of `_embed` but for the chunks: `model`, `crops`, `settings`, `device` and `cache`.
    """
    chunks = _chunks(crop_ids, place["settings"])
    ahead(partial(_embed, threads=torch.get_num_threads(), **place), chunks, "embed")


def _embed(
    chunks: Sequence[Sequence[str]],
    model: Path,
    crops: Packs,
    settings: Mapping[str, Any],
    device: torch.device,
    cache: Path,
    threads: int,
) -> None:
    """Embed chunks by the model in a file, as this process would with as many threads of torch."""
    prepare(device.type, threads)
    embedder, about = load_model(model)
    for chunk in chunks:
        embed_crops(embedder.to(device), about, chunk, crops, settings, device, cache)


def _chunks(crop_ids: Sequence[str], settings: Mapping[str, Any]) -> list[Sequence[str]]:
    for key in ("chunk", "batch"):
        if type(settings[key]) is not int or settings[key] < 1:
            raise PelageError(f"params.yaml: embed.{key} is {settings[key]!r}; give a whole number from 1.")
    return [crop_ids[start : start + settings["chunk"]] for start in range(0, len(crop_ids), settings["chunk"])]


def _stored(file: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Return a finished chunk; None if there is none or it is damaged."""
    try:
        chunk = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError):
        chunk = np.empty(0)
    if chunk.shape != shape or chunk.dtype != np.float32:
        print(f"{file} cannot be read: its crops are embedded again")
        return None
    return chunk
