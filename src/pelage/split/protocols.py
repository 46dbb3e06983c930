"""How one split is read: which crops ask (queries), which may answer (gallery), and which pairs are barred.

Five readings of `data/split.csv` judge methods: validation, pseudo_novel, closed, open and disjoint. All methods are
searched and judged by them. Three more ask who the queries are as if nobody had named any of them: practice, rehearsal
and survey. Only the methods of the fusion answer these.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.tables import UNKNOWN, read_table

OPPOSITE = {"left": "right", "right": "left"}
PSEUDO_NOVEL = "pseudo_novel"
PROTOCOLS = ("validation", PSEUDO_NOVEL, "closed", "open", "disjoint")
PRACTICE, REHEARSAL, SURVEY = ASKED = ("practice", "rehearsal", "survey")
SPLIT_COLUMNS = [
    "crop_id", "image_id", "part", "identity", "label", "encounter", "group", "place", "night", "camera", "station",
    "date", "orientation", "subset", "known", "gallery", "published",
]  # fmt: skip


@dataclass(frozen=True)
class ProtocolSet:
    """Queries and gallery of one protocol: rows of the split table in `crop_id` order; either may be empty.

    Attributes:
        queries: Crops to be identified.
        gallery: Crops whose identity is told.
        same_encounter: Whether a query may be answered by a photo of its own group (encounter, night, copy). Only the
            closed and open protocols of a published split say so, because their published numbers were made that way.
        own_individual: Whether a query may be answered by photos of its own individual; otherwise it is asked as if the
            gallery did not have it.
        named: Whether queries that stand in the gallery, too, answer others with their name.
    """

    queries: pd.DataFrame
    gallery: pd.DataFrame
    same_encounter: bool = False
    own_individual: bool = True
    named: bool = True

    @property
    def names(self) -> np.ndarray:
        """Whom the gallery crops show as far as a method may know, `(G,)`; what has no name is somebody of its own."""
        crops, identity = (self.gallery[column].to_numpy(object) for column in ("crop_id", "identity"))
        nobody = identity == UNKNOWN
        if not self.named:
            nobody |= self.gallery["crop_id"].isin(self.queries["crop_id"]).to_numpy()
        return np.where(nobody, crops, identity)

    def may_answer(
        self, queries: pd.DataFrame, gallery: pd.DataFrame, same_side: bool = False, paired: bool = False
    ) -> np.ndarray:
        """Tell which of some gallery crops may answer which of some queries, `(Q, G)` bool; see `allowed`."""
        may = allowed(queries, gallery, self.same_encounter, same_side, paired)
        return may if self.own_individual else may & ~_equal(queries["identity"], gallery["identity"], paired)

    def relevant(self, queries: pd.DataFrame, gallery: pd.DataFrame) -> np.ndarray:
        """Tell which of some gallery crops the metrics of some queries need, whatever their rank, `(Q, G)` bool.

        Those of the query's individual: right answers, and what counts for nothing because it shows the other flank.
        Where nobody has a name, nothing is judged by ranks.
        """
        if not self.named:
            return np.zeros((len(queries), len(gallery)), bool)
        return _equal(queries["identity"], gallery["identity"])


def read_split(path: Path) -> pd.DataFrame:
    """Read `data/split.csv`, with `known`, `gallery` and `published` as booleans."""
    numbers = {"known": bool, "gallery": bool, "published": bool}
    return read_table(path, numbers=numbers, required=[column for column in SPLIT_COLUMNS if column != "published"])


def protocol_sets(split: pd.DataFrame, part: str) -> dict[str, ProtocolSet]:
    """Return the protocols of one part, in the order of `PROTOCOLS`.

    * validation: `val` crops against `train` crops; thresholds and early stopping use this one and nothing else.
    * pseudo_novel: the same queries, each with its own individual barred, so that whoever it shows is new. What such a
      query's best answer scores tells where the line between known and new lies. Methods search anew, for what a photo
      scores may depend on who else is in the gallery.
    * closed: `test` crops of known individuals against the gallery.
    * open: all `test` crops against the gallery; some individuals are new to it.
    * disjoint: `test` crops of novel individuals against one another. With a single novel individual there is no
      wrong answer, so the protocol is then empty.

    Args:
        split: Rows of `data/split.csv`; a missing column `published` means a drawn split.
        part: `flank` or `face`.
    """
    rows = split[split["part"] == part].sort_values("crop_id", ignore_index=True)
    published = "published" in rows and bool(rows["published"].any())
    test = rows[rows["subset"] == "test"]
    gallery = rows[rows["gallery"]]
    novel = test[~test["known"]]
    if novel["identity"].nunique() < 2:
        novel = novel.iloc[:0]
    sets = {
        "validation": (rows[rows["subset"] == "val"], rows[rows["subset"] == "train"], False),
        PSEUDO_NOVEL: (rows[rows["subset"] == "val"], rows[rows["subset"] == "train"], False),
        "closed": (test[test["known"]], gallery, published),
        "open": (test, gallery, published),
        "disjoint": (novel, novel, False),
    }
    return {
        name: ProtocolSet(
            queries.reset_index(drop=True), candidates.reset_index(drop=True), same_encounter, name != PSEUDO_NOVEL
        )
        for name, (queries, candidates, same_encounter) in sets.items()
    }


def read_asked(path: Path) -> list[str]:
    """Read which of the protocols `ASKED` a method answers: a file of the folder `data/asked`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise PelageError(f"{path} is missing or torn ({error}). Run the stage ask.") from error


