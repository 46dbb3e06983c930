"""Features of crops in files: computed once a crop on all cores, and memoised.

Every kind of matcher has features of its own, a frozen dataclass of arrays (and `size`, the crop's width and height in
the features' pixels). How they are found, kept and recalled is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from io import BytesIO
from typing import TypeVar

import numpy as np

from pelage.common.images import to_rgb
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.parallel import parallel_map
from pelage.common.progress import track

F = TypeVar("F")


def read_features(
    kind: type[F],
    extract: Callable[[np.ndarray, np.ndarray], F],
    memo: Memo,
    crops: Packs,
    masks: Packs,
    files: Sequence[str],
) -> list[F]:
    """Extract the features of crops in files, or recall them from the memo.

    Args:
        kind: Dataclass that `extract` returns.
        extract: Finds the features of an RGB crop `(H, W, 3)` and its mask `(H, W)`, both uint8.
        memo: Where they are kept; it depends on all settings of `extract`.
        crops: Crops of one part.
        masks: Their masks, of the same names.
        files: Names that are in both.

    Returns:
        The features of each file.
    """

    def features_of(file: str) -> F:
        key = memo.key(crops.sha256(file), masks.sha256(file))
        stored = memo.get(key)
        if stored is not None:
            return _unpack(kind, stored)
        features = extract(to_rgb(crops.image(file)), masks.image(file))
        memo.put(key, _pack(features))
        return features

    return list(track(parallel_map(features_of, files), "keypoints", len(files)))


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
