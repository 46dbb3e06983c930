"""Cosine search: the crops whose embeddings point the same way, for each protocol of the split.

A query may be joined by what it finds first and asked again (`expansion`), and the first candidates may be put in
order by their neighbourhoods (`rerank`), which sees all photos of a protocol without names, the other queries too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from pelage.common.errors import PelageError
from pelage.common.tables import read_parquet, require_columns
from pelage.common.ties import name_codes
from pelage.matching.rankings import join_rankings, kept, rank_pairs, rankings_table
from pelage.matching.search.expansion import expand_queries
from pelage.matching.search.names import aggregate_names
from pelage.matching.search.rerank import k_reciprocal, nearest
from pelage.matching.search.vector_index import kind_for, nearest_places
from pelage.split.protocols import ProtocolSet

BLOCK = 1024
CELLS = 2**25
"""Queries at a time, and pairs of one and a gallery crop, whose scores take 0.1 GB."""


@dataclass(frozen=True)
class SearchRules:
    """Section `search` of the parameters.

    Attributes:
        depth: Most candidates a query of a gallery of more than `whole` crops, see `rankings`.
        same_side: A left flank never answers a right one.
        index: `flat` (exact), `hnsw`, `ivf_pq`, or `auto`: by the size of the gallery.
        expansion: Candidates that join a query before it is asked again; 0: none.
        alpha: Power of the cosine by which they weigh.
        rerank: Nearest points that make a neighbourhood (k1 of k-reciprocal re-ranking); 0: no re-ranking.
        rerank_depth: Candidates that are re-ranked.
        rerank_mean: Nearest points whose neighbourhoods are averaged (k2).
        rerank_mix: Share of the cosine distance, in that of a photo's furthest one, in the new distance.
        aggregate: `max`, `mean` or `nsum`: how the photos of an individual speak together, see `names`.
        neighbours: First candidates whose photos do.
        whole: Crops of the largest gallery that is ranked as a whole.
    """

    depth: int
    same_side: bool = False
    index: str = "auto"
    expansion: int = 0
    alpha: float = 3.0
    rerank: int = 0
    rerank_depth: int = 100
    rerank_mean: int = 6
    rerank_mix: float = 0.3
    aggregate: str = "max"
    neighbours: int = 20
    whole: int = 0


def read_rules(params: Mapping[str, Any]) -> SearchRules:
    """Return the section `search` of the parameters."""
    return SearchRules(**params["search"])


def read_embeddings(path: Path) -> pd.DataFrame:
    """Read the embeddings that the stage embed wrote, as Parquet or safetensors.

    Returns:
        `crop_id` and `embedding`, float32 vectors; those stored as float16 are brought back to length 1.

    Raises:
        PelageError: The file is missing or is something else.
    """
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "np") as file:
                points = file.get_tensor("embedding")
                ids = json.loads(file.metadata()["pelage"])["crop_id"]
            table = pd.DataFrame({"crop_id": pd.Series(ids, dtype=str)})
        except FileNotFoundError as error:
            raise PelageError(f"{path} is missing: run the stage embed.") from error
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise PelageError(f"{path} was not written by the stage embed ({error}). Run that stage again.") from error
        table["embedding"] = list(points)
    else:
        table = read_parquet(path)
        require_columns(table, ("crop_id", "embedding"), path)
    if len(table) and table["embedding"].iloc[0].dtype == np.float16:
        wide = np.stack(table["embedding"].to_list()).astype(np.float32)
        table["embedding"] = list(wide / np.linalg.norm(wide, axis=1, keepdims=True))
    return table


def search(embeddings: pd.DataFrame, sets: Mapping[str, ProtocolSet], rules: SearchRules) -> pd.DataFrame:
    """Rank the gallery of each protocol for each of its queries.

    Args:
        embeddings: `crop_id` and `embedding`, lists of length 1 as vectors. Crops that are not in it take no part.
        sets: Protocols by name.
        rules: How to search.

    Returns:
        The table of `rankings_table`. Scores are cosines rounded to six digits, so that equal points tie. With
        re-ranking they are 2 less the new distance for what was re-ranked, and the cosine less 2 for the others.
        Individuals' photos may speak together, see `aggregate_names`.
    """
    ids = embeddings["crop_id"]
    points = np.stack(embeddings["embedding"].to_list()).astype(np.float32) if len(ids) else np.empty((0, 1))
    places = pd.Series(np.arange(len(ids)), index=ids)
    tables = []
    for protocol, chosen in sets.items():
        queries = chosen.queries[chosen.queries["crop_id"].isin(ids)]
        gallery = chosen.gallery[chosen.gallery["crop_id"].isin(ids)]
        chosen = replace(chosen, queries=queries, gallery=gallery)
        asked, answers = points[places.loc[queries["crop_id"]]], points[places.loc[gallery["crop_id"]]]
        if kind_for(len(gallery), rules.index) == "flat":
            found = _search_all(protocol, chosen, asked, answers, rules)
        else:
            found = _search_index(protocol, chosen, asked, answers, rules)
        name = pd.Series(chosen.names, index=gallery["crop_id"])
        tables.append(aggregate_names(found, name, rules.aggregate, rules.neighbours))
    return join_rankings(tables)


def _search_all(
    protocol: str, chosen: ProtocolSet, asked: np.ndarray, answers: np.ndarray, rules: SearchRules
) -> pd.DataFrame:
    """Rank a whole gallery, in blocks of queries."""
    queries, gallery, tables = chosen.queries, chosen.gallery, []
    names, depth = pd.Index(gallery["crop_id"], dtype=str), kept(len(gallery), rules.depth, rules.whole)
    near = _reciprocal_distances(chosen, asked, answers, rules) if rules.rerank and len(queries) else None
    codes = name_codes(names)
    size = max(min(BLOCK, CELLS // max(len(gallery), 1)), 1)
    for start in range(0, len(queries), size):
        block = slice(start, start + size)
        rows = queries.iloc[block]
        permitted = chosen.may_answer(rows, gallery, rules.same_side)
        scores = asked[block] @ answers.T
        if rules.expansion and len(gallery):
            first = _first(np.where(permitted, scores, -np.inf), rules.expansion)
            scores = expand_queries(asked[block], answers, first, rules.alpha) @ answers.T
        if near is not None:
            scores = scores - 2
            listed, distance = (values[block] for values in near)
            row, column = np.nonzero(listed >= 0)
            scores[row, listed[row, column]] = 2 - distance[row, column]
        scores = np.round(scores, 6, out=scores)
        relevant = chosen.relevant(rows, gallery)
        tables.append(rankings_table(protocol, rows["crop_id"], names, scores, permitted, depth, relevant, codes))
    return join_rankings(tables)


def _first(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the columns of the highest scores of each row, `(Q, count)`; -1 where a score is minus infinity."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return np.where(np.isneginf(np.take_along_axis(scores, first, 1)), -1, first)


def _reciprocal_distances(
    chosen: ProtocolSet, asked: np.ndarray, answers: np.ndarray, rules: SearchRules
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each query, places in the gallery (-1: another query) and their new distances, `(Q, K)` each.

    Own photos, own groups and opposite flanks are in nobody's list, as far as the protocol bars them.
    """
    fresh = ~chosen.gallery["crop_id"].isin(chosen.queries["crop_id"]).to_numpy()
    crops = pd.concat([chosen.queries, chosen.gallery[fresh]])
    points = np.concatenate([asked, answers[fresh]])
    groups = crops["image_id" if chosen.same_encounter else "group"]
    spare = int(groups.value_counts().max()) if len(groups) else 0
    if rules.same_side:
        spare = len(crops)
    count, among = len(chosen.queries), replace(chosen, own_individual=True)
    if not chosen.own_individual:  # queries have it barred, gallery photos have not
        spare += int(chosen.gallery["identity"].value_counts().max()) if len(chosen.gallery) else 0
    lists = nearest(points, rules.rerank_depth + spare)
    for place in range(0, len(crops), BLOCK):
        rows = lists[place : place + BLOCK]
        barred = np.stack(
            [
                ~(chosen if own < count else among).may_answer(crops.iloc[[own]], crops.iloc[row], rules.same_side)[0]
                for own, row in enumerate(rows, place)
            ]
        )
        barred[:, 0] = False  # itself, first in its list
        rows[:] = np.take_along_axis(rows, np.argsort(barred, axis=1, kind="stable"), axis=1)
    lists = lists[:, : rules.rerank_depth]
    distance = k_reciprocal(points, lists, count, rules.rerank, rules.rerank_mean, rules.rerank_mix)
    column = pd.Series(np.arange(len(chosen.gallery)), index=chosen.gallery["crop_id"])
    return column.reindex(crops["crop_id"]).fillna(-1).to_numpy(int)[lists[:count]], distance


