"""Background: which pixels of a crop are animal, by a rembg model, and the crop without the rest.

rembg's U^2-Net (Qin et al. 2020), after matching the crop's histogram to a reference photo if one is given, as in the
leopard study (SpotID). What all photos of the camera share (`shared_bands`) is neither segmented nor in the mask. A
mask that cannot be the animal's is replaced by the animal's box and flagged.

Where u2netp's map of a photo, or of an animal and its surroundings, showed the animal's silhouette, that map is cut to
the crop: it has ground to compare with, while a crop is mostly animal, and was made already. A crop is looked at itself
where there is no such map, or where what it shows cannot be the animal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pandas as pd
from PIL import Image
from skimage.exposure import match_histograms

from pelage.common.errors import PelageError
from pelage.common.files import inside, sha256_bytes, sha256_file
from pelage.common.images import decode_image, encode_png, read_image, to_rgb
from pelage.common.memo import Memo
from pelage.common.packs import Packer, Packs
from pelage.common.parallel import parallel_map
from pelage.common.params import choose
from pelage.common.progress import track
from pelage.common.tables import crop_file
from pelage.common.workers import Ahead
from pelage.preprocess.boxes import Box, pad_box
from pelage.preprocess.crop import Window, crop_window, shrink
from pelage.preprocess.saliency import MARGIN, SIDE, Saliency, SaliencyMaps, cut_map, stretch
from pelage.preprocess.shared_bands import SharedBands, pixels_within, without_bands

VERSION = 1
FINE = 32
"""Pixels of a map that a crop's longer side has at least if it is cut from it."""

FILLS = {"black": 0, "grey": 128, "white": 255, "alpha": 0}
OTHER_MODELS = [
    *("u2net", "u2net_human_seg", "silueta", "isnet-general-use", "isnet-anime", "bria-rmbg"),
    *("birefnet-general", "birefnet-general-lite", "birefnet-portrait", "birefnet-dis"),
    *("birefnet-hrsod", "birefnet-cod", "birefnet-massive"),
]
"""rembg's models that need no prompt and give one mask, other than u2netp."""

FALLBACKS = ("band", "small", "large", "disagrees")
"""Why a mask is replaced, in the order in which reasons are looked for (see `judge`)."""


@dataclass(frozen=True)
class Segmenter:
    """A model by name: `alpha(image)` is the opacity `(H, W)` uint8 of an RGB image; `sha256` is of its weights.

    `saliency` is the network of `alpha` if animals are found by it, too.
    """

    alpha: Callable[[np.ndarray], np.ndarray]
    sha256: str
    saliency: Saliency | None = None


def load_segmenter(model: str, u2netp: Path) -> Segmenter:
    """Return a rembg model by name; nothing is ever downloaded.

    Args:
        model: `u2netp`, which is run by `Saliency` (rembg's opacity, without its threads), or one of
            `OTHER_MODELS`, which is run by rembg and whose file must be in rembg's folder of models.
        u2netp: ONNX file of u2netp.

    Raises:
        PelageError: The model is unknown, or its file is missing.
    """
    choose(model, ["u2netp", *OTHER_MODELS], "background.model")
    if model != "u2netp":
        return _rembg_segmenter(model)
    saliency = Saliency(u2netp)

    def alpha(image: np.ndarray) -> np.ndarray:
        opacity = (stretch(saliency(image)) * 255).astype(np.uint8)
        size = image.shape[1], image.shape[0]
        return np.asarray(Image.fromarray(opacity).resize(size, Image.Resampling.LANCZOS))

    return Segmenter(alpha, saliency.sha256, saliency)


def import_rembg() -> ModuleType:
    """Import rembg, but compile nothing: numba would take a minute for the refinement of edges, which is not used."""
    from numba import config

    before, config.DISABLE_JIT = config.DISABLE_JIT, 1
    try:
        import rembg  # slow to import, and u2netp does without
    finally:
        config.DISABLE_JIT = before
    return rembg


