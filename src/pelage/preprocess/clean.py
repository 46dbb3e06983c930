"""Clean: which photos can be worked with, and why the others cannot. Nothing is deleted; rejected photos are listed.

Perceptual hash: the DCT hash of Zauner (2010) as the imagehash library has it. Sharpness: energy of the Laplacian of
Gaussian at two scales (Elder and Zucker 1998 estimate local blur from such a pair).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from scipy.fft import dctn

from pelage.common.errors import PelageError
from pelage.common.image_header import sniff
from pelage.common.images import decode_image, to_rgb
from pelage.common.memo import Memo
from pelage.common.parallel import parallel_map
from pelage.common.params import choose
from pelage.common.progress import track
from pelage.common.tables import REJECTED_COLUMNS, UNKNOWN
from pelage.preprocess.damage import find_damage

UNREADABLE = ("missing", "empty", "unreadable", "truncated")
POOR = ("too_small", "overexposed", "underexposed", "blurred")
COPIES = ("duplicate", "near_duplicate")
REASONS = (*UNREADABLE, "damaged", *POOR, *COPIES)
"""Why a photo is rejected, in the order in which reasons are looked for; the last seven may be flags instead."""

FLAGS = ("wrong_extension", "damaged", *POOR, *COPIES)

FLAT = 2.0
"""Standard deviation of a miniature's grey levels below which a photo shows nothing."""

_SUFFIXES = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "bmp": (".bmp",),
    "webp": (".webp",),
}
_AT_ONCE = 8192
"""Pairs of miniatures that are compared at a time: they are 32 MiB as floats."""


@dataclass(frozen=True)
class Look:
    """What one look at a photo tells (from `kind` on meaningless if it cannot be read).

    Attributes:
        reason: Why it cannot be read (one of `UNREADABLE`), `damaged`, or empty.
        detail: A sentence on that.
        kind: What its content is, whatever its name says: see `image_header.sniff`.
        width, height: Pixels, upright.
        sharpness: See `sharpness`.
        bright, dark: Shares of nearly white and nearly black pixels, 0..1.
        spread: Standard deviation of the miniature, grey levels.
        pixels: Hash of the decoded pixels.
        phash: Perceptual hash, 16 hex digits.
        thumb: `(32, 32)` uint8 grey miniature, as hex digits.
    """

    reason: str = ""
    detail: str = ""
    kind: str = ""
    width: int = 0
    height: int = 0
    sharpness: float = 0.0
    bright: float = 0.0
    dark: float = 0.0
    spread: float = 0.0
    pixels: str = ""
    phash: str = "0" * 16
    thumb: str = "00" * 1024


@dataclass(frozen=True)
class Looks:
    """What the looks at N photos tell.

    Attributes:
        table: N rows with the fields of `Look` but for `thumb`; `phash` is uint64.
        thumbs: Miniatures `(N, 32, 32)` uint8.
    """

    table: pd.DataFrame
    thumbs: np.ndarray


@dataclass(frozen=True)
class Cleaned:
    """Photos kept, photos rejected (with reasons), copies that were found among them, and the counts of all."""

    kept: pd.DataFrame
    rejected: pd.DataFrame
    copies: pd.DataFrame
    counts: dict[str, Any]


def look_at(data: bytes) -> Look:
    """Decode a photo (the bytes of its file) once and measure what cleaning asks for."""
    if not data:
        return Look("empty", "The file has no bytes.")
    kind = sniff(data)
    if kind is None:
        return Look("unreadable", f"The file is no image: it begins with {data[:8].hex(' ')}.")
    reason, detail = find_damage(data, kind) or ("", "")
    if reason == "truncated":
        return Look(reason, detail)
    try:
        image = decode_image(data, "The file")
    except PelageError as error:
        return Look("unreadable", str(error))
    pixels = hashlib.sha256(str(image.shape).encode())
    pixels.update(np.ascontiguousarray(image))
    grey = cv2.cvtColor(to_rgb(image), cv2.COLOR_RGB2GRAY)
    thumb = miniature(grey)
    return Look(
        reason,
        detail,
        kind,
        grey.shape[1],
        grey.shape[0],
        sharpness(grey),
        float((grey >= 240).mean()),
        float((grey <= 5).mean()),
        float(thumb.std()),
        pixels.hexdigest(),
        perceptual_hash(thumb),
        thumb.tobytes().hex(),
    )


