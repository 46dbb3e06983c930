"""What may never be divided: photos that share an encounter, a file, a view or a day at one camera.

Encounters keep bursts together (bear study: camera and date groups); copies and look-alikes of one photo follow them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BLOCK = 1024


def near_duplicate_pairs(phashes: Sequence[str], bits: int) -> np.ndarray:
    """Return the pairs of photos whose perceptual hashes differ in at most `bits` of 64 bits.

    Args:
        phashes: N hashes of 16 hex digits; an empty one resembles nothing.
        bits: Largest Hamming distance.

    Returns:
        `(P, 2)` int: positions i < j, sorted.
    """
    present = np.flatnonzero([phash != "" for phash in phashes])
    values = np.array([int(phashes[i], 16) for i in present], np.uint64)
    found = [np.empty((0, 2), int)]
    for start in range(0, len(values), BLOCK):
        close = np.bitwise_count(values[start : start + BLOCK, None] ^ values[None, start:]) <= bits
        first, second = np.nonzero(np.triu(close, 1))
        found.append(np.stack([present[first + start], present[second + start]], 1))
    return np.concatenate(found)


def same_view_pairs(photos: pd.DataFrame, bits: int) -> np.ndarray:
    """Return near-duplicate pairs of photos of the same individual, `(P, 2)` positions.

    A fixed camera photographs the same background for weeks, so a hash of the whole photo alone would call a small
    animal's photo a duplicate of the next animal's; two near-equal photos of one individual are taken at their word.

    Args:
        photos: Columns `identity` and `phash`.
        bits: Largest Hamming distance.
    """
    pairs = near_duplicate_pairs(photos["phash"].tolist(), bits)
    identity = photos["identity"].to_numpy(object)
    return pairs[identity[pairs[:, 0]] == identity[pairs[:, 1]]]


def group_photos(photos: pd.DataFrame, bits: int) -> pd.Series:
    """Return for each photo the group that has to stay on one side of the split.

    Photos are chained together by the same encounter, the same file content, the same individual at the same camera on
    the same day (light and background are the same then), and near-duplicate views of the same individual.

    Args:
        photos: Columns `encounter, sha256, identity, camera, date, phash`; identities are known ones.
        bits: Largest Hamming distance of near duplicates.

    Returns:
        Group of each photo, named by the least of its encounters, so that names do not depend on the order of rows.
    """
    day = photos["date"].str[:10]
    visit = photos["identity"] + "\n" + photos["camera"] + "\n" + day
    dated = (photos["camera"] != "") & (day != "")
    keys = [photos["encounter"], photos["sha256"].where(photos["sha256"] != ""), visit.where(dated)]
    edges, nodes = [same_view_pairs(photos, bits)], len(photos)
    for key in keys:
        codes, values = pd.factorize(key)
        known = np.flatnonzero(codes >= 0)
        edges.append(np.stack([known, nodes + codes[known]], 1))
        nodes += len(values)
    first, second = np.concatenate(edges).T
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(nodes, nodes))
    component = pd.Series(connected_components(graph, directed=False)[1][: len(photos)], index=photos.index)
    return photos["encounter"].groupby(component).transform("min")
