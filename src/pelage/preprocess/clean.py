"""Clean: which photos can be worked with, and why the others cannot. Nothing is deleted; rejected photos are listed.

Perceptual hash: the DCT hash of Zauner (2010) as the imagehash library has it. Sharpness: energy of the Laplacian of
Gaussian at two scales (Elder and Zucker 1998 estimate local blur from such a pair).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dctn

from pelage.common.errors import PelageError
from pelage.common.images import decode_image, to_rgb
from pelage.common.memo import Memo
from pelage.common.parallel import parallel_map
from pelage.common.params import choose
from pelage.common.progress import track
from pelage.common.tables import UNKNOWN, rejected_table

UNREADABLE = ("missing", "empty", "unreadable", "truncated")
POOR = ("too_small", "overexposed", "underexposed", "blurred")
COPIES = ("duplicate", "near_duplicate")
REASONS = (*UNREADABLE, *POOR, *COPIES)
"""Why a photo is rejected, in the order in which reasons are looked for; the last six may be flags instead."""

FLAGS = ("wrong_extension", *POOR, *COPIES)

_SUFFIXES = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "bmp": (".bmp",),
    "webp": (".webp",),
}
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A JPEG marker that ends a scan: neither a stuffed byte nor a restart."""


@dataclass(frozen=True)
class Look:
    """What one look at a photo tells (all but `fault` meaningless if there is a fault).

    Attributes:
        fault: Reason and sentence why it cannot be read, or None.
        kind: What its content is, whatever its name says: see `sniff`.
        width, height: Pixels, upright.
        sharpness: See `sharpness`.
        bright, dark: Shares of nearly white and nearly black pixels, 0..1.
        pixels: Hash of the decoded pixels.
        phash: Perceptual hash, 16 hex digits.
        thumb: `(32, 32)` uint8 grey miniature, as hex digits.
    """

    fault: tuple[str, str] | None
    kind: str = ""
    width: int = 0
    height: int = 0
    sharpness: float = 0.0
    bright: float = 0.0
    dark: float = 0.0
    pixels: str = ""
    phash: str = ""
    thumb: str = ""

    @property
    def miniature(self) -> np.ndarray:
        """The miniature as an array `(32, 32)` uint8."""
        return np.frombuffer(bytes.fromhex(self.thumb), np.uint8).reshape(32, 32)


@dataclass(frozen=True)
class Cleaned:
    """Photos kept (with width, height, phash and flags), photos rejected (with reasons), and the counts of both."""

    kept: pd.DataFrame
    rejected: pd.DataFrame
    counts: dict[str, Any]


def look_at(data: bytes) -> Look:
    """Decode a photo (the bytes of its file) once and measure what cleaning asks for."""
    if not data:
        return Look(("empty", "The file has no bytes."))
    kind = sniff(data)
    if kind is None:
        return Look(("unreadable", f"The file is no image: it begins with {data[:8].hex(' ')}."))
    if not (jpeg_is_complete(data) if kind == "jpeg" else _pillow_finds_all(data)):
        return Look(("truncated", f"The {kind.upper()} ends before its last pixels, after {len(data)} bytes."))
    try:
        image = decode_image(data)
    except (PelageError, cv2.error):
        return Look(("unreadable", f"The {kind.upper()} of {len(data)} bytes cannot be decoded."))
    pixels = hashlib.sha256(str(image.shape).encode())
    pixels.update(np.ascontiguousarray(image))
    grey = cv2.cvtColor(to_rgb(image), cv2.COLOR_RGB2GRAY)
    thumb = miniature(grey)
    return Look(
        None,
        kind,
        grey.shape[1],
        grey.shape[0],
        sharpness(grey),
        float((grey >= 240).mean()),
        float((grey <= 5).mean()),
        pixels.hexdigest(),
        perceptual_hash(thumb),
        thumb.tobytes().hex(),
    )


