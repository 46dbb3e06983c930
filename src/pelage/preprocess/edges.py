"""Edges: the outline of every spot, as the fourth channel of a view.

Canny as in the leopard study (SpotID: grey, 5x5 Gaussian, thresholds 55 and 160, on the background-free crop, whose
outline therefore shows too, as in the authors' published maps), or the network HED.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pelage.common.files import sha256_file
from pelage.common.images import decode_image, encode_png, to_rgb
from pelage.common.memo import Memo
from pelage.common.packs import Packer, Packs
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.common.workers import Ahead

if TYPE_CHECKING:
    from pelage.preprocess.hed import HED

VERSION = 1
GPU_BATCH = 16
SPREAD = 0.33


def automatic_thresholds(grey: np.ndarray) -> tuple[float, float]:
    """Return Canny thresholds a third below and above the median of some grey values (Rosebrock, 2015)."""
    median = float(np.median(grey)) if grey.size else 0.0
    return (1 - SPREAD) * median, min((1 + SPREAD) * median, 255.0)


def canny_edges(image: np.ndarray, mask: np.ndarray, low: float, high: float, automatic: bool = False) -> np.ndarray:
    """Return Canny's edges of a background-free crop.

    Args:
        image: `(H, W, 3)` RGB.
        mask: `(H, W)`, not 0 on the animal.
        low: Gradient above which a pixel continues an edge (sum of the two Sobel derivatives' sizes).
        high: Gradient above which a pixel starts an edge.
        automatic: Take both thresholds from the animal's grey values instead.

    Returns:
        `(H, W)` uint8, 255 on edges, else 0.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if automatic:
        low, high = automatic_thresholds(grey[mask > 0])
    return cv2.Canny(cv2.GaussianBlur(grey, (5, 5), 0), low, high)


@dataclass
class _Views:
    file: str
    crop: np.ndarray
    nobg: np.ndarray
    edges: np.ndarray | None = None
    key: str = ""


def draw_edges(
    crops: Packs,
    nobg: Packs,
    masks: Packs,
    crop_edge: Packer,
    nobg_edge: Packer,
    params: dict,
    hed_weights: Path,
    memo_root: Path | None = None,
) -> list[float]:
    """Write, for each crop, the crop and its background-free view with the latter's edge map as fourth channel.

    Args:
        crops: RGB PNGs.
        nobg: The crops without background, same names (one with opacity is laid on black first).
        masks: Same names.
        crop_edge: Takes RGBA PNGs: the crop, and the edge map 0 to 255.
        nobg_edge: Takes RGBA PNGs: the background-free view, and the edge map.
        params: `method` (`canny` or `hed`), `low`, `high`, `automatic`.
        hed_weights: Weights of HED, read only if it is the method.
        memo_root: Folder of memos, see `Memo`. HED's maps are memoised; Canny is faster than looking up.

    Returns:
        Mean of each edge map, 0..1, by file name.

    Raises:
        PelageError: A parameter or the weights are wrong.
    """

    def encode(views: _Views) -> tuple[str, bytes, bytes, float]:
        crop, view = (encode_png(np.dstack([image, views.edges])) for image in (views.crop, views.nobg))
        return views.file, crop, view, float(views.edges.mean()) / 255

    names, densities = crops.names(), []
    views = _with_edges(names, crops, nobg, masks, params, hed_weights, memo_root)
    for name, crop, view, density in track(parallel_map(encode, views), "edges", len(names)):
        crop_edge.put(name, crop)
        nobg_edge.put(name, view)
        densities.append(density)
    return densities


def edges_ahead(ahead: Ahead, crops: Packs, nobg: Packs, masks: Packs, params: dict, hed_weights: Path) -> None:
    """Have workers draw HED's maps, so that `draw_edges` recalls them; it draws Canny's itself, faster than that.

    Args:
        ahead: See `workers`.
        crops, nobg, masks, params, hed_weights: As in `draw_edges`.
    """
    if params["method"] == "hed":
        ahead(partial(_remember_edges, (crops, nobg, masks, params, hed_weights)), crops.names(), "edges")


def _remember_edges(given: tuple, names: Sequence[str]) -> None:
    deque(_with_edges(names, *given), maxlen=0)


def _with_edges(
    names: Sequence[str],
    crops: Packs,
    nobg: Packs,
    masks: Packs,
    params: dict,
    hed_weights: Path,
    memo_root: Path | None = None,
) -> Iterator[_Views]:
    """Yield the views of some crops with their edge maps; arguments as in `draw_edges`."""
    model, memo = None, None
    if params["method"] == "hed":
        from pelage.preprocess.hed import load_hed  # torch is slow to import, and Canny does without

        model = load_hed(hed_weights)
        memo = Memo("edges_hed", VERSION, [sha256_file(hed_weights)], memo_root)

    def load(name: str) -> _Views:
        views = _Views(name, to_rgb(crops.image(name)), on_black(nobg.image(name)))
        if memo is None:
            thresholds = params["low"], params["high"], params["automatic"]
            views.edges = canny_edges(views.nobg, masks.image(name), *thresholds)
        else:
            views.key = memo.key(nobg.sha256(name), masks.sha256(name))
            known = memo.get(views.key)
            views.edges = None if known is None else decode_image(known)
        return views

    views = parallel_map(load, names)
    yield from views if model is None else _with_hed(views, model, memo)


def on_black(view: np.ndarray) -> np.ndarray:
    """Return an RGB image as it is, and an RGBA one laid on black."""
    if view.shape[2] == 3:
        return view
    return (view[:, :, :3].astype(np.uint16) * view[:, :, 3:] // 255).astype(np.uint8)


def _with_hed(views: Iterable[_Views], model: HED, memo: Memo) -> Iterator[_Views]:
    """Fill in the edge maps that the memo lacks: in batches on a GPU; one by one on a CPU, which gains nothing."""
    from pelage.preprocess.hed import hed_edges

    def fill(batch: list[_Views]) -> list[_Views]:
        missing = [view for view in batch if view.edges is None]
        if missing:
            for view, edges in zip(missing, hed_edges(model, [view.nobg for view in missing]), strict=True):
                view.edges = edges
                memo.put(view.key, encode_png(edges))
        return batch

    views, on_gpu = iter(views), model.fuse.weight.is_cuda
    batches = iter(lambda: list(islice(views, GPU_BATCH if on_gpu else 1)), [])
    for batch in parallel_map(fill, batches, 1 if on_gpu else None):
        yield from batch