def asked_sets(split: pd.DataFrame, part: str, wanted: Sequence[str] = ASKED) -> dict[str, ProtocolSet]:
    """Return those of the protocols `ASKED` of one part that are wanted and have queries, in this order.

    The queries answer one another, too, but none has a name: what is found is who is who among them, and who is whom of
    the named ones. No photo is answered by its own group.

    * practice: `val` crops against these and `train`; evidence is calibrated on it.
    * rehearsal: `test` crops against these and the gallery; here it is judged what decisions are worth.
    * survey: crops that nobody named against these and all named ones of `train`, `val` and `test`.

    Args:
        split: Rows of `data/split.csv`.
        part: `flank` or `face`.
        wanted: Their names.
    """
    rows = split[split["part"] == part].sort_values("crop_id", ignore_index=True)
    asking = {PRACTICE: "val", REHEARSAL: "test", SURVEY: SURVEY}
    answering = {
        PRACTICE: rows["subset"] == "train",
        REHEARSAL: rows["gallery"],
        SURVEY: rows["subset"].isin(["train", "val", "test"]),
    }
    sets = {}
    for name, subset in asking.items():
        asks = rows["subset"] == subset
        if name in wanted and asks.any():
            queries, gallery = (rows[chosen].reset_index(drop=True) for chosen in (asks, asks | answering[name]))
            sets[name] = ProtocolSet(queries, gallery, named=False)
    return sets


def allowed(
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    same_encounter: bool = False,
    same_side: bool = False,
    paired: bool = False,
) -> np.ndarray:
    """Tell which gallery crops may answer which queries.

    Args:
        queries: `Q` rows of the split table (a block of a protocol's queries when there are many).
        gallery: `G` rows.
        same_encounter: As in `ProtocolSet`.
        same_side: A left flank may not answer a right one, nor a right one a left one: they carry different patterns.
        paired: Row by row, of as many queries as gallery crops, not each with each.

    Returns:
        `(Q, G)` bool, or `(Q,)` of pairs: False where the candidate shows the query's own photo or, unless
        `same_encounter`, is of the query's own group, which holds its encounter.
    """
    barred = _equal(queries["image_id"], gallery["image_id"], paired)
    if not same_encounter:
        barred |= _equal(queries["group"], gallery["group"], paired)
    if same_side:
        barred |= _equal(queries["orientation"].map(OPPOSITE).fillna("none"), gallery["orientation"], paired)
    return ~barred


def _equal(left: pd.Series, right: pd.Series, paired: bool = False) -> np.ndarray:
    codes, _ = pd.factorize(np.concatenate([left.to_numpy(object), right.to_numpy(object)]))
    one, two = codes[: len(left)], codes[len(left) :]
    return one == two if paired else one[:, None] == two[None, :]
