"""Rematching: the first candidates of two other methods, compared again pair by pair by learned local features.

LightGlue is too slow for a whole gallery, so a global and a local method choose whom to compare: what one of them
overlooks the other often has. Pairs that neither lists have no score, which `fuse` takes as evidence of nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pelage.common.files import sha256_file
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.parallel import cores, parallel_map
from pelage.common.params import choose
from pelage.common.progress import track
from pelage.common.workers import Ahead
from pelage.matching.learned.features import LearnedFeatures, features_digest, read_learned_features
from pelage.matching.learned.lightglue import (
    VERSION,
    WEIGHTS,
    Effort,
    PairMatches,
    Ready,
    count_matches,
    load_lightglue,
    magsac_inliers,
    match_pairs,
)
from pelage.matching.matches import EXPLAINED, matches_table, placed
from pelage.matching.placement import lie, placement_table
from pelage.matching.rankings import PAIR, drop_opposite, join_rankings, rank_pairs
from pelage.model.compute import prepare

if TYPE_CHECKING:
    import torch
    from kornia.feature import LightGlue

BATCHES_AT_ONCE = 32
"""Batches of pairs to a block, which is matched by one worker, or recalled, as a whole."""

COLUMNS = [field.name for field in fields(PairMatches)]
TURNED = [2, 3, 0, 1, 4]
"""Columns of `placed` with query and candidate in each other's place."""

KEPT = 4 * EXPLAINED
"""Candidates of a query whose matches are kept until all protocols are ranked; these share most candidates."""


def shortlist(rankings: Sequence[pd.DataFrame], depths: Sequence[int], side: Mapping[str, str] | None) -> pd.DataFrame:
    """Join the first candidates of several methods.

    Right candidates that rankings tell of whatever their rank, for metrics, are on no list unless their rank is.

    Args:
        rankings: Tables of `rankings_table`.
        depths: Candidates of each method for a query.
        side: Orientation by crop id, to leave out pairs of opposite flanks before the lists are cut; None leaves them.

    Returns:
        `protocol`, `query`, `candidate`, each pair once: the first candidates of all queries, then the second ones, so
        that a deeper list begins with all of a shallower one.
    """
    tables = []
    for table, depth in zip(rankings, depths, strict=True):
        table = table.sort_values(["protocol", "query", "rank"], kind="stable")
        place = table.groupby(["protocol", "query"], sort=False, observed=True).cumcount()
        table = table[(table["rank"] == place + 1) & table["score"].notna()]
        table = table if side is None else drop_opposite(table, side)
        place = table.groupby(["protocol", "query"], sort=False, observed=True).cumcount()
        tables.append(table[PAIR].assign(place=place)[place < depth])
    joined = pd.concat(tables).sort_values(["place", *PAIR], kind="stable")
    return joined[PAIR].astype(str).drop_duplicates(ignore_index=True)