def sniff(data: bytes) -> str | None:
    """Return what kind of image bytes are by their first ones: jpeg, png, tiff, bmp, webp, or None."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "tiff"
    if data.startswith(b"BM"):
        return "bmp"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def jpeg_is_complete(data: bytes) -> bool:
    """Return whether a JPEG goes on to its end-of-image marker.

    Decoders fill what is missing with grey and only warn. So the segments are walked (Annex B of ITU-T T.81), which
    passes by the thumbnail in EXIF with its own end marker and allows for anything after the end. A file that lacks
    nothing but the marker counts as complete if Pillow, which is strict, reads it.
    """
    if data.endswith(b"\xff\xd9"):
        return True  # within a scan a byte FF is stuffed, so a cut can hardly leave this
    at = 2
    while at + 2 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xD9:
            return True
        if marker == 0xFF:
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            found = _MARKER.search(data, at)
            at = found.end() - 2 if found else len(data)
    return _pillow_finds_all(data)


def _pillow_finds_all(data: bytes) -> bool:
    """Return False if Pillow, which is strict where OpenCV is not, misses the end of an image."""
    try:
        with Image.open(BytesIO(data)) as image:
            image.load()
    except Exception as error:  # what it cannot read for another reason (a rare compression) is left to OpenCV
        return not re.search("truncated|broken", str(error), re.IGNORECASE)
    return True


def miniature(grey: np.ndarray) -> np.ndarray:
    """Return an image `(H, W)` uint8 as `(32, 32)` uint8, each cell the mean of its pixels."""
    return cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)


def perceptual_hash(thumb: np.ndarray) -> str:
    """Return the 64-bit DCT hash of a miniature `(32, 32)` as 16 hex digits.

    Bits tell which of the 8 x 8 lowest frequencies are above their median (imagehash's `phash`).
    """
    low = dctn(thumb.astype(np.float64), type=2)[:8, :8]
    bits = np.packbits((low > np.median(low)).ravel())
    return bits.tobytes().hex()


def sharpness(grey: np.ndarray) -> float:
    """Return how much finer than its coarse detail the detail of an image `(H, W)` uint8 is.

    At 256 pixels height (less if it is lower), the variance of the Laplacian of Gaussian at 1 pixel over that at 2, in
    tiles of 32 pixels, median over the third of them with most coarse detail. So neither contrast nor a sky matters,
    nor the strip that a camera prints (an eighth of the tiles at most), and little the sensor's noise. For an edge
    blurred by b pixels it is ((4 + b^2) / (1 + b^2))^1.5: 8 for a perfect one, 5 at 0.75 pixels, 4 at 1, 2 at 2.
    """
    if grey.shape[0] > 256:
        grey = cv2.resize(
            grey, (max(32, round(grey.shape[1] * 256 / grey.shape[0])), 256), interpolation=cv2.INTER_AREA
        )
    rows, columns = (max(1, side // 32) for side in grey.shape)
    fine, coarse = (
        _tile_variances(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), s), rows, columns) for s in (1, 2)
    )
    textured = coarse >= np.quantile(coarse, 2 / 3)
    return float(np.median(fine[textured] / np.maximum(coarse[textured], 1e-3)))


def _tile_variances(blurred: np.ndarray, rows: int, columns: int) -> np.ndarray:
    edges = cv2.Laplacian(blurred, cv2.CV_32F)
    height, width = edges.shape[0] // rows, edges.shape[1] // columns
    tiles = edges[: rows * height, : columns * width].reshape(rows, height, columns, width)
    return tiles.var(axis=(1, 3)).ravel()


def changed_share(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of cells of two miniatures that differ by more than 6 grey levels at equal mean brightness.

    A hash of a whole camera-trap frame is ruled by the background, which is the same in a burst. The cells tell whether
    anything has moved: an animal that takes a step changes dozens of them, saving a photo anew none.
    """
    scale = max(float(first.mean()), 1.0) / max(float(second.mean()), 1.0)
    return float((np.abs(first - second * np.float32(scale)) > 6).mean())


def judge(look: Look, params: Mapping[str, Any]) -> dict[str, str]:
    """Return what is poor about a readable photo: reason and sentence with the measured number, in order of weight."""
    side = min(look.width, look.height)
    measures = {
        "too_small": (
            side < params["min_side"],
            f"The shorter side has {side} pixels, fewer than {params['min_side']}.",
        ),
        "overexposed": (
            look.bright > params["max_overexposed"],
            f"A share of {look.bright:.3f} is nearly white, more than {params['max_overexposed']}.",
        ),
        "underexposed": (
            look.dark > params["max_underexposed"],
            f"A share of {look.dark:.3f} is nearly black, more than {params['max_underexposed']}.",
        ),
        "blurred": (
            look.sharpness < params["min_sharpness"],
            f"The sharpness is {look.sharpness:.2f}, less than {params['min_sharpness']}.",
        ),
    }
    return {reason: sentence for reason, (poor, sentence) in measures.items() if poor}


def look_at_photos(photos: pd.DataFrame, folder: Path, memo: Memo) -> list[Look]:
    """Return a look at each photo of a table, with all cores, and only at those that the memo does not know.

    Args:
        photos: Columns `path` and `sha256`.
        folder: Folder of the photos.
        memo: Earlier looks (see `looks_memo`).
    """

    def look(photo: tuple[str, str]) -> Look:
        path, sha256 = photo
        if not sha256:
            return Look(("missing", "The file could not be read when the photos were ingested."))
        if known := memo.get(key := memo.key(sha256)):
            fields = json.loads(known)
            return Look(**fields | {"fault": fields["fault"] and tuple(fields["fault"])})
        try:
            found = look_at((folder / path).read_bytes())
        except OSError as error:
            return Look(("missing", f"The file cannot be read: {error.strerror}."))
        memo.put(key, json.dumps(asdict(found)).encode())
        return found

    paths = zip(photos["path"], photos["sha256"], strict=True)
    return list(track(parallel_map(look, paths), "clean", len(photos)))


def looks_memo() -> Memo:
    """Return the memo of looks; their version is raised whenever `look_at` measures something else."""
    return Memo("look", 1, {"opencv": cv2.__version__})


def content_keys(looks: list[Look]) -> pd.Series:
    """Return the hash of each photo's pixels, empty if they cannot be read."""
    return pd.Series([look.pixels for look in looks], dtype=object)


def clean_photos(
    photos: pd.DataFrame, looks: list[Look], encounter: pd.Series, params: Mapping[str, Any], curated: bool
) -> Cleaned:
    """Sort photos into kept and rejected.

    Poor photos are rejected, and copies as `duplicates` and `near_duplicates` say (drop or keep). In a curated data set
    only what cannot be read is rejected. Whatever is kept nonetheless has the reason among its flags. Of copies the one
    stays that has an identity and a date, then the first by image_id. A near duplicate is a photo of one encounter and
    camera whose hash differs from that of a kept one by at most `near_duplicate_bits`, and in which at most
    `near_duplicate_change` of the cells have changed.

    Args:
        photos: N rows of data/photos.csv.
        looks: N looks, in the same order.
        encounter: Encounter of each.
        params: Section `clean`.
        curated: Whether people have chosen the photos.

    Raises:
        PelageError: A parameter is none of its words, or no photo is left.
    """
    drop = {
        reason: choose(params[f"{reason}s"], ("drop", "keep"), f"clean.{reason}s") == "drop" and not curated
        for reason in COPIES
    }
    rejected: dict[int, tuple[str, str]] = {i: look.fault for i, look in enumerate(looks) if look.fault}
    suffixes = photos["path"].str.lower().str.extract(r"(\.[^./]*)$")[0]
    told = [not look.kind or suffix in _SUFFIXES[look.kind] for look, suffix in zip(looks, suffixes, strict=True)]
    flags = [[] if right else ["wrong_extension"] for right in told]
    for i, look in enumerate(looks):
        poor = {} if look.fault else judge(look, params)
        if poor and not curated:
            rejected[i] = next(iter(poor.items()))
        flags[i] += poor
    for i, (reason, sentence) in find_copies(photos, looks, encounter, params, rejected).items():
        if drop[reason]:
            rejected[i] = reason, sentence
        flags[i].append(reason)

    if len(rejected) == len(photos):
        counted = Counter(reason for reason, _ in rejected.values())
        told = ", ".join(f"{count} {reason}" for reason, count in counted.most_common())
        raise PelageError(
            f"data/photos.csv: all {len(photos)} photos are rejected ({told}). Look at the photos; loosen the section "
            "clean of params.yaml, or set curated: true for the data set if people have chosen them."
        )
    ids, paths = photos["image_id"].to_numpy(), photos["path"].to_numpy()
    keep = [i for i in range(len(photos)) if i not in rejected]
    kept = photos.iloc[keep].assign(
        encounter=encounter.to_numpy()[keep],
        width=[looks[i].width for i in keep],
        height=[looks[i].height for i in keep],
        phash=[looks[i].phash for i in keep],
        flags=[" ".join(flags[i]) for i in keep],
    )
    reasons = Counter(reason for reason, _ in rejected.values())
    flagged = Counter(flag for i in keep for flag in flags[i])
    counts = {
        "photos": len(photos),
        "kept": len(keep),
        "rejected": {reason: reasons[reason] for reason in REASONS},
        "flags": {flag: flagged[flag] for flag in FLAGS},
    }
    return Cleaned(kept, rejected_table((ids[i], paths[i], *rejected[i]) for i in sorted(rejected)), counts)


def find_copies(
    photos: pd.DataFrame,
    looks: list[Look],
    encounter: pd.Series,
    params: Mapping[str, Any],
    rejected: Mapping[int, tuple[str, str]],
) -> dict[int, tuple[str, str]]:
    """Return the photos (positions) that repeat another one that stays, with reason and sentence."""
    ids, boxes, identity = (photos[name].to_numpy() for name in ("image_id", "bbox", "identity"))
    rank = photos.assign(unknown=identity == UNKNOWN, undated=photos["date"] == "", position=np.arange(len(photos)))
    order = rank.sort_values(["unknown", "undated", "image_id"], kind="stable")["position"]
    copies: dict[int, tuple[str, str]] = {}
    same: dict[tuple[str, str], int] = {}
    visits: dict[tuple[str, str], list[int]] = {}
    for i in (i for i in order if i not in rejected):
        first = same.setdefault((looks[i].pixels, boxes[i]), i)
        if first != i:
            other = "" if identity[first] == identity[i] else f" There it is {identity[first]!r}, here {identity[i]!r}."
            copies[i] = "duplicate", f"The pixels are those of {ids[first]!r}.{other}"
            continue
        visit = visits.setdefault((encounter.iloc[i], photos["camera"].iloc[i]), [])
        for other in visit:
            bits = (int(looks[i].phash, 16) ^ int(looks[other].phash, 16)).bit_count()
            if bits > params["near_duplicate_bits"] or boxes[i] != boxes[other]:
                continue
            changed = changed_share(looks[other].miniature, looks[i].miniature)
            if changed <= params["near_duplicate_change"]:
                told = f"{bits} bits of the hash and a share of {changed:.3f} of the picture differ"
                copies[i] = "near_duplicate", f"It repeats {ids[other]!r}: {told}."
                break
        else:
            visit.append(i)
    return copies
