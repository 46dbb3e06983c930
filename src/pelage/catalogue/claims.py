"""One row a photo, one row a claim: what the sources of a data set tell, put together.

Nothing here decides which animal a claim is of; that is done where animals are detected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pelage.catalogue.entries import Source
from pelage.catalogue.names import id_from_path
from pelage.catalogue.schema import OF_CLAIMS, OF_PHOTOS, SPELLED, Checked, Rejected
from pelage.catalogue.words import one_spelling
from pelage.common.tables import UNKNOWN

PHOTO_COLUMNS = ("image_id", "path", *OF_PHOTOS, "source", "sha256", "flags")
"""Columns of `data/photos.csv`, in this order, before those that only this data set has."""

CLAIM_COLUMNS = ("image_id", "claim", *OF_CLAIMS, "row")
"""Columns of `data/claims.csv`."""

CLOCK_SUSPECT = "clock_suspect"
"""Flag of a photo whose date cannot be trusted."""


@dataclass(frozen=True)
class Told:
    """What a data set tells.

    Attributes:
        photos: One row a file, sorted by image_id: `PHOTO_COLUMNS` (`sha256` still empty) and the sources' own.
        claims: One row a claim, sorted by image_id and claim.
        rejected: Rows and cells that are not used.
        counts: What is to be reported.
        origins: Path below its source's root of each photo.
    """

    photos: pd.DataFrame
    claims: pd.DataFrame
    rejected: list[Rejected]
    counts: dict[str, int]
    origins: pd.Series


def put_together(sources: Sequence[Source], checked: Sequence[Checked]) -> Told:
    """Put the sources of a data set together.

    Where a data set has several sources, ids and encounters begin with the source's name, and photos lie in a folder of
    that name; individuals, stations and cameras of the same name are the same. A photo that is listed several times is
    one photo with several claims, its id the least of those given; a cell on which the rows disagree is emptied. An id
    that several photos have is made different by the photo's path, for all of them.
    """
    counts: dict[str, int] = {}
    rejected: list[Rejected] = []
    tables = []
    for source, one in zip(sources, checked, strict=True):
        for what, number in one.counts.items():
            counts[what] = counts.get(what, 0) + number
        begins = f"{source.folder}-" if source.folder else ""
        rejected += [
            (begins + image_id if image_id else "", f"{source.folder}/{path}" if source.folder else path, reason, said)
            for image_id, path, reason, said in one.rejected
        ]
        rows = one.rows.assign(source=source.name, origin=one.rows["path"])
        if source.folder:
            rows["path"] = source.folder + "/" + rows["path"]
            for column in ("image_id", "encounter"):
                rows[column] = rows[column].where(rows[column] == "", begins + rows[column])
        tables.append(rows)
    table = pd.concat(tables, ignore_index=True)
    table = table.fillna(dict.fromkeys(table.columns.drop("suspect"), ""))
    counts["spellings"] = 0
    for column in SPELLED:
        spelled = one_spelling(table[column])
        for raw, name_ in spelled.merged.items():
            rejected.append(("", "", "spelling", f"{column} {raw!r} is read as {name_!r}"))
        counts["spellings"] += len(spelled.merged)
        table[column] = spelled.column
    table["image_id"], repeated = _photo_ids(table)
    counts["repeated_ids"] = len(repeated)
    rejected += repeated
    photos, disagreeing = _photos(table)
    counts["disagreeing_cells"] = len(disagreeing)
    rejected += disagreeing
    claims, same = _claims(table)
    counts["repeated_rows"] = len(same)
    rejected += same
    own = [column for column in photos if column not in (*PHOTO_COLUMNS, "origin")]
    photos = photos.assign(sha256="")
    return Told(photos[[*PHOTO_COLUMNS, *own]], claims, rejected, counts, photos["origin"])


def _photo_ids(table: pd.DataFrame) -> tuple[pd.Series, list[Rejected]]:
    """Return the id of each row's photo, and which ids had to be changed because several photos had them."""
    own = table["image_id"].where(table["image_id"] != "")
    ids = own.groupby(table["path"]).min()
    paths = ids.index.to_series()
    from_path = pd.Series(id_from_path(paths.tolist()), ids.index)
    ids = ids.fillna(from_path)
    repeated = ids.duplicated(keep=False)
    made = ids.where(~repeated, ids + "-" + from_path)
    made = made.where(~made.duplicated(keep=False), ids + "-" + paths)
    made = made.where(~made.duplicated(keep=False), paths)
    changed = [
        (
            made[path],
            path,
            "repeated",
            f"the image_id {ids[path]!r} is given to several photos; this one's is made longer",
        )
        for path in ids.index[repeated]
    ]
    return table["path"].map(made), changed


def _photos(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Rejected]]:
    """Return one row a photo, and the cells on which its rows disagree (which are emptied)."""
    photos = table.drop(columns=[*OF_CLAIMS, "row", "suspect"])
    several = table["image_id"].duplicated(keep=False)
    rejected: list[Rejected] = []
    if several.any():
        listed = photos[several]
        asked = [column for column in photos if column not in ("image_id", "path", "source", "origin")]
        grouped = listed[asked].where(listed[asked] != "").groupby(listed["image_id"], sort=True)
        first, different = grouped.first().fillna(""), grouped.nunique() > 1
        paths = listed.drop_duplicates("image_id").set_index("image_id")["path"]
        for column in asked:
            here = listed["image_id"].isin(different.index[different[column]])
            for image_id, said in listed.loc[here, column].groupby(listed["image_id"]):
                words = " and ".join(repr(text) for text in sorted(set(said) - {""})[:3])
                rejected.append(
                    (image_id, paths[image_id], "conflict", f"rows of this photo disagree on {column}: {words}")
                )
        merged = first.mask(different, "")
        photos = photos.drop_duplicates("image_id").set_index("image_id")
        photos.loc[merged.index, asked] = merged
        photos = photos.reset_index()
    suspect = table.groupby("image_id")["suspect"].any()
    photos["flags"] = np.where(photos["image_id"].map(suspect).astype(bool), CLOCK_SUSPECT, "")
    return photos.sort_values("image_id", ignore_index=True), rejected


def _claims(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Rejected]]:
    """Return the claims, and the rows that repeat another one."""
    same = table.duplicated(["image_id", *OF_CLAIMS])
    repeated = [
        (row.image_id, row.path, "repeated", f"{row.row}: it says of the photo what another row says")
        for row in table[same].itertuples()
    ]
    told = (table[["bbox", "species"]] != "").any(axis=1) | (table[["identity", "orientation"]] != UNKNOWN).any(axis=1)
    claims = table[told & ~same].sort_values("image_id", kind="stable", ignore_index=True)
    claims["claim"] = claims.groupby("image_id").cumcount()
    return claims[list(CLAIM_COLUMNS)], repeated
