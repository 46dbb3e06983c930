"""Judge a ranking: which of its candidates are right, and what the gallery could have answered.

The bridge from tables (split, rankings) to the arrays that the metrics take. A ranking that breaks the rules of a
protocol is refused rather than judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.tables import UNKNOWN
from pelage.evaluation.masks import IDENTITY, Masks, Places, codes, protocol_masks
from pelage.evaluation.retrieval import Hits, without_junk
from pelage.split.protocols import ProtocolSet

BLOCK = 512


@dataclass(frozen=True)
class Question:
    """A protocol and, for each of its Q queries, what the gallery could answer.

    Attributes:
        name: Name of the protocol.
        rules: Its queries and gallery.
        masks: What is right and what is junk, by `masks.NAMES`.
        totals: By the same names, `(Q,)` int, right photos that may answer.
        same_side: `(Q,)` bool, one of them shows the same label, or one of the two sides is unknown.
        encounter_free: `(Q,)` bool, no photo of the query's own encounter may answer.
        known: `(Q,)` bool, the gallery has the individual.
    """

    name: str
    rules: ProtocolSet
    masks: Mapping[str, Masks]
    totals: Mapping[str, np.ndarray]
    same_side: np.ndarray
    encounter_free: np.ndarray
    known: np.ndarray

    @property
    def answerable(self) -> np.ndarray:
        """Which queries the gallery can answer by a photo of their individual, `(Q,)` bool."""
        return self.totals[IDENTITY] > 0


@dataclass(frozen=True)
class Judged:
    """What one method answered to a `Question` with Q queries.

    Attributes:
        hits: Where the right answers stand, by `masks.NAMES`.
        score: `(Q,)` float, score of the first answer; minus infinity where there is none.
        right: `(Q,)` bool, the first answer is of the right individual.
    """

    hits: Mapping[str, Hits]
    score: np.ndarray
    right: np.ndarray


def ask(name: str, rules: ProtocolSet) -> Question:
    """Find out what a protocol's gallery could answer, in blocks of queries."""
    queries, gallery = rules.queries, rules.gallery
    masks = protocol_masks(rules)
    label, encounter = (codes(queries[column], gallery[column]) for column in ("label", "encounter"))
    unsure = [(rows["orientation"] == UNKNOWN).to_numpy() for rows in (queries, gallery)]
    totals = {kind: np.zeros(len(queries), int) for kind in masks}
    same_side, own = np.zeros(len(queries), bool), np.zeros(len(queries), bool)
    places = {kind: Places(mask.right[1]) for kind, mask in masks.items()}
    visits = Places(encounter[1])
    for start in range(0, len(queries), BLOCK):
        block = slice(start, start + BLOCK)
        for kind, mask in masks.items():
            query, place = places[kind].of(mask.right[0][block])
            query += start
            right, _ = mask.kinds(query, place)
            query, place = query[right], place[right]
            totals[kind][block] = np.bincount(query - start, minlength=len(totals[kind][block]))
            if kind == IDENTITY:
                side = (label[0][query] == label[1][place]) | unsure[0][query] | unsure[1][place]
                same_side[query[side]] = True
        query, place = visits.of(encounter[0][block])
        query += start
        own[query[~masks[IDENTITY].kinds(query, place)[1]]] = True
    known = queries["identity"].isin(gallery["identity"]).to_numpy()
    return Question(name, rules, masks, totals, same_side, ~own, known)


def judge(rankings: pd.DataFrame, question: Question, source: str) -> Judged:
    """Judge one method's answers to a question. A query without rows counts as missed.

    Args:
        rankings: Rows of `data/rankings/<method>.parquet`, in any order; those of other protocols are ignored.
        question: As `ask` returns it.
        source: Name of the file, for messages.

    Raises:
        PelageError: A query or candidate is not in the protocol, a candidate may not answer or is listed twice, or
            ranks are not 1, 2, ... (and after these, without scores, any higher ones).
    """
    queries, gallery = question.rules.queries, question.rules.gallery
    rows = rankings[(rankings["protocol"] == question.name).to_numpy()]
    query, candidate = _positions(rows["query"], queries), _positions(rows["candidate"], gallery)
    _refuse(rows, (query < 0) | (candidate < 0), f"is not in the protocol {question.name}", source)
    rank, score = rows["rank"].to_numpy(), rows["score"].to_numpy()
    order = np.lexsort((rank, query))
    ends = np.searchsorted(
        query, np.arange(0, max(len(queries), 1) + BLOCK, BLOCK), sorter=order
    )  # of blocks of queries
    hits: dict[str, list[Hits]] = {kind: [] for kind in question.masks}
    best, first_right = np.full(len(queries), -np.inf), np.zeros(len(queries), bool)
    for start, end in pairwise(ends):
        some = order[start:end]
        here, asked, answering, at = rows.iloc[some], query[some], candidate[some], rank[some]
        wrong = _out_of_order(asked, at, np.isnan(score[some])) | (at > len(gallery))
        _refuse(here, wrong, f"has rank(s) other than 1, 2, ... in {question.name}", source)
        twice = pd.Series(asked * len(gallery) + answering).duplicated().to_numpy()
        _refuse(here, twice, f"is listed twice in {question.name}", source)
        right, barred = question.masks[IDENTITY].kinds(asked, answering)
        reason = f"shows the query's own photo, group or individual, which {question.name} bars"
        _refuse(here, barred, reason, source)
        for kind, mask in question.masks.items():
            hits[kind].append(without_junk(asked, at, *mask.kinds(asked, answering), question.totals[kind]))
        first = at == 1
        best[asked[first]], first_right[asked[first]] = score[some[first]], right[first]
    joined = {
        kind: Hits(*(np.concatenate([getattr(one, name) for one in parts]) for name in ("query", "rank")), total)
        for (kind, parts), total in zip(hits.items(), question.totals.values(), strict=True)
    }
    return Judged(joined, best, first_right)


def _out_of_order(query: np.ndarray, rank: np.ndarray, unscored: np.ndarray) -> np.ndarray:
    """Tell which ranks, sorted within each query, are not 1, 2, ... where there is a score, and rising where not."""
    expected = np.arange(1, len(query) + 1) - np.searchsorted(query, query)
    repeated = np.append(False, (np.diff(query) == 0) & (np.diff(rank) == 0))[: len(query)]
    return repeated | (rank < 1) | (~unscored & (rank != expected))


def _positions(crop_ids: pd.Series, rows: pd.DataFrame) -> np.ndarray:
    ids = crop_ids.astype("category").cat
    return pd.Index(rows["crop_id"].astype(object)).get_indexer(ids.categories.astype(object))[ids.codes]


def _refuse(rows: pd.DataFrame, wrong: np.ndarray, reason: str, source: str) -> None:
    if wrong.any():
        row = rows.iloc[int(wrong.argmax())]
        raise PelageError(
            f"{source}: the candidate {row['candidate']!r} at rank {row['rank']} of the query {row['query']!r} "
            f"{reason} ({int(wrong.sum())} such rows). Run the stage that writes this file again."
        )
