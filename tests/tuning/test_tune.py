"""Tuning as a whole: what is drawn, that it learns, that a killed one ends alike, and that no epoch makes it worse."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from kornia.feature import LightGlue

from pelage.common.errors import PelageError
from pelage.matching.learned.features import LearnedFeatures
from pelage.matching.learned.lightglue import Effort, PairMatches, match_pairs
from pelage.training.checkpoint import Checkpoint
from pelage.tuning import judge as judging
from pelage.tuning.judge import judge
from pelage.tuning.loop import _batches, loss_of, tune
from pelage.tuning.pairs import learnt_pairs

SETTINGS = {
    "epochs": 2,
    "pairs": 100,
    "lookalikes": 4,
    "keypoints": 40,
    "vary": False,
    "batch": 4,
    "lr": 1e-3,
    "weight_decay": 0.0,
    "keep": "best",
    "seed": 1,
}
EFFORT = Effort(batch=8, adaptive=False, give_up=0, glance=0, half=False)


def survey(individuals: int = 4, photos: int = 3) -> tuple[pd.DataFrame, dict[str, LearnedFeatures]]:
    """Each animal has spots of its own, whose descriptors and places change a little from photo to photo."""
    rows, features = [], {}
    for individual in range(individuals):
        own = np.random.default_rng(individual)
        spots, places = own.normal(size=(48, 128)), own.uniform([40, 40], [560, 360], (48, 2))
        for photo in range(photos):
            rng = np.random.default_rng([individual, photo])
            name = f"{individual}-{photo}#0"
            order = rng.permutation(48)
            descriptors = (spots + 0.5 * rng.normal(size=spots.shape))[order]
            descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
            xy = (places * rng.uniform(0.9, 1.1) + rng.normal(size=places.shape))[order]
            ones = np.ones(48, np.float32)
            features[name] = LearnedFeatures(xy.astype(np.float32), descriptors.astype(np.float16), ones, (600, 400))
            told = {"identity": f"animal {individual}", "group": f"{individual} {photo}", "orientation": "left"}
            rows.append({"crop_id": name, "image_id": name[:-2], **told})
    return pd.DataFrame(rows), features


def by_descriptors(pairs: pd.DataFrame, features) -> list[PairMatches]:
    """Mutual nearest neighbours, in the place of a network."""
    found = []
    for pair in pairs.itertuples():
        cosines = features[pair.query].descriptors.astype(float) @ features[pair.candidate].descriptors.T.astype(float)
        nearest = cosines.argmax(axis=1)
        mutual = np.flatnonzero(cosines.argmax(axis=0)[nearest] == np.arange(len(nearest)))
        found.append(PairMatches(mutual, nearest[mutual], cosines[mutual, nearest[mutual]].astype(np.float32)))
    return found


@pytest.fixture(scope="module")
def drawn():
    rows, features = survey()
    return rows, features, learnt_pairs(rows, features, partial(by_descriptors, features=features), SETTINGS, 0.5)


def test_pairs_of_the_same_animal_are_verified_and_each_has_a_lookalike(drawn):
    _, _, pairs = drawn
    same = [pair for pair in pairs if pair.same]
    assert len(same) == 4 * 3 and len(pairs) == 2 * len(same)
    assert all((pair.truth.query >= 0).sum() >= 15 for pair in same)
    assert all((pair.truth.query < 0).all() for pair in pairs if not pair.same)
    assert all(len(pair.query) == len(pair.truth.query) == 40 for pair in pairs), "cut to the strongest"


def test_barred_pairs_are_never_learnt_from():
    rows, features = survey()
    rows.loc[rows["crop_id"].str.endswith("-1#0"), "orientation"] = "right"
    rows.loc[rows["crop_id"].isin(["0-0#0", "0-2#0"]), "group"] = "one burst"
    asked = []

    def matcher(pairs: pd.DataFrame) -> list[PairMatches]:
        asked.append(pairs)
        return by_descriptors(pairs, features)

    learnt_pairs(rows, features, matcher, SETTINGS, 0.5)
    same, different = ({frozenset(pair) for pair in zip(t["query"], t["candidate"], strict=True)} for t in asked)
    assert same == {frozenset((f"{animal}-0#0", f"{animal}-2#0")) for animal in (1, 2, 3)}
    side, identity = (rows.set_index("crop_id")[column] for column in ("orientation", "identity"))
    assert different and all(len({side[name] for name in pair}) == 1 for pair in different)
    assert all(len({identity[name] for name in pair}) == 2 for pair in different)


def test_few_pairs_are_drawn_evenly_and_in_the_same_way_for_any_order_of_rows():
    rows, features = survey()
    few = SETTINGS | {"pairs": 4}
    orders = [rows, rows.sample(frac=1, random_state=0)]
    matcher = partial(by_descriptors, features=features)
    first, second = (learnt_pairs(order, features, matcher, few, 0.5) for order in orders)
    assert [id(pair.truth) for pair in first] != [id(pair.truth) for pair in second]
    for left, right in zip(first, second, strict=True):
        assert np.array_equal(left.query.xy, right.query.xy) and np.array_equal(left.candidate.xy, right.candidate.xy)
    whose = [next(name[0] for name, found in features.items() if np.array_equal(found.xy[:40], pair.query.xy))
             for pair in first if pair.same]  # fmt: skip
    assert sorted(whose) == ["0", "1", "2", "3"], "each individual gives one before any gives two"


def test_pairs_that_vary_keep_all_keypoints_and_learn_something_else(drawn, tmp_path):
    rows, features, pairs = drawn
    settings = SETTINGS | {"vary": True}
    whole = learnt_pairs(rows, features, partial(by_descriptors, features=features), settings, 0.5)
    assert all(len(pair.query) == len(pair.truth.query) == 48 for pair in whole)
    losses = []
    for known, chosen in ((whole, settings), (pairs, SETTINGS)):
        with Checkpoint(tmp_path / str(len(losses))) as checkpoint:
            tuned = tune(start(), known, lambda network: {}, chosen, half=False, checkpoint=checkpoint)
        losses.append([row["loss"] for row in tuned.history[1:]])
    assert np.isfinite(losses).all() and losses[0] != losses[1]


def test_what_the_strongest_keypoints_verify_is_learnt_from_more_of_them():
    rows, features = survey()
    strongest = {name: found.only(slice(40)) for name, found in features.items()}
    settings = SETTINGS | {"vary": True}
    pairs = learnt_pairs(rows, features, partial(by_descriptors, features=strongest), settings, 0.5)
    same = [pair for pair in pairs if pair.same]
    assert same and all(len(pair.query) == len(pair.truth.query) == 48 for pair in same)
    known = np.concatenate([pair.truth.query[40:] for pair in same])
    right = np.concatenate([spots(pair.query)[40:] for pair in same])
    told = np.concatenate([spots(pair.candidate)[pair.truth.query[40:]] for pair in same])
    assert (known >= 0).mean() > 0.5 and (told == right)[known >= 0].mean() > 0.95


def spots(features: LearnedFeatures) -> np.ndarray:
    """Return which spot of any animal each keypoint of `survey` shows."""
    every = np.concatenate([np.random.default_rng(animal).normal(size=(48, 128)) for animal in range(4)])
    return (features.descriptors.astype(float) @ every.T).argmax(axis=1)


def test_nothing_to_learn_from_is_told():
    rows, features = survey(photos=1)
    with pytest.raises(PelageError, match=r"tuning\.epochs"):
        learnt_pairs(rows, features, partial(by_descriptors, features=features), SETTINGS, 0.5)


def start() -> LightGlue:
    torch.manual_seed(0)
    return LightGlue(features=None, input_dim=128, n_layers=2, descriptor_dim=64, num_heads=2).eval()


def asked_of(rows: pd.DataFrame) -> pd.DataFrame:
    pairs = rows[["crop_id"]].merge(rows[["crop_id"]], how="cross", suffixes=("_q", "_c"))
    pairs = pairs[pairs["crop_id_q"].str.endswith("-0#0") & ~pairs["crop_id_c"].str.endswith("-0#0")]
    return pairs.set_axis(["query", "candidate"], axis=1).reset_index(drop=True)


def judged_by(rows: pd.DataFrame, features):
    identity = rows.set_index("crop_id")["identity"]
    return partial(judge, pairs=asked_of(rows), features=features, identity=identity, effort=EFFORT, confidence=0.2)


def test_it_learns_to_match_the_same_and_not_the_different(drawn, tmp_path):
    rows, features, pairs = drawn
    network = start()
    with torch.no_grad():
        before = loss_of(network, pairs, half=False).mean()
    settings = SETTINGS | {"epochs": 30, "lr": 2e-3}
    with Checkpoint(tmp_path / "learns") as checkpoint:
        tuned = tune(network, pairs, judged_by(rows, features), settings, half=False, checkpoint=checkpoint)
    assert [row["epoch"] for row in tuned.history] == list(range(31))
    assert tuned.history[-1]["loss"] < 0.5 * before
    network.load_state_dict(tuned.state)
    found = match_pairs(network, [pair.query for pair in pairs], [pair.candidate for pair in pairs], EFFORT)
    right = [
        (match.candidate == pair.truth.query[match.query]).mean()
        for match, pair in zip(found, pairs, strict=True) if pair.same and len(match.query)
    ]  # fmt: skip
    counts = [np.mean([len(match.query) for match, pair in zip(found, pairs, strict=True) if pair.same is same])
              for same in (True, False)]  # fmt: skip
    assert np.mean(right) > 0.8 and counts[0] > 5 * max(counts[1], 1)
    assert tuned.history[tuned.kept_epoch]["mrr"] > tuned.history[0]["mrr"]


def test_each_pair_is_learnt_once_an_epoch_and_most_batches_have_one_shape(drawn):
    _, _, pairs = drawn

    cut = [
        dataclasses.replace(pair, query=pair.query.only(slice((40, 32)[place % 3 == 0])))
        for place, pair in enumerate(pairs)
    ]
    batches = _batches(cut, SETTINGS, 1)
    assert sorted(place for batch in batches for place in batch) == list(range(len(cut)))
    shapes = [len({len(cut[place].query) for place in batch}) for batch in batches]
    assert max(map(len, batches)) == SETTINGS["batch"] and sum(shape > 1 for shape in shapes) <= 1
    assert batches == _batches(cut, SETTINGS, 1) != _batches(cut, SETTINGS, 2)


class Killed(Exception):
    pass


@pytest.mark.parametrize("vary", [False, True])
@pytest.mark.parametrize("moment", [1, 2])
def test_a_killed_tuning_ends_with_the_same_numbers(drawn, tmp_path, moment, vary):
    _, _, pairs = drawn

    def run(folder: Path, first: int, calls: int) -> dict[str, torch.Tensor]:
        worth = iter([0.2, 0.3, 0.4][first : first + calls])

        def ask(network: LightGlue) -> dict[str, float]:
            if (mrr := next(worth, None)) is None:
                raise Killed
            return {"top1": 0.5, "mrr": mrr}

        with Checkpoint(folder) as checkpoint:
            return tune(
                start(), pairs, ask, SETTINGS | {"vary": vary, "keypoints": 30}, half=False, checkpoint=checkpoint
            )

    whole = run(tmp_path / "whole", 0, 3)
    with pytest.raises(Killed):
        run(tmp_path / "killed", 0, moment)
    again = run(tmp_path / "killed", moment, 3 - moment)  # three epochs are judged, none of them twice
    finished = run(tmp_path / "killed", 0, 0)  # nobody is asked: it comes from the checkpoint
    for result in (again, finished):
        assert result.history == whole.history and result.kept_epoch == whole.kept_epoch == 2
        assert all(torch.equal(result.state[name], tensor) for name, tensor in whole.state.items())


@pytest.mark.parametrize("after", [(0.5, 0.4), (0.9, 0.9), (0.5, 0.9)])
def test_the_network_as_it_was_is_kept_if_no_epoch_is_better(drawn, tmp_path, after):
    _, _, pairs = drawn
    worth = iter([0.9, *after])
    with Checkpoint(tmp_path / "worse") as checkpoint:
        tuned = tune(start(), pairs, lambda network: {"mrr": next(worth)}, SETTINGS, False, checkpoint)
    assert tuned.kept_epoch == 0
    assert all(torch.equal(tuned.state[name], tensor) for name, tensor in start().state_dict().items())


def test_without_validation_queries_the_last_epoch_is_kept(drawn, tmp_path):
    rows, features, pairs = drawn
    nobody = asked_of(rows).head(0)
    assert judge(start(), nobody, features, {}, EFFORT, 0.5) == {}
    with Checkpoint(tmp_path / "nobody") as checkpoint:
        assert tune(start(), pairs, lambda network: {}, SETTINGS, False, checkpoint).kept_epoch == 2


def told_from(worth, network):
    return {"mrr": next(worth)}


def test_the_last_epoch_is_kept_where_that_is_wanted_however_queries_are_answered(drawn, tmp_path):
    _, _, pairs = drawn
    states = {}
    for keep in ("best", "last"):
        worth = iter([0.5, 0.9, 0.6])
        with Checkpoint(tmp_path / keep) as checkpoint:
            ask = partial(told_from, worth)
            states[keep] = tune(start(), pairs, ask, SETTINGS | {"keep": keep}, False, checkpoint)
    assert [states[keep].kept_epoch for keep in ("best", "last")] == [1, 2]
    assert states["best"].history == states["last"].history
    assert not all(torch.equal(states["best"].state[name], tensor) for name, tensor in states["last"].state.items())


def test_a_loss_that_is_no_number_is_told(drawn, tmp_path):
    _, _, pairs = drawn
    with Checkpoint(tmp_path / "nan") as checkpoint, pytest.raises(PelageError, match=r"lower tuning\.lr"):
        tune(start(), pairs, lambda network: {}, SETTINGS | {"lr": 1e30}, False, checkpoint)


def test_the_judge_counts_queries_without_features_and_without_answer(monkeypatch):
    rows, features = survey()
    del features["3-0#0"]
    names = {id(found): name for name, found in features.items()}

    def exact(network, queries, candidates, effort):
        pairs = [(names[id(query)], names[id(candidate)]) for query, candidate in zip(queries, candidates, strict=True)]
        return by_descriptors(pd.DataFrame(pairs, columns=["query", "candidate"]), features)

    monkeypatch.setattr(judging, "match_pairs", exact)
    assert judged_by(rows, features)(None) == {"top1": 0.75, "mrr": 0.75}