def rematch(
    pairs: pd.DataFrame,
    features: Mapping[str, LearnedFeatures],
    network: LightGlue | Ready,
    score: str,
    confidence: float,
    effort: Effort,
    depth: int,
    memo: Memo,
    workers: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score pairs by LightGlue and rank them.

    A pair that several protocols ask for is matched once, and so are two crops that ask for one another: LightGlue says
    the same of both directions.

    Args:
        pairs: As `shortlist` returns it. Pairs with a crop that has no features are left out.
        features: By crop id.
        network: As in `match_pairs`.
        score: matches (`count_matches`) | inliers (the same, of the matches that MAGSAC keeps).
        confidence: Above which a match counts.
        effort: As in `match_pairs`.
        depth: Most rows a query.
        memo, workers: As in `match_all`.

    Returns:
        The table of `rankings_table`, that of `matches_table` for the first candidates of each query, and that of
        `placement_table` for all of its candidates.
    """
    choose(score, ("matches", "inliers"), "score of a rematcher")
    unique = unique_pairs(pairs, features)
    keys = list(pairs[["query", "candidate"]].itertuples(index=False, name=None))
    scores: dict[tuple[str, str], float] = dict.fromkeys(keys, np.nan)
    places: dict[tuple[str, str], np.ndarray | None] = {}
    sure: dict[str, list[tuple[float, str, np.ndarray]]] = {}
    found_all = match_all(unique, features, network, effort, memo, workers)
    for (first, second), found in zip(unique.itertuples(index=False, name=None), found_all, strict=True):
        if score == "inliers":
            found = found.only(magsac_inliers(features[first], features[second], found))
        value = count_matches(found, confidence)
        found = found.only(found.confidence > confidence)
        ends = placed(features[first], features[second], found.query, found.candidate, found.confidence)
        where = lie(ends, likely=True)
        for query, candidate, own in ((first, second, ends), (second, first, ends[:, TURNED])):
            if (query, candidate) in scores:
                scores[query, candidate], places[query, candidate] = value, where
                best = sorted([*sure.get(query, ()), (-value, candidate, own)], key=lambda entry: entry[:2])
                sure[query] = best[:KEPT]
    scored = pairs.assign(score=[scores[key] for key in keys]).dropna(subset="score")
    rankings = join_rankings([rank_pairs(scored, depth)])
    kept = {(query, candidate): ends for query, best in sure.items() for _, candidate, ends in best}
    first = rankings.loc[rankings["rank"] <= EXPLAINED, PAIR].itertuples(index=False, name=None)
    matches = matches_table([(*pair, kept[pair[1:]]) for pair in first if len(kept.get(pair[1:], ()))])
    asked = scored[PAIR].itertuples(index=False, name=None)
    return rankings, matches, placement_table((*pair, places[pair[1:]]) for pair in asked)


def unique_pairs(pairs: pd.DataFrame, features: Mapping[str, LearnedFeatures]) -> pd.DataFrame:
    """Return `query` and `candidate` of the pairs that are matched: both have features, and two crops come once."""
    pairs = pairs[pairs["query"].isin(features) & pairs["candidate"].isin(features)]
    pairs = pairs[["query", "candidate"]].reset_index(drop=True)
    either = pd.DataFrame(np.sort(pairs.to_numpy(str), axis=1))
    return pairs[~either.duplicated()].reset_index(drop=True)


def match_ahead(ahead: Ahead, pairs: pd.DataFrame, place: Mapping[str, Any]) -> None:
    """Have workers match pairs, so that `match_all` recalls them.

    Args:
        ahead: See `workers`.
        pairs: As `match_all` takes them.
        place: Arguments of `matching_tools` but for `crop_ids`; the keypoints should be in the memo already.
    """
    ahead(partial(_match_block, place), _blocks(pairs, place["wanted"]["batch"]), "match", most=1)


def _match_block(place: Mapping[str, Any], blocks: Sequence[pd.DataFrame]) -> None:
    prepare(place["device"].type, threads=1)
    for block in blocks:
        tools = matching_tools(**place, crop_ids={*block["query"], *block["candidate"]})
        deque(match_all(block, **tools), maxlen=0)


def keypoints_ahead(ahead: Ahead, crop_ids: Iterable[str], place: Mapping[str, Any]) -> None:
    """Have workers find keypoints, so that `matching_tools` recalls them; arguments as in `match_ahead`."""
    ahead(partial(_find_keypoints, place), sorted(crop_ids), "keypoints")


def _find_keypoints(place: Mapping[str, Any], crop_ids: Sequence[str]) -> None:
    prepare(place["device"].type, threads=1)
    read_keypoints(**place, crop_ids=crop_ids)


def read_keypoints(
    wanted: Mapping[str, Any], crop_ids: Iterable[str], crops: Packs, masks: Packs, weights: Path, device: torch.device
) -> dict[str, LearnedFeatures]:
    """Return the features of crops by their ids; arguments as in `matching_tools`."""
    sizes = {"side": wanted["side"], "keypoints": wanted["keypoints"]}
    return read_learned_features(crops, masks, crop_ids, wanted["features"], weights, **sizes, device=device)


def matching_tools(
    wanted: Mapping[str, Any], crop_ids: Iterable[str], crops: Packs, masks: Packs, weights: Path, device: torch.device
) -> dict[str, Any]:
    """Return `features`, `network`, `effort`, `memo` and `workers` for `match_all` and `rematch`.

    Torch should have one thread: crops and pairs share the cores instead.

    Args:
        wanted: As `read_rematcher` returns it.
        crop_ids: Whose features are wanted; those without a crop have none.
        crops, masks: Folders with files of the same names.
        weights: Folder of the detector's and LightGlue's weights.
        device: Where to compute.
    """
    kind, effort = wanted["features"], Effort.of(wanted)
    return {
        "features": read_keypoints(wanted, crop_ids, crops, masks, weights, device),
        "network": Ready(load_lightglue(kind, weights, device), effort.half),
        "effort": effort,
        "memo": memo_of(sha256_file(weights / WEIGHTS[kind]), effort, device),
        "workers": cores() if device.type == "cpu" else 1,
    }


def memo_of(weights: str, effort: Effort, device: torch.device) -> Memo:
    """Return the memo of what a network finds: `weights` is the hash of its file, or of its tensors."""
    return Memo("lightglue", VERSION, {**asdict(effort), "weights": weights, "device": device.type})


def match_all(
    pairs: pd.DataFrame,
    features: Mapping[str, LearnedFeatures],
    network: LightGlue | Ready,
    effort: Effort,
    memo: Memo,
    workers: int,
) -> Iterator[PairMatches]:
    """Yield the matches of each pair.

    Args:
        pairs: `query` and `candidate`, each with features.
        features: By crop id.
        network, effort: As in `match_pairs`.
        memo: Of matches; it depends on all settings of features and network.
        workers: Blocks that are matched at a time; 1 on a GPU. The results do not depend on it while torch itself has
            one thread.
    """
    blocks = _blocks(pairs, effort.batch)
    digests = {name: features_digest(features[name]) for name in {*pairs["query"], *pairs["candidate"]}}

    def matched(block: pd.DataFrame) -> list[PairMatches]:
        columns = [block[column] for column in ("query", "candidate")]
        key = memo.key(*(digests[name] for column in columns for name in column))
        sides = [[features[name] for name in column] for column in columns]
        return _recalled(memo, key, lambda: match_pairs(network, *sides, effort))

    for matches in track(parallel_map(matched, blocks, workers), "match", len(blocks)):
        yield from matches


def _blocks(pairs: pd.DataFrame, batch: int) -> list[pd.DataFrame]:
    size = BATCHES_AT_ONCE * batch
    return [pairs.iloc[start : start + size] for start in range(0, len(pairs), size)]


def _recalled(memo: Memo, key: str, matcher: Callable[[], list[PairMatches]]) -> list[PairMatches]:
    """Return the matches of a block of pairs, computed by `matcher` unless the same block was matched before.

    Whole blocks, because in half precision the last digits depend on which pairs are batched together. So a run that
    was killed, or whose shortlist grew, goes on where it ended, with the bytes of one that was not.
    """
    stored = memo.get(key)
    if stored is not None:
        return _unpacked(stored)
    matches = matcher()
    buffer = BytesIO()
    counts = [len(found.query) for found in matches]
    columns = {name: np.concatenate([getattr(found, name) for found in matches]) for name in COLUMNS}
    np.savez(buffer, counts=counts, **columns)
    memo.put(key, buffer.getvalue())
    return matches


def _unpacked(data: bytes) -> list[PairMatches]:
    with np.load(BytesIO(data)) as stored:
        ends = np.cumsum(stored["counts"])[:-1]
        return [PairMatches(*found) for found in zip(*(np.split(stored[name], ends) for name in COLUMNS), strict=True)]