def _rembg_segmenter(model: str) -> Segmenter:
    rembg = import_rembg()
    from rembg.sessions import sessions

    file = sessions[model].resolve_existing(f"{model}.onnx")
    if file is None:
        raise PelageError(
            f"params.yaml: background.model is {model!r}, but {model}.onnx is not on this computer. Download it from "
            f"https://github.com/danielgatis/rembg/releases into {sessions[model].model_dir()}, or set U2NET_HOME to "
            "the folder that holds it."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = rembg.new_session(model, sess_opts=options)

    def alpha(image: np.ndarray) -> np.ndarray:
        return np.asarray(session.predict(Image.fromarray(image))[0])

    return Segmenter(alpha, sha256_file(Path(file)))


def match_histogram(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Give each channel of an RGB image the histogram of the reference's, as the leopard study does before rembg."""
    return np.clip(np.rint(match_histograms(image, reference, channel_axis=-1)), 0, 255).astype(np.uint8)


def cut_out(image: np.ndarray, alpha: np.ndarray, fill: str) -> np.ndarray:
    """Replace the background by a colour, blending where the opacity is partial (rembg's plain cut-out).

    Args:
        image: `(H, W, 3)` RGB.
        alpha: `(H, W)` uint8, 255 is animal.
        fill: `black`, `grey`, `white`; or `alpha`: black where nothing shows, and the opacity as fourth channel.

    Returns:
        `(H, W, 3)` RGB, or `(H, W, 4)` RGBA.
    """
    if fill == "alpha":
        return np.dstack([np.where(alpha[:, :, None] > 0, image, 0).astype(np.uint8), alpha])
    weight = alpha[:, :, None].astype(np.uint16)
    return ((image * weight + FILLS[fill] * (255 - weight) + 127) // 255).astype(np.uint8)


@dataclass(frozen=True)
class Outline:
    """The part `box` of the photo at `path` (with the hash `sha256` of its content) whose map shows an animal."""

    path: str
    sha256: str
    box: Box


@dataclass(frozen=True)
class Place:
    """Where a crop is from.

    Attributes:
        window: Its place in the photo.
        box: The animal's box in pixels of the photo; None where nobody has told it, as the whole photo is the crop.
        bands: What all photos of the camera share, in pixels of the photo.
        outline: What shows the animal's outline, if anything does.
    """

    window: Window
    box: tuple[float, float, float, float] | None = None
    bands: Sequence[Box] = ()
    outline: Outline | None = None

    def animal(self, shape: tuple[int, int]) -> np.ndarray:
        """Return which pixels of the crop `(H, W)` are in the animal's box, boolean; all if there is none."""
        return pixels_within([self.box], self.window, shape) if self.box else np.ones(shape, bool)

    def shared(self, shape: tuple[int, int]) -> np.ndarray:
        """Return which pixels of the crop `(H, W)` lie in bands, boolean."""
        return pixels_within(self.bands, self.window, shape)


NOWHERE = Place(Window(0, 0, 1, 1))


def crop_places(
    detections: pd.DataFrame, animals: pd.DataFrame, photos: pd.DataFrame, bands: SharedBands, padding: float
) -> dict[str, Place]:
    """Return the place of each crop by the name of its file.

    Args:
        detections: Rows of `data/detections.csv` (crop_id, image_id, animal, x, y, w, h).
        animals: Rows of `data/animals.csv` (image_id, animal, x, y, w, h, outline).
        photos: Rows of `data/clean.csv` (image_id, path, sha256, width, height, station, camera).
        bands: What photos share.
        padding: See `crop_window`.
    """
    photo_of = {photo.image_id: photo for photo in photos.itertuples()}
    animal_of = {(animal.image_id, animal.animal): animal for animal in animals.itertuples()}
    places = {}
    for row in detections.itertuples():
        photo, box = photo_of[row.image_id], (row.x, row.y, row.w, row.h)
        window = crop_window(box, padding, photo.width, photo.height)
        if window is not None:
            told = None if box == (0, 0, photo.width, photo.height) else box
            outline = _outline(animal_of[row.image_id, row.animal], photo, window)
            places[crop_file(row.crop_id)] = Place(window, told, bands.of(photo), outline)
    return places


def _outline(animal: Any, photo: Any, window: Window) -> Outline | None:
    """Return what shows an animal's outline: what it was seen in, or its surroundings where that is too coarse."""
    if not animal.outline:
        return None
    whole = 0, 0, int(photo.width), int(photo.height)
    fine = max((window.right - window.left) / whole[2], (window.bottom - window.top) / whole[3]) * SIDE >= FINE
    box = tuple(int(value) for value in (animal.x, animal.y, animal.w, animal.h))
    seen = whole if animal.outline == "photo" and fine else pad_box(box, MARGIN, *whole[2:])
    return Outline(photo.path, photo.sha256, seen)


def segment(image: np.ndarray, shared: np.ndarray, segmenter: Segmenter) -> np.ndarray:
    """Return the opacity `(H, W)` uint8 of an RGB image, 0 in what is shared, which the segmenter does not see.

    Args:
        image: `(H, W, 3)` RGB.
        shared: `(H, W)` bool: what lies in bands.
        segmenter: From `load_segmenter`.
    """
    if not shared.any():
        return segmenter.alpha(image)
    alpha = np.zeros(shared.shape, np.uint8)
    seen = without_bands(image, shared)
    if seen is not None:
        part, window = seen
        window.of(alpha)[:] = segmenter.alpha(part)
    alpha[shared] = 0
    return alpha


def judge(mask: np.ndarray, animal: np.ndarray, shared: np.ndarray, boxed: bool, params: Mapping) -> tuple[float, str]:
    """Return the share of the crop that is animal, and why that cannot be, if so.

    `band`: bands leave next to nothing of the animal's box. `small`, `large`: the mask covers too little or too much.
    `disagrees`: it leaves out most of the animal's box.

    Args:
        mask: `(H, W)` bool, without what is shared.
        animal: `(H, W)` bool: the animal's box.
        shared: `(H, W)` bool: what lies in bands; shares are of the rest.
        boxed: Whether the box is the animal's own, so that the mask has to agree with it.
        params: `min_cover`, `max_cover`, `min_coat`.
    """
    free, coat = np.count_nonzero(~shared), np.count_nonzero(animal & ~shared)
    if coat < params["min_cover"] * np.count_nonzero(animal):
        return 0.0, "band"
    cover = np.count_nonzero(mask) / free
    if cover < params["min_cover"]:
        return cover, "small"
    if cover > params["max_cover"]:
        return cover, "large"
    disagrees = boxed and np.count_nonzero(mask & animal) < params["min_coat"] * coat
    return cover, "disagrees" if disagrees else ""


@dataclass(frozen=True)
class Background:
    """What `remove_backgrounds` found for one crop file.

    Attributes:
        file: Its name.
        cover: Share of the crop, without bands, that was segmented as animal.
        fallback: Why the mask was replaced, one of `FALLBACKS`, or empty.
        shared: Share of the crop that lies in bands.
        outlined: Whether the mask is cut from the map in which the animal was found.
    """

    file: str
    cover: float
    fallback: str
    shared: float
    outlined: bool = False


class Opacities:
    """Opacity of crops, recalled or found; one serves many threads. Arguments are those of `remove_backgrounds`."""

    def __init__(
        self,
        crops: Packs,
        segmenter: Segmenter,
        params: Mapping,
        memo_root: Path | None = None,
        places: Mapping[str, Place] | None = None,
        photos: Path = Path(),
    ) -> None:
        self._crops, self._segmenter, self._params = crops, segmenter, params
        self._places, self._photos = places or {}, photos
        self._reference, reference_sha = None, None
        if params["reference"]:
            self._reference = to_rgb(read_image(Path(params["reference"])))
            reference_sha = sha256_bytes(self._reference.tobytes())
        self._memo = Memo("background", VERSION, [segmenter.sha256, reference_sha], memo_root)
        self._maps = None
        if segmenter.saliency is not None and self._reference is None:
            self._maps = SaliencyMaps(segmenter.saliency, memo_root)

    def __call__(self, name: str) -> tuple[Background, np.ndarray, np.ndarray]:
        """Return what is found for a crop, its pixels `(H, W, 3)` with the reference's histogram, opacity `(H, W)`."""
        image, place = to_rgb(self._crops.image(name)), self._places.get(name, NOWHERE)
        if self._reference is not None:
            image = match_histogram(image, self._reference)
        shape = image.shape[:2]
        animal, shared, boxed = place.animal(shape), place.shared(shape), place.box is not None
        by_map, fallback = self._maps is not None and place.outline is not None and not shared.any(), "unseen"
        if by_map:
            alpha = self._outlined(place, shape)
            cover, fallback = judge(alpha >= 128, animal, shared, boxed, self._params)
        if fallback:
            by_map, alpha = False, self._segmented(image, self._crops.sha256(name), shared)
            cover, fallback = judge(alpha >= 128, animal, shared, boxed, self._params)
        if fallback:
            alpha = np.where(animal & ~shared, 255, 0).astype(np.uint8)
        return Background(name, cover, fallback, float(shared.mean()), by_map), image, alpha

    def _outlined(self, place: Place, shape: tuple[int, int]) -> np.ndarray:
        seen = place.outline
        read = partial(read_image, inside(self._photos, seen.path, "data/clean.csv"))
        saliency = self._maps(seen.sha256, seen.box, lambda: to_rgb(read()))
        return np.round(cut_map(stretch(saliency), seen.box, place.window, shape) * 255).astype(np.uint8)

    def _segmented(self, image: np.ndarray, sha256: str, shared: np.ndarray) -> np.ndarray:
        key = self._memo.key(sha256, *([np.packbits(shared).tobytes()] if shared.any() else []))
        known = self._memo.get(key)
        if known is None:
            self._memo.put(key, known := encode_png(segment(image, shared, self._segmenter)))
        return decode_image(known)


def opacities_ahead(
    ahead: Ahead,
    crops: Packs,
    model: str,
    u2netp: Path,
    params: Mapping,
    places: Mapping[str, Place],
    photos: Path,
) -> None:
    """Have workers find opacities, so that `remove_backgrounds` recalls them.

    Args:
        ahead: See `workers`.
        model, u2netp: As in `load_segmenter`.
        crops, params, places, photos: As in `remove_backgrounds`.
    """

    def pack(names: Sequence[str]) -> dict[str, Place]:
        return {name: places.get(name, NOWHERE) for name in names}

    ahead(partial(_find_opacities, crops, model, u2netp, params, photos), crops.names(), "background", pack)


def _find_opacities(
    crops: Packs, model: str, u2netp: Path, params: Mapping, photos: Path, places: Mapping[str, Place]
) -> None:
    opacities = Opacities(crops, load_segmenter(model, u2netp), params, places=places, photos=photos)
    for name in places:
        opacities(name)


def remove_backgrounds(
    crops: Packs,
    masks: Packer,
    views: Packer,
    segmenter: Segmenter,
    params: Mapping,
    memo_root: Path | None = None,
    places: Mapping[str, Place] | None = None,
    photos: Path = Path(),
) -> list[Background]:
    """Write a mask and a background-free view for each crop; segmentation is memoised.

    A mask that falls back (`judge`) is the animal's box, without what photos share.

    Args:
        crops: RGB PNGs.
        masks: Takes 8-bit PNGs, 255 where the opacity is at least 128, else 0.
        views: Takes the crops without background (with the reference's histogram, if one is given).
        segmenter: From `load_segmenter`.
        params: `reference` (path or None), `fill`, `min_cover`, `max_cover`, `min_coat`.
        memo_root: Folder of memos, see `Memo`.
        places: Where files are from (see `crop_places`); one without is all the animal's, and no camera's. Outlines
            count where the segmenter has the network that sees them, without a reference, and beside bands.
        photos: Folder that the paths of outlines start from.

    Returns:
        One `Background` a crop, sorted by file name.

    Raises:
        PelageError: A parameter or the reference photo is wrong.
    """
    opacities = Opacities(crops, segmenter, params, memo_root, places, photos)

    def remove(name: str) -> tuple[Background, bytes, bytes]:
        found, image, alpha = opacities(name)
        mask, view = np.where(alpha >= 128, 255, 0).astype(np.uint8), cut_out(image, alpha, params["fill"])
        return found, encode_png(mask), encode_png(view)

    names, results = crops.names(), []
    for found, mask, view in track(parallel_map(remove, names), "background", len(names)):
        masks.put(found.file, mask)
        views.put(found.file, view)
        results.append(found)
    return results


def mask_iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return intersection over union of two boolean masks of one shape (0 if both are empty)."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 0.0


def truth_in_crop(truth: list[np.ndarray], window: Window, max_side: int) -> np.ndarray | None:
    """Return the true mask, boolean, of the animal that most of a crop shows; None if it shows none.

    Args:
        truth: Mask of each animal of the photo, `(H, W)`, not 0 where it is.
        window: The crop's place in the photo.
        max_side: As the crop was scaled down.
    """
    shown = [window.of(mask) for mask in truth]
    if not any(mask.any() for mask in shown):
        return None
    most = max(shown, key=np.count_nonzero)
    return shrink(np.where(most, 255, 0).astype(np.uint8), max_side) >= 128


def score_masks(
    detections: pd.DataFrame, files: list[str], masks: Packs, truth: pd.DataFrame, truth_masks: Path, params: dict
) -> list[float]:
    """Return the IoU with the truth of each crop's mask whose photo has true masks and whose crop shows an animal.

    Args:
        detections: Rows of `data/detections.csv`, one for each of `files`.
        files: Name of each row's mask in `masks`.
        masks: As `remove_backgrounds` writes them.
        truth: Rows of `data/truth/truth.csv` (image_id, mask).
        truth_masks: Folder of the true masks, of the size of the photos.
        params: `padding` and `max_side` of the crop.
    """
    names = truth.groupby("image_id")["mask"].agg(list).to_dict()
    pairs = zip(detections.itertuples(), files, strict=True)

    def score(pair: tuple) -> float | None:
        row, file = pair
        true = [cv2.imread(str(truth_masks / name), cv2.IMREAD_GRAYSCALE) for name in names[row.image_id]]
        height, width = true[0].shape
        window = crop_window((row.x, row.y, row.w, row.h), params["padding"], width, height)
        shown = truth_in_crop(true, window, params["max_side"])
        return None if shown is None else mask_iou(masks.image(file) > 0, shown)

    scores = parallel_map(score, [pair for pair in pairs if pair[0].image_id in names])
    return [value for value in scores if value is not None]
