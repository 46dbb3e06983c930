"""Export: the embeddings of many crops, of which only those are worked out that no earlier run has left.

What is known of a crop is a memo of its network, in a folder outside DVC's outputs that is named by everything else
that embeddings depend on. So a killed run goes on where it was, and new photos are embedded alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import pelage
from pelage.common.errors import PelageError
from pelage.common.files import cache_root, sha256_bytes, sha256_file
from pelage.common.memo import Memo
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
STATE = 16
"""Hex digits of a fingerprint."""


def fingerprint(*depends: Any) -> str:
    """Return `STATE` hex digits that change with any of `depends` (JSON), the code that embeds, and the libraries."""
    root = Path(pelage.__file__).parent
    code = [sha256_file(path) for room in ROOMS for path in sorted((root / room).glob("*.py"))]
    versions = [cv2.__version__, *(version(name) for name in LIBRARIES)]
    return sha256_bytes(json.dumps([depends, code, versions], sort_keys=True).encode())[:STATE]


def embedding_memo(name: str, state: str) -> Memo:
    """Return the memo of a network's embeddings.

    Args:
        name: Of the network; a folder of that name holds all its memos.
        state: `fingerprint` of the model and all that the numbers depend on.
    """
    return Memo(state, 1, [], cache_root() / "embeddings" / name)


def forget_others(name: str, states: Sequence[str]) -> None:
    """Delete a network's memos of other states: of weights that are not its own any more, or of other code.

    Nothing else that lies there is touched; whoever chose the cache's folder may keep something in it.
    """
    for folder in (cache_root() / "embeddings" / name).glob("[0-9a-f]" * STATE):
        if folder.name not in states:
            shutil.rmtree(folder, ignore_errors=True)


def embed_crops(
    embedder: Embedder,
    about: Mapping[str, Any],
    crop_ids: Sequence[str],
    crops: Packs,
    settings: Mapping[str, Any],
    device: torch.device,
    memo: Memo,
) -> np.ndarray:
    """Embed crops, all but those that `memo` knows.

    Each batch is full, the last one with the first of its crops again and again, so that the numbers of a crop do not
    depend on how many others are embedded.

    Args:
        embedder: On `device`.
        about: What the model file tells: `channels`, `part`, and `model` with `width` and `height`.
        crop_ids: N ids.
        crops: Of one view and part.
        settings: Section `embed` of the parameters: `batch` and `tta`.
        device: Where to compute.
        memo: See `embedding_memo`.

    Returns:
        `(N, dim)` float32 of length 1.

    Raises:
        PelageError: `batch` is no whole number from 1, or a crop cannot be read.
    """
    batch, size = _batch(settings), embedder.dim
    width, height = (about["model"][key] for key in ("width", "height"))
    points = np.empty((len(crop_ids), size), np.float32)
    keys = [memo.key(crops.sha256(crop_file(crop_id))) for crop_id in crop_ids]
    unknown = []
    for place, key in enumerate(keys):
        known = memo.get(key)
        if known is not None and len(known) == points[place].nbytes:
            points[place] = np.frombuffer(known, np.float32)
        else:
            unknown.append(place)

    def read(places: Sequence[int]) -> tuple[Sequence[int], np.ndarray]:
        ids = [crop_ids[place] for place in places]
        return places, read_crops(ids, crops, about["channels"], width, height)[0]

    batches = [unknown[start : start + batch] for start in range(0, len(unknown), batch)]
    for places, images in track(parallel_map(read, batches, 1), f"embed {crops}", len(batches)):  # read ahead
        full = images[np.arange(batch) % len(images)]
        found = embed_images(embedder, full, batch, device, settings["tta"], about["part"])[: len(places)]
        for place, point in zip(places, found, strict=True):
            points[place] = point
            memo.put(keys[place], point.tobytes())
    return points


def embed_ahead(ahead: Ahead, crop_ids: Sequence[str], place: Mapping[str, Any]) -> None:
    """Have workers embed crops, batch by batch, so that `embed_crops` takes all from `memo`.

    Args:
        ahead: See `workers`.
        crop_ids: As `embed_crops` takes them.
        place: Arguments of `_embed` but for the batches: `model`, `crops`, `settings`, `device` and `memo`.
    """
    batch = _batch(place["settings"])
    batches = [crop_ids[start : start + batch] for start in range(0, len(crop_ids), batch)]
    ahead(partial(_embed, threads=torch.get_num_threads(), **place), batches, "embed")


def _embed(
    batches: Sequence[Sequence[str]],
    model: Path,
    crops: Packs,
    settings: Mapping[str, Any],
    device: torch.device,
    memo: Memo,
    threads: int,
) -> None:
    """Embed batches by the model in a file, as this process would with as many threads of torch."""
    prepare(device.type, threads)
    embedder, about = load_model(model)
    for batch in batches:
        embed_crops(embedder.to(device), about, batch, crops, settings, device, memo)


def _batch(settings: Mapping[str, Any]) -> int:
    if type(settings["batch"]) is not int or settings["batch"] < 1:
        raise PelageError(f"params.yaml: embed.batch is {settings['batch']!r}; give a whole number from 1.")
    return settings["batch"]
