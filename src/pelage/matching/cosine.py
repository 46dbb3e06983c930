"""Cosine search: the crops whose embeddings point the same way, for each protocol of the split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from pelage.common.errors import PelageError
from pelage.common.tables import read_parquet, require_columns
from pelage.matching.rankings import join_rankings, rankings_table
from pelage.split.protocols import ProtocolSet, allowed

BLOCK = 1024
"""Queries at a time: with 100,000 gallery crops the scores of a block take 0.4 GB."""


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


def search(embeddings: pd.DataFrame, sets: Mapping[str, ProtocolSet], depth: int) -> pd.DataFrame:
    """Rank the gallery of each protocol for each of its queries.

    Args:
        embeddings: `crop_id` and `embedding`, lists of length 1 as vectors. Crops that are not in it take no part.
        sets: Protocols by name.
        depth: Most candidates a query.

    Returns:
        The table of `rankings_table`. Scores are cosines rounded to six digits, so that equal points tie.
    """
    ids = embeddings["crop_id"]
    points = np.stack(embeddings["embedding"].to_list()).astype(np.float32) if len(ids) else np.empty((0, 1))
    places = pd.Series(np.arange(len(ids)), index=ids)
    tables = []
    for protocol, chosen in sets.items():
        queries = chosen.queries[chosen.queries["crop_id"].isin(ids)]
        gallery = chosen.gallery[chosen.gallery["crop_id"].isin(ids)]
        candidates = points[places.loc[gallery["crop_id"]]]
        for start in range(0, len(queries), BLOCK):
            block = queries.iloc[start : start + BLOCK]
            scores = np.round(points[places.loc[block["crop_id"]]] @ candidates.T, 6)
            permitted = allowed(block, gallery, chosen.same_encounter)
            tables.append(rankings_table(protocol, block["crop_id"], gallery["crop_id"], scores, permitted, depth))
    return join_rankings(tables)
