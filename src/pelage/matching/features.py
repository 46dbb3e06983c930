"""Features of crops in files: computed once a crop on all cores, or many crops at a time on a GPU, and memoised.

Every kind of matcher has features of its own, a frozen dataclass of arrays (and `size`, the crop's width and height in
the features' pixels). How they are found, kept and recalled is the same for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from typing import Any, Generic, TypeVar

import numpy as np

from pelage.common.images import to_rgb
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.parallel import parallel_map
from pelage.common.progress import track

F = TypeVar("F")
P = TypeVar("P")


@dataclass(frozen=True)
class Together(Generic[P, F]):
    """How crops that are only prepared by threads get their features, several at a time and one lot after another.

    Attributes:
        most: Crops of a lot.
        alike: Crops of which this is equal may be in one lot.
        finish: Finds the features of a lot.
    """

    most: int
    alike: Callable[[P], Hashable]
    finish: Callable[[Sequence[P]], Sequence[F]]


def read_features(
    kind: type[F],
    extract: Callable[[np.ndarray, np.ndarray], F | P],
    memo: Memo,
    crops: Packs,
    masks: Packs,
    files: Sequence[str],
    together: Together[P, F] | None = None,
) -> list[F]:
    """Extract the features of crops in files, or recall them from the memo.

    Args:
        kind: Dataclass of features.
        extract: Finds the features of an RGB crop `(H, W, 3)` and its mask `(H, W)`, both uint8; by threads.
        memo: Where they are kept; it depends on all settings of `extract`.
        crops: Crops of one part.
        masks: Their masks, of the same names.
        files: Names that are in both.
        together: Where `extract` only prepares a crop, how it goes on.

    Returns:
        The features of each file.
    """

    def begin(file: str) -> tuple[str, F | P]:
        key = memo.key(crops.sha256(file), masks.sha256(file))
        stored = memo.get(key)
        if stored is not None:
            return key, _unpack(kind, stored)
        begun = extract(to_rgb(crops.image(file)), masks.image(file))
        if isinstance(begun, kind):
            memo.put(key, _pack(begun))
        return key, begun

    found: list[Any] = []
    lots: dict[Hashable, list[tuple[int, str]]] = defaultdict(list)  # places in `found` and keys of those that wait

    def finish(lot: list[tuple[int, str]]) -> None:
        for (place, key), features in zip(lot, together.finish([found[place] for place, _ in lot]), strict=True):
            memo.put(key, _pack(features))
            found[place] = features
        lot.clear()

    for place, (key, begun) in enumerate(track(parallel_map(begin, files), "keypoints", len(files))):
        found.append(begun)
        if not isinstance(begun, kind):
            lot = lots[together.alike(begun)]
            lot.append((place, key))
            if len(lot) == together.most:
                finish(lot)
    for lot in filter(None, lots.values()):
        finish(lot)
    return found


def told_without_mask(files: Iterable[str], fell_back: Iterable[str]) -> tuple[int, str]:
    """Count the crops whose mask is but the animal's box, for a method that looks for the coat within masks.

    Args:
        files: Names of the crops that are matched.
        fell_back: Column `path` of `data/rejected/background_PART.csv`.

    Returns:
        Their number, and a warning; the warning is empty if there are none.
    """
    files, fell_back = list(files), set(fell_back)
    count = sum(file in fell_back for file in files)
    if not count:
        return 0, ""
    share = f"{count} of {len(files)} crops ({count / len(files):.0%})"
    told = f"{share} have no mask but the animal's box or the whole crop, so background is matched as well"
    return count, f"{told} (data/rejected/background_*.csv says why)"


def _pack(features: F) -> bytes:
    buffer = BytesIO()
    np.savez(buffer, **{field.name: getattr(features, field.name) for field in fields(features)})
    return buffer.getvalue()


def _unpack(kind: type[F], data: bytes) -> F:
    with np.load(BytesIO(data)) as stored:
        arrays = {field.name: stored[field.name] for field in fields(kind)}
    return kind(**arrays | {"size": tuple(arrays["size"].tolist())})
