"""Leakage report: does anything that train holds also stand in val or test?

Checks the finished table and not the way it was made, so it holds for drawn, published and edited splits alike.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from pelage.catalogue.belonging import groups, sightings
from pelage.catalogue.clocks import right_dates
from pelage.catalogue.look_alikes import hash_values, near_pairs
from pelage.common.errors import PelageError
from pelage.common.tables import UNKNOWN
from pelage.split.protocols import PROTOCOLS, ProtocolSet, protocol_sets

SPLIT = "data/split.csv"
NAMED = 3
QUERIES = ("val", "test")
FACTS = ["encounter", "place", "night", "camera", "station", "date", "sha256", "phash", "rests_on"]
"""Columns of `data/clean.csv` by which a split is checked, whatever it says itself."""

LEAK_COLUMNS = ["kind", "subsets", "what", "first", "second"]
PUBLISHED_KINDS = {
    "encounters_across_subsets": "encounters stand in two subsets",
    "exact_duplicates_across_subsets": "file contents stand in two subsets",
    "near_duplicates_across_subsets": "pairs of near-equal views of one individual stand in two subsets",
    "groups_across_subsets": "sightings (one individual, one place, one night or soon after) stand in two subsets",
}
KINDS = {
    "photos_across_subsets": "photos stand in two subsets",
    **PUBLISHED_KINDS,
    "groups_divided": "groups of what belongs together have several names in the column group",
    "novel_individuals_in_train": "individuals called novel (known is False) have train crops",
    "novel_individuals_in_val_and_test": "novel individuals stand in val and in test",
}


def join_facts(
    split: pd.DataFrame, photos: pd.DataFrame, clocks: pd.DataFrame, bits: int, revisit_gap_s: float
) -> pd.DataFrame:
    """Return the crops of a split with what the photos tell of them, and what belongs together worked out anew.

    Args:
        split: Rows of `data/split.csv`.
        photos: Rows of `data/clean.csv`.
        clocks: Rows of `data/clocks.csv`.
        bits: Hamming distance up to which two photos of one individual are the same view.
        revisit_gap_s: Seconds within which an individual that comes back to a place is one sighting.

    Returns:
        The crops of known individuals, in `crop_id` order, with the columns `FACTS` of the photos in place of their
        own, `true_group` as `groups` makes it, and `sighting`: a name for it, or empty where there is no date.

    Raises:
        PelageError: A photo is gone.
    """
    facts = photos[["image_id", *FACTS]].assign(right=right_dates(photos, clocks))
    rows = split[split["identity"] != UNKNOWN].drop(columns=FACTS, errors="ignore")
    rows = rows.merge(facts, on="image_id", how="left").sort_values("crop_id", ignore_index=True)
    lost = rows["phash"].isna()
    if lost.any():
        raise PelageError(
            f"{SPLIT}: the photo {rows.loc[lost, 'image_id'].iloc[0]!r} is not in data/clean.csv. "
            "Run the stage split again."
        )
    seen = rows.assign(date=rows["right"])
    first = rows.groupby(sightings(seen, revisit_gap_s))[["identity", "place", "right"]].transform("first")
    name = first["identity"] + " at " + first["place"] + " " + first["right"]
    return rows.assign(true_group=groups(seen, bits, revisit_gap_s), sighting=name.where(rows["right"] != "", ""))


def find_leaks(rows: pd.DataFrame, bits: int) -> pd.DataFrame:
    """List what makes a split worthless.

    A photo of another individual that looks the same is no leak: on a fixed camera the background decides the hash
    (`leakage_metrics` counts such pairs).

    Args:
        rows: As `join_facts` returns them.
        bits: Hamming distance up to which two photos of one individual are the same view.

    Returns:
        One row a leak: `kind` (a key of `KINDS`), `subsets` (such as `test train`), `what` leaks, and the crops
        `first` and `second` on either side. Of near-equal views there is one row for two hashes of an individual,
        however many photos have them.
    """
    known, rows = rows, rows[rows["subset"] != "none"]
    novel = rows[rows["identity"].isin(rows.loc[~rows["known"], "identity"])]
    individuals = _shared(novel, "identity", "novel_individuals_in_train")
    individuals.loc[individuals["subsets"] == "test val", "kind"] = "novel_individuals_in_val_and_test"
    return pd.concat(
        [
            _shared(rows, "image_id", "photos_across_subsets"),
            _shared(rows, "encounter", "encounters_across_subsets"),
            _shared(rows[rows["sha256"] != ""], "sha256", "exact_duplicates_across_subsets"),
            _shared_views(rows, bits),
            _shared(rows[rows["sighting"] != ""], "sighting", "groups_across_subsets"),
            _divided_groups(known),
            individuals,
        ],
        ignore_index=True,
    )


def leakage_metrics(rows: pd.DataFrame, bits: int, leaks: pd.DataFrame) -> dict[str, int | float | None]:
    """Count leaks, and what is no leak but worth knowing.

    Args:
        rows, bits: As in `find_leaks`.
        leaks: What `find_leaks` returned.

    Returns:
        The number of leaks of each kind, and:

        * `queries_resting_on_nothing`, `share_resting_on_nothing`: queries of val and test whose encounter rests on
          nothing (see `refuse_unfounded`);
        * `look_alike_pairs_of_two_individuals`: near-equal photos of different individuals in two subsets;
        * `same_camera_day_pairs`, `same_camera_day_pairs_of_one_individual`: pairs of photos in two subsets that one
          camera took on one day;
        * `own_encounter_share_<protocol>`: share of queries with a gallery photo of their own group (encounter, night,
          copy) that the protocol lets answer (None without queries).
    """
    rows = rows[rows["subset"] != "none"]
    counts = leaks["kind"].value_counts()
    metrics: dict[str, int | float | None] = {kind: int(counts.get(kind, 0)) for kind in KINDS}
    unfounded = _unfounded(rows)
    metrics["queries_resting_on_nothing"] = int(unfounded.sum())
    metrics["share_resting_on_nothing"] = round(float(unfounded.mean()), 4) if len(unfounded) else None
    metrics["look_alike_pairs_of_two_individuals"] = _look_alike_pairs(rows, bits)
    taken = rows.drop_duplicates(["image_id", "subset"]).assign(day=rows["date"].str[:10])
    taken = taken[(taken["camera"] != "") & (taken["day"] != "")]
    metrics["same_camera_day_pairs"] = _cross_pairs(taken, ["camera", "day"])
    metrics["same_camera_day_pairs_of_one_individual"] = _cross_pairs(taken, ["camera", "day", "identity"])
    readings = [protocol_sets(rows, part) for part in sorted(set(rows["part"]))]
    for protocol in PROTOCOLS:
        found = np.concatenate([np.zeros(0, bool), *(_own_group(reading[protocol]) for reading in readings)])
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


def refuse_unfounded(rows: pd.DataFrame, most: float, excused: bool) -> None:
    """Raise `PelageError` where of too many queries nothing tells which photos were taken with them.

    The frames of such a visit may stand on both sides of the split, and no check can see it.

    Args:
        rows: As `join_facts` returns them.
        most: Largest share of the queries, val and test together.
        excused: The split is a published one that is known to leak.
    """
    unfounded = _unfounded(rows)
    if excused or not len(unfounded) or unfounded.mean() <= most:
        return
    image = rows.loc[unfounded.index[unfounded], "image_id"].iloc[0]
    raise PelageError(
        f"{SPLIT}: of {int(unfounded.sum())} of {len(unfounded)} queries (crops of val and test, such as those of the "
        f"photo {image!r}) nothing tells which photos were taken with them: they have no date, encounter or sequence, "
        "and their file names have no number that runs on. Photos of one burst may so stand in train and test, and "
        "scores be far too good. Fill in one of the columns date, sequence and encounter of the source; or, if each "
        "photo is of a visit of its own, raise check_leakage.max_resting_on_nothing in params.yaml, which is "
        f"{most}."
    )


def _unfounded(rows: pd.DataFrame) -> pd.Series:
    return rows.loc[rows["subset"].isin(QUERIES), "rests_on"] == "nothing"


def _divided_groups(known: pd.DataFrame) -> pd.DataFrame:
    """Rows of `LEAK_COLUMNS`: what belongs together and has several names in the column `group`."""
    first = known.drop_duplicates(["true_group", "group"]).groupby("true_group")
    one, other = first.nth(0).set_index("true_group"), first.nth(1).set_index("true_group")
    one = one.loc[other.index]
    return pd.DataFrame({
        "kind": "groups_divided",
        "subsets": one["subset"] + " " + other["subset"],
        "what": "group " + other.index,
        "first": one["crop_id"],
        "second": other["crop_id"],
    }).astype(str)  # fmt: skip


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


def _shared_views(rows: pd.DataFrame, bits: int) -> pd.DataFrame:
    """Rows of `LEAK_COLUMNS`: near-equal views of one individual in two subsets, unless all their photos are one file.

    A view is a hash of one individual in one subset.
    """
    rows = rows[rows["phash"] != ""].assign(content=rows["sha256"].where(rows["sha256"] != "", rows["image_id"]))
    views = rows.groupby(["identity", "phash", "subset"], as_index=False).agg(
        image_id=("image_id", "first"), crop_id=("crop_id", "first"), least=("content", "min"), most=("content", "max")
    )
    views = views.sort_values(["subset", "crop_id"], ignore_index=True)
    values, owner = hash_values(views["phash"]), pd.factorize(views["identity"])[0]
    pairs = np.concatenate([np.empty((0, 2), int), *near_pairs(values, bits, owner)])
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    columns = {name: views[name].to_numpy(object) for name in views}
    one, other = ({name: column[side] for name, column in columns.items()} for side in pairs.T)
    one_file = (one["least"] == one["most"]) & (one["least"] == other["least"]) & (other["least"] == other["most"])
    leaks = pd.DataFrame({
        "kind": "near_duplicates_across_subsets",
        "subsets": one["subset"] + " " + other["subset"],
        "what": "photos " + one["image_id"] + " and " + other["image_id"],
        "first": one["crop_id"],
        "second": other["crop_id"],
    })  # fmt: skip
    return leaks[(one["subset"] != other["subset"]) & ~one_file].astype(str)


def _look_alike_pairs(rows: pd.DataFrame, bits: int) -> int:
    """Number of pairs of near-equal photos of different individuals in different subsets that are not one file."""
    rows = rows[rows["phash"] != ""].drop_duplicates(["image_id", "identity", "subset"])
    rows = rows.assign(content=rows["sha256"].where(rows["sha256"] != "", rows["image_id"]))
    of_all, of_one = (_near_cross_pairs(rows, columns, bits) for columns in ([], ["identity"]))
    file = ["content", "phash"]
    return of_all - of_one - _cross_pairs(rows, file) + _cross_pairs(rows, [*file, "identity"])


def _near_cross_pairs(rows: pd.DataFrame, columns: list[str], bits: int) -> int:
    """Number of pairs of near-equal photos that agree in `columns` and stand in different subsets."""
    counts = rows.groupby([*columns, "phash", "subset"]).size().unstack(fill_value=0)
    values = hash_values(pd.Series(counts.index.get_level_values("phash")))
    owner = counts.index.codes[0].astype(np.int64) if columns else None
    counts = counts.to_numpy(np.int64)
    total = counts.sum(1)
    pairs = int((total**2 - (counts**2).sum(1)).sum()) // 2
    for one, other in (block.T for block in near_pairs(values, bits, owner)):
        pairs += int((total[one] * total[other] - (counts[one] * counts[other]).sum(1)).sum())
    return pairs


def _cross_pairs(photos: pd.DataFrame, columns: list[str]) -> int:
    """Number of pairs of photos that agree in `columns` and stand in different subsets."""
    counts = photos.groupby([*columns, "subset"]).size().unstack(fill_value=0).to_numpy()
    return int((counts.sum(1) ** 2 - (counts**2).sum(1)).sum()) // 2


def _own_group(protocol: ProtocolSet) -> np.ndarray:
    """`(Q,)` bool: another photo of what the query truly belongs to stands in the gallery and may answer."""
    queries, gallery = protocol.queries, protocol.gallery
    barred = ["image_id"] if protocol.same_encounter else ["true_group", "group"]
    own, kept_away = (
        gallery.groupby(columns).size().reindex(pd.MultiIndex.from_frame(queries[columns])).fillna(0).to_numpy()
        for columns in (["true_group"], barred)
    )
    return own > kept_away
