"""Summary: the numbers of the insight that are committed."""

from __future__ import annotations

from typing import Any

import pandas as pd


def summary(pairs: pd.DataFrame, classes: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics; None where nothing was explained or inverted.

    Args:
        pairs: `attention.EXPLAINED_COLUMNS`.
        classes: `inversion.CLASS_COLUMNS`.

    Returns:
        `exact`: whether the places of a map add up to its cosine. `right`, `wrong`: pairs, their mean cosine, and the
        share of what speaks for the match that lies on the animal, beside the animal's share of the crop. `inverted`:
        classes, the mean cosine of inverted images to their own and to the nearest other class, that of the class's
        own photos, and the share of inverted images that are nearest to their own class.
    """
    numbers: dict[str, Any] = {"exact": bool(pairs["exact"].all())}
    for name, mine in (("right", pairs[pairs["right"]]), ("wrong", pairs[~pairs["right"]])):
        means = {column: _mean(mine[column]) for column in ("cosine", "on_animal", "animal")}
        numbers[name] = {"pairs": len(mine), **means}
    means = {column: _mean(classes[column]) for column in ("cosine", "next_cosine", "photos_cosine")}
    told_apart = _mean((classes["cosine"] > classes["next_cosine"]).astype(float))
    numbers["inverted"] = {"classes": len(classes), **means, "told_apart": told_apart}
    return numbers


def _mean(values: pd.Series) -> float | None:
    mean = values.mean()
    return None if pd.isna(mean) else round(float(mean), 4)