def _search_index(
    protocol: str, chosen: ProtocolSet, asked: np.ndarray, answers: np.ndarray, rules: SearchRules
) -> pd.DataFrame:
    """Rank what an approximate index finds; more is fetched than asked for, as some of it may not answer a query.

    Nobody knows the rank of what it does not find, so right answers among that count as missed.
    """
    if rules.expansion or rules.rerank:
        raise PelageError(
            f"params.yaml: search.expansion and search.rerank need search.index flat; this gallery of {len(answers):,} "
            "crops is searched by an approximate index. Set them to 0, or search.index to flat."
        )
    queries, gallery = chosen.queries, chosen.gallery
    group = "image_id" if chosen.same_encounter else "group"
    spare = int(gallery[group].value_counts().max())
    if not chosen.own_individual:
        spare += int(gallery["identity"].value_counts().max())
    depth = min(rules.depth * (2 if rules.same_side else 1) + spare, len(answers))
    found = nearest_places(answers, asked, depth, kind_for(len(answers), rules.index))
    names, tables = gallery["crop_id"].to_numpy(object), []
    for start in range(0, len(queries), BLOCK):
        pairs = []
        for own, places in enumerate(found[start : start + BLOCK], start):
            places = places[places >= 0]
            row = queries.iloc[[own]]
            permitted = chosen.may_answer(row, gallery.iloc[places], rules.same_side)[0]
            scores = np.round(answers[places[permitted]] @ asked[own], 6)
            own_pairs = {"query": row["crop_id"].iloc[0], "candidate": names[places[permitted]], "score": scores}
            pairs.append(pd.DataFrame(own_pairs))
        tables.append(rank_pairs(pd.concat(pairs, ignore_index=True).assign(protocol=protocol), rules.depth))
    return join_rankings(tables)
