"""Leakage report: does anything that train holds also stand in val or test?

Checks the finished table and not the way it was made, so it holds for drawn, published and edited splits alike.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.split.groups import near_duplicate_pairs
from pelage.split.protocols import ProtocolSet, protocol_sets

SPLIT = "data/split.csv"
NAMED = 3
LEAK_COLUMNS = ["kind", "subsets", "what", "first", "second"]
PUBLISHED_KINDS = {
    "encounters_across_subsets": "encounters stand in two subsets",
    "exact_duplicates_across_subsets": "file contents stand in two subsets",
    "near_duplicates_across_subsets": "pairs of near-equal photos of one individual stand in two subsets",
}
KINDS = {
    "photos_across_subsets": "photos stand in two subsets",
    **PUBLISHED_KINDS,
    "novel_individuals_in_train": "individuals called novel (known is False) have train crops",
    "novel_individuals_in_val_and_test": "novel individuals stand in val and in test",
}


def find_leaks(split: pd.DataFrame, photos: pd.DataFrame, bits: int) -> pd.DataFrame:
    """List what makes a split worthless.

    A photo of another individual that looks the same is no leak: on a fixed camera the background decides the hash
    (`leakage_metrics` counts such pairs).

    Args:
        split: Rows of `data/split.csv`.
        photos: Rows of `data/clean.csv`, for `sha256` and `phash`.
        bits: Hamming distance up to which two photos of one individual are the same view.

    Returns:
        One row a leak: `kind` (a key of `KINDS`), `subsets` (such as `test train`), `what` leaks, and the crops
        `first` and `second` on either side.
    """
    rows = _used(split, photos)
    novel = rows[rows["identity"].isin(rows.loc[~rows["known"], "identity"])]
    individuals = _shared(novel, "identity", "novel_individuals_in_train")
    individuals.loc[individuals["subsets"] == "test val", "kind"] = "novel_individuals_in_val_and_test"
    pairs = _look_alikes(rows, bits)
    return pd.concat(
        [
            _shared(rows, "image_id", "photos_across_subsets"),
            _shared(rows, "encounter", "encounters_across_subsets"),
            _shared(rows[rows["sha256"] != ""], "sha256", "exact_duplicates_across_subsets"),
            pairs.loc[pairs["same_identity"], LEAK_COLUMNS],
            individuals,
        ],
        ignore_index=True,
    )


def leakage_metrics(
    split: pd.DataFrame, photos: pd.DataFrame, bits: int, leaks: pd.DataFrame
) -> dict[str, int | float | None]:
    """Count leaks, and what is no leak but worth knowing.

    Args:
        split, photos, bits: As in `find_leaks`.
        leaks: What `find_leaks` returned.

    Returns:
        The number of leaks of each kind, and:

        * `look_alike_pairs_of_two_individuals`: near-equal photos of different individuals in two subsets;
        * `same_camera_day_pairs`, `same_camera_day_pairs_of_one_individual`: pairs of photos in two subsets that one
          camera took on one day;
        * `own_encounter_share_<protocol>`: share of queries with a gallery photo of their own encounter that the
          protocol lets answer (None without queries).
    """
    rows = _used(split, photos)
    pairs = _look_alikes(rows, bits)
    counts = leaks["kind"].value_counts()
    metrics: dict[str, int | float | None] = {kind: int(counts.get(kind, 0)) for kind in KINDS}
    metrics["look_alike_pairs_of_two_individuals"] = int((~pairs["same_identity"]).sum())
    taken = rows.drop_duplicates(["image_id", "subset"]).assign(day=rows["date"].str[:10])
    taken = taken[(taken["camera"] != "") & (taken["day"] != "")]
    metrics["same_camera_day_pairs"] = _cross_pairs(taken, ["camera", "day"])
    metrics["same_camera_day_pairs_of_one_individual"] = _cross_pairs(taken, ["camera", "day", "identity"])
    readings = [protocol_sets(split, part) for part in sorted(set(split["part"]))]
    for protocol in readings[0]:
        found = np.concatenate([_own_encounter(reading[protocol]) for reading in readings])
        metrics[f"own_encounter_share_{protocol}"] = round(float(found.mean()), 4) if found.size else None
    return metrics


def refuse_leaks(leaks: pd.DataFrame, published_leaks: bool) -> None:
    """Raise `PelageError` naming the leaks, a few of each kind.

    Args:
        leaks: What `find_leaks` returned.
        published_leaks: The split is a published one that is known to leak: what its test side shares with its train
            side is left to the report.
    """
    excused = leaks["kind"].isin(PUBLISHED_KINDS) & leaks["subsets"].str.startswith("test")
    leaks = leaks[~(excused & published_leaks)]
    if leaks.empty:
        return
    sentences = []
    for kind, text in KINDS.items():
        found = leaks[leaks["kind"] == kind]
        if len(found):
            named = [
                f"{leak.what} ({first} crop {leak.first}, {second} crop {leak.second})"
                for leak in found.head(NAMED).itertuples()
                for first, second in [leak.subsets.split()]
            ]
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            sentences.append(f"{len(found)} {text}: {', '.join(named)}{more}.")
    raise PelageError(
        f"{SPLIT} leaks. {' '.join(sentences)} Do not edit the table: make it again with the stage split. If a "
        "published split is known to leak, say so with published_leaks: true in the data set's entry of params.yaml."
    )


def _used(split: pd.DataFrame, photos: pd.DataFrame) -> pd.DataFrame:
    rows = split[split["subset"] != "none"].merge(photos[["image_id", "sha256", "phash"]], on="image_id", how="left")
    lost = rows["phash"].isna()
    if lost.any():
        raise PelageError(
            f"{SPLIT}: the photo {rows.loc[lost, 'image_id'].iloc[0]!r} is not in data/clean.csv. "
            "Run the stage split again."
        )
    return rows.sort_values("crop_id", ignore_index=True)


def _shared(rows: pd.DataFrame, column: str, kind: str) -> pd.DataFrame:
    """Rows of `LEAK_COLUMNS`: each value of `column` that stands in two subsets, with the first crop in either."""
    first = rows.groupby([column, "subset"])["crop_id"].min().unstack()
    found = [pd.DataFrame(columns=LEAK_COLUMNS, dtype=str)]
    for one, other in combinations(sorted(first.columns), 2):
        both = first[first[one].notna() & first[other].notna()]
        found.append(
            pd.DataFrame({
                "kind": kind,
                "subsets": f"{one} {other}",
                "what": column.replace("image_id", "photo").replace("sha256", "content") + " " + both.index,
                "first": both[one],
                "second": both[other],
            })
        )  # fmt: skip
    return pd.concat(found, ignore_index=True)


def _look_alikes(rows: pd.DataFrame, bits: int) -> pd.DataFrame:
    """Pairs of different files in two subsets whose hashes differ in at most `bits`; and `same_identity`."""
    taken = rows.drop_duplicates(["image_id", "subset"]).sort_values(["subset", "crop_id"], ignore_index=True)
    columns = {name: taken[name].to_numpy(object) for name in ("subset", "image_id", "sha256", "identity", "crop_id")}
    pairs = near_duplicate_pairs(taken["phash"].tolist(), bits)
    for name in ("subset", "image_id", "sha256"):
        pairs = pairs[columns[name][pairs[:, 0]] != columns[name][pairs[:, 1]]]
    one, other = ({name: values[side] for name, values in columns.items()} for side in pairs.T)
    return pd.DataFrame({
        "kind": "near_duplicates_across_subsets",
        "subsets": one["subset"] + " " + other["subset"],
        "what": "photos " + one["image_id"] + " and " + other["image_id"],
        "first": one["crop_id"],
        "second": other["crop_id"],
        "same_identity": one["identity"] == other["identity"],
    })  # fmt: skip


def _cross_pairs(photos: pd.DataFrame, columns: list[str]) -> int:
    """Number of pairs of photos that agree in `columns` and stand in different subsets."""
    counts = photos.groupby([*columns, "subset"]).size().unstack(fill_value=0).to_numpy()
    return int((counts.sum(1) ** 2 - (counts**2).sum(1)).sum()) // 2


def _own_encounter(protocol: ProtocolSet) -> np.ndarray:
    """`(Q,)` bool: another photo of the query's encounter stands in the gallery and may answer."""
    queries, gallery = protocol.queries, protocol.gallery
    if not protocol.same_encounter:
        return np.zeros(len(queries), bool)
    same = queries["encounter"].map(gallery.groupby("encounter").size()).fillna(0)
    photo = queries["image_id"].map(gallery.groupby("image_id").size()).fillna(0)
    return (same > photo).to_numpy()