def collect_looks(looks: Iterable[Look], count: int) -> Looks:
    """Put `count` looks together, one after the other, so that a million of them need no more than their numbers."""
    columns: dict[str, list] = {name: [] for name in ("reason", "detail", "kind", "pixels")}
    numbers = {name: np.zeros(count, np.int32) for name in ("width", "height")}
    numbers |= {name: np.zeros(count) for name in ("sharpness", "bright", "dark", "spread")}
    phash, thumbs = np.zeros(count, np.uint64), np.zeros((count, 1024), np.uint8)
    words: dict[str, str] = {}
    for row, look in enumerate(looks):
        for name, values in columns.items():
            value = getattr(look, name)
            values.append(value if name == "pixels" else words.setdefault(value, value))
        for name, values in numbers.items():
            values[row] = getattr(look, name)
        phash[row] = int(look.phash, 16)
        thumbs[row] = np.frombuffer(bytes.fromhex(look.thumb), np.uint8)
    table = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()} | numbers)
    return Looks(table.assign(phash=phash), thumbs.reshape(count, 32, 32))


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


def changed_shares(thumbs: np.ndarray, first: np.ndarray, second: np.ndarray, most: float) -> np.ndarray:
    """Return of P pairs the share of cells that differ by more than 6 grey levels at equal mean brightness.

    A hash of a whole camera-trap frame is ruled by the background, which is the same in a burst. The cells tell whether
    anything has moved: an animal that takes a step changes dozens of them, saving a photo anew none.

    Args:
        thumbs: Miniatures `(N, 32, 32)`.
        first, second: Rows `(P,)` of the miniatures that are compared.
        most: Share above which it does not matter how large it is.

    Returns:
        Shares `(P,)`; infinite where a quarter of the cells has shown that more than `most` of all differ.
    """
    cells, shares = thumbs.reshape(len(thumbs), -1), np.full(len(first), np.inf)
    count = cells.shape[1]
    for start in range(0, len(first), _AT_ONCE):
        one, other = first[start : start + _AT_ONCE], second[start : start + _AT_ONCE]
        means = [np.maximum(cells[rows].mean(axis=1, dtype=np.float64), 1.0) for rows in (one, other)]
        scale = (means[0] / means[1]).astype(np.float32)[:, None]
        maybe = np.flatnonzero(_differing(cells[:, ::4], one, other, scale) <= most * count)
        found = _differing(cells, one[maybe], other[maybe], scale[maybe]) / count
        shares[start + maybe] = found
    return shares


def _differing(cells: np.ndarray, first: np.ndarray, second: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return (np.abs(cells[first] - cells[second] * scale) > 6).sum(axis=1)


def judge(looks: pd.DataFrame, params: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    """Return what may be poor about readable photos, in order of weight.

    Args:
        looks: N rows of `Looks.table`.
        params: Section `clean`.

    Returns:
        By reason: which photos are so `(N,)`, the measured numbers `(N,)`, and a sentence that takes such a number.
    """
    side = looks[["width", "height"]].min(axis=1).to_numpy()
    bright, dark, sharp = (looks[name].to_numpy() for name in ("bright", "dark", "sharpness"))
    least, most_bright, most_dark, least_sharp = (
        params[name] for name in ("min_side", "max_overexposed", "max_underexposed", "min_sharpness")
    )
    return {
        "too_small": (side < least, side, f"The shorter side has {{}} pixels, fewer than {least}."),
        "overexposed": (
            bright > most_bright,
            bright,
            f"A share of {{:.3f}} is nearly white, more than {most_bright}.",
        ),
        "underexposed": (dark > most_dark, dark, f"A share of {{:.3f}} is nearly black, more than {most_dark}."),
        "blurred": (sharp < least_sharp, sharp, f"The sharpness is {{:.2f}}, less than {least_sharp}."),
    }


def look_at_photos(photos: pd.DataFrame, folder: Path, memo: Memo) -> Looks:
    """Return a look at each photo of a table, with all cores, and only at those that the memo does not know.

    Args:
        photos: Columns `path` and `sha256`.
        folder: Folder of the photos.
        memo: Earlier looks (see `looks_memo`).
    """

    def look(photo: tuple[str, str]) -> Look:
        path, sha256 = photo
        if not sha256:
            return Look("missing", "The file could not be read when the photos were ingested.")
        if known := memo.get(key := memo.key(sha256)):
            return Look(**json.loads(known))
        try:
            found = look_at((folder / path).read_bytes())
        except OSError as error:
            return Look("missing", f"The file cannot be read: {error.strerror}.")
        memo.put(key, json.dumps(asdict(found)).encode())
        return found

    paths = zip(photos["path"], photos["sha256"], strict=True)
    return collect_looks(track(parallel_map(look, paths), "clean", len(photos)), len(photos))


def looks_memo() -> Memo:
    """Return the memo of looks; their version is raised whenever `look_at` measures something else."""
    return Memo("look", 2, {"opencv": cv2.__version__})


def shows_nothing(looks: Looks, params: Mapping[str, Any]) -> np.ndarray:
    """Return which of N photos are nearly black, nearly white or flat, so that their likeness tells nothing `(N,)`.

    Black frames of two visits are equal to the last pixel. The share that makes a photo nearly black is
    `max_underexposed`, and the same share of white makes it nearly white (`max_overexposed` is a matter of quality).
    """
    table = looks.table
    return ((table[["bright", "dark"]].max(axis=1) > params["max_underexposed"]) | (table["spread"] < FLAT)).to_numpy()


def content_keys(looks: Looks, params: Mapping[str, Any]) -> pd.Series:
    """Return the hash of each photo's pixels, empty if they cannot be read or show nothing."""
    return looks.table["pixels"].mask(shows_nothing(looks, params), "")


def names_alone(photos: pd.DataFrame, claims: pd.DataFrame) -> pd.Series:
    """Return of each photo the one individual that its claims name; `unknown` if they name none or several."""
    named = claims.loc[claims["identity"] != UNKNOWN, ["image_id", "identity"]].drop_duplicates()
    named = named.drop_duplicates("image_id", keep=False).set_index("image_id")["identity"]
    return photos["image_id"].map(named).fillna(UNKNOWN)


def clean_photos(
    photos: pd.DataFrame,
    looks: Looks,
    belonging: pd.DataFrame,
    names: pd.Series,
    params: Mapping[str, Any],
    curated: bool,
) -> Cleaned:
    """Sort photos into kept and rejected.

    Damaged and poor photos are rejected, and copies as `duplicates` and `near_duplicates` say (drop or keep). In a
    curated data set only what cannot be read is rejected. Whatever is kept nonetheless has the reason among its flags.
    Of copies the one stays that has a name and a date, then the first by image_id. A near duplicate is a photo of one
    encounter and camera whose hash differs from that of a kept one by at most `near_duplicate_bits`, and in which at
    most `near_duplicate_change` of the cells have changed. Photos that show nothing (`shows_nothing`) are no copies.

    Args:
        photos: N rows of data/photos.csv.
        looks: N looks, in the same order.
        belonging: N rows, in the same order: `place, night, encounter, rests_on`.
        names: The individual of each, as far as one alone is named; else `unknown`.
        params: Section `clean`.
        curated: Whether people have chosen the photos.

    Returns:
        `kept` has the columns of photos.csv, width, height, phash (empty where nothing is shown), those of `belonging`,
        and flags; `copies` has `image_id, copy_of, kind` of all copies, kept or not, and `copy_of` always stays.
        Of the counts, `name_conflicts` are copies that have another name than what they repeat.

    Raises:
        PelageError: A parameter is none of its words, or no photo is left.
    """
    drop = {
        reason: choose(params[f"{reason}s"], ("drop", "keep"), f"clean.{reason}s") == "drop" and not curated
        for reason in COPIES
    }
    table, blank = looks.table, shows_nothing(looks, params)
    ids, name = photos["image_id"].to_numpy(object), names.to_numpy(object)
    reason, detail = (table[column].to_numpy(object, copy=True) for column in ("reason", "detail"))
    read = np.isin(reason, ("", "damaged"))
    marks = {"wrong_extension": _wrong_extension(photos["path"], table["kind"]), "damaged": reason == "damaged"}
    if curated:
        reason[marks["damaged"]] = ""
    for poor, (rows, numbers, sentence) in judge(table, params).items():
        marks[poor] = rows & read
        if not curated:
            _reject(
                np.flatnonzero(marks[poor]), poor, [sentence.format(n) for n in numbers[marks[poor]]], reason, detail
            )

    copies = find_copies(photos, looks, belonging["encounter"], names, params, (reason != "") | blank)
    row, first = copies["row"].to_numpy(), copies["first"].to_numpy()
    stays = np.arange(len(photos))
    near = (copies["kind"] == "near_duplicate").to_numpy()
    if drop["near_duplicate"]:
        stays[row[near]] = first[near]
    stays = stays[first]  # what an exact copy repeats may repeat another one itself
    conflict = (name[row] != name[stays]) & (name[row] != UNKNOWN) & (name[stays] != UNKNOWN)
    for kind in COPIES:
        found = np.flatnonzero((copies["kind"] == kind).to_numpy())
        marks[kind] = np.zeros(len(photos), bool)
        marks[kind][row[found]] = True
        if drop[kind]:
            sentences = [
                sentence + ("" if mine == its else f" There it is {its!r}, here {mine!r}.")
                for sentence, mine, its in zip(
                    _copy_sentences(copies.iloc[found], stays[found], ids),
                    name[row[found]],
                    name[stays[found]],
                    strict=True,
                )
            ]
            _reject(row[found], kind, sentences, reason, detail)

    keep = reason == ""
    if not keep.any():
        counted = pd.Series(reason).value_counts(sort=True)
        told = ", ".join(f"{count} {word}" for word, count in counted.items())
        raise PelageError(
            f"data/photos.csv: all {len(photos)} photos are rejected ({told}). Look at the photos; loosen the section "
            "clean of params.yaml, or set curated: true for the data set if people have chosen them."
        )
    kept = photos[keep].assign(
        width=table["width"].to_numpy()[keep],
        height=table["height"].to_numpy()[keep],
        phash=[
            "" if nothing else f"{bits:016x}" for bits, nothing in zip(table["phash"][keep], blank[keep], strict=True)
        ],
        **{column: belonging[column].to_numpy()[keep] for column in ("place", "night", "encounter", "rests_on")},
        flags=_flags(photos, marks)[keep],
    )
    rejected = pd.DataFrame({"image_id": ids, "path": photos["path"].to_numpy(), "reason": reason, "detail": detail})
    counts = {
        "photos": len(photos),
        "kept": int(keep.sum()),
        "rejected": {word: int((reason == word).sum()) for word in REASONS},
        "flags": {flag: int(marks[flag][keep].sum()) for flag in FLAGS},
        "name_conflicts": int(conflict.sum()),
        "show_nothing": int((blank & keep).sum()),
    }
    told = pd.DataFrame({"image_id": ids[row], "copy_of": ids[stays], "kind": copies["kind"].to_numpy()})
    return Cleaned(kept, rejected.loc[~keep, REJECTED_COLUMNS].astype(str), told, counts)


def _wrong_extension(paths: pd.Series, kinds: pd.Series) -> np.ndarray:
    suffixes = paths.str.lower().str.extract(r"(\.[^./]*)$")[0].reset_index(drop=True)
    right = kinds == ""
    for kind, allowed in _SUFFIXES.items():
        right = right | (kinds.eq(kind) & suffixes.isin(allowed))
    return ~right.to_numpy()


def _reject(rows: np.ndarray, why: str, sentences: list[str], reason: np.ndarray, detail: np.ndarray) -> None:
    """Note a reason, and a sentence each, for rows that have none yet."""
    new = reason[rows] == ""
    reason[rows[new]] = why
    detail[rows[new]] = np.array(sentences, object)[new]


def _copy_sentences(copies: pd.DataFrame, stays: np.ndarray, ids: np.ndarray) -> list[str]:
    """Return a sentence on each of C copies of one kind; `stays` `(C,)` are the rows of photos that stay for them."""
    first, stays = ids[copies["first"].to_numpy()], ids[stays]
    if (copies["kind"] == "duplicate").all():
        return [
            f"The pixels are those of {other!r}" + ("." if other == last else f", which repeats {last!r}.")
            for other, last in zip(first, stays, strict=True)
        ]
    return [
        f"It repeats {other!r}: {bits} bits of the hash and a share of {changed:.3f} of the picture differ."
        for other, bits, changed in zip(first, copies["bits"], copies["changed"], strict=True)
    ]


def _flags(photos: pd.DataFrame, marks: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the words of the flags of each photo: those that it had, then those of `marks`."""
    code = sum(marks[flag].astype(np.int64) << bit for bit, flag in enumerate(FLAGS))
    words = {
        own: " ".join(flag for bit, flag in enumerate(FLAGS) if own >> bit & 1) for own in np.unique(code).tolist()
    }
    own = pd.Series(code).map(words).to_numpy(object)
    had = photos["flags"].to_numpy(object) if "flags" in photos else np.full(len(photos), "", object)
    both = (had != "") & (own != "")
    return np.where(both, had + " " + own, had + own)


def find_copies(
    photos: pd.DataFrame,
    looks: Looks,
    encounter: pd.Series,
    names: pd.Series,
    params: Mapping[str, Any],
    left_out: np.ndarray,
) -> pd.DataFrame:
    """Return the photos that repeat another one.

    Args:
        photos, looks, encounter, names, params: See `clean_photos`.
        left_out: Photos that are asked for nothing `(N,)`.

    Returns:
        `row` (of the copy), `first` (row of what it repeats), `kind`, and of near duplicates `bits` and `changed`: how
        many bits of the hash and what share of the cells differ. Exact copies come first.
    """
    rank = pd.DataFrame(
        {
            "unknown": names.to_numpy() == UNKNOWN,
            "undated": photos["date"].to_numpy() == "",
            "image_id": photos["image_id"].to_numpy(),
        }
    )
    order = rank[~left_out].sort_values(["unknown", "undated", "image_id"], kind="stable").index.to_numpy()
    content = pd.factorize(looks.table["pixels"].to_numpy()[order])[0]
    first = order[np.unique(content, return_index=True)[1]][content]
    repeats = first != order
    exact = pd.DataFrame({"row": order[repeats], "first": first[repeats], "kind": "duplicate"})

    rows = order[~repeats]
    visit = pd.DataFrame({"encounter": encounter.to_numpy()[rows], "camera": photos["camera"].to_numpy()[rows]})
    visit = visit.groupby(["encounter", "camera"], sort=False).ngroup().to_numpy()
    near = _near_copies(rows, visit, looks, params["near_duplicate_bits"], params["near_duplicate_change"])
    return pd.concat([exact, near.assign(kind="near_duplicate")], ignore_index=True)


def _near_copies(rows: np.ndarray, visit: np.ndarray, looks: Looks, most_bits: int, most_change: float) -> pd.DataFrame:
    """Return near duplicates among photos of equal `visit`, earlier rows first: `row, first, bits, changed`.

    In each round the first photo left of every visit stays, and what repeats it goes. So each photo is a copy of the
    first one that stays and that it repeats, and all visits are compared at once.
    """
    order = np.argsort(visit, kind="stable")
    rows, visit, phash = rows[order], visit[order], looks.table["phash"].to_numpy()
    found = []
    while len(rows):
        starts = np.diff(visit, prepend=-1) != 0
        leader = rows[starts][np.cumsum(starts) - 1]
        rows, visit, leader = rows[~starts], visit[~starts], leader[~starts]
        bits = np.bitwise_count(phash[rows] ^ phash[leader])
        close = np.flatnonzero(bits <= most_bits)
        changed = changed_shares(looks.thumbs, leader[close], rows[close], most_change)
        same = changed <= most_change
        copies = close[same]
        found.append((rows[copies], leader[copies], bits[copies], changed[same]))
        left = np.ones(len(rows), bool)
        left[copies] = False
        rows, visit = rows[left], visit[left]
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)] if found else [np.zeros(0, np.int64)] * 4
    return pd.DataFrame(dict(zip(("row", "first", "bits", "changed"), columns, strict=True)))
