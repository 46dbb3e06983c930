"""Batched LightGlue against kornia's own forward, one pair at a time; counts, scores and inliers by hand."""

import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from kornia.feature import LightGlue

from pelage.matching.learned import lightglue
from pelage.matching.learned.features import LearnedFeatures
from pelage.matching.learned.lightglue import (
    Effort,
    PairMatches,
    Ready,
    count_matches,
    magsac_inliers,
    match_pairs,
    rounded_count,
)


def crop(seed: int, count: int, dim: int = 128) -> LearnedFeatures:
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(count, dim))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    xy = rng.uniform(0, [320, 200], (count, 2)).astype(np.float32)
    return LearnedFeatures(xy, descriptors.astype(np.float16), np.ones(count, np.float32), (320, 200))


def copied(features: LearnedFeatures, seed: int) -> LearnedFeatures:
    """The same animal: the same keypoints in another order, moved a little."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(features))
    xy = np.clip(features.xy[order] + rng.normal(size=(len(order), 2)), 0, [319, 199]).astype(np.float32)
    return LearnedFeatures(xy, features.descriptors[order], features.strength, features.size)


@pytest.fixture(scope="module")
def network() -> LightGlue:
    """Three layers with random weights, so wide apart that points are sure, pruned, and pairs stop early."""
    torch.manual_seed(3)
    network = LightGlue(features=None, input_dim=128, n_layers=3, descriptor_dim=64, num_heads=2).eval()
    with torch.no_grad():
        for assignment in network.log_assignment:
            assignment.matchability.weight *= 80
            assignment.final_proj.weight *= 6
        for token in network.token_confidence:
            token.token[0].weight *= 12
            token.token[0].bias += 4
    return network


@pytest.fixture(scope="module")
def pairs() -> tuple[list[LearnedFeatures], list[LearnedFeatures]]:
    first = [crop(seed, count) for seed, count in enumerate([64, 64, 96, 64, 96, 48, 64])]
    second = [
        copied(first[0], 1),
        crop(11, 64),
        copied(first[2], 2),
        crop(13, 96),
        crop(14, 96),
        crop(15, 0),
        crop(16, 64),
    ]
    return first, second


def by_kornia(network: LightGlue, query: LearnedFeatures, candidate: LearnedFeatures, adaptive: bool) -> dict:
    data = {
        name: {
            "keypoints": torch.from_numpy(features.xy)[None],
            "descriptors": torch.from_numpy(features.descriptors.astype(np.float32))[None],
            "image_size": torch.tensor([features.size]),
        }
        for name, features in (("image0", query), ("image1", candidate))
    }
    other = copy.deepcopy(network)
    if not adaptive:
        other.conf.depth_confidence = other.conf.width_confidence = -1
    with torch.inference_mode():
        return other(data)


def layers(network: LightGlue, count: int) -> LightGlue:
    shallow = copy.deepcopy(network)
    shallow.transformers = shallow.transformers[:count]
    return shallow


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_batch_finds_what_kornia_finds_pair_by_pair(network, pairs, adaptive, batch, monkeypatch):
    monkeypatch.setattr(lightglue, "_sizes", lambda kept: kept)  # kornia keeps no point more than it must
    matches, layers, pruned = 0, set(), 0
    results = match_pairs(network, *pairs, Effort(batch, adaptive, 0, 0, half=False))
    for query, candidate, found in zip(*pairs, results, strict=True):
        expected = by_kornia(network, query, candidate, adaptive)
        assert np.c_[found.query, found.candidate].tolist() == expected["matches"][0].tolist()
        np.testing.assert_allclose(found.confidence, expected["scores"][0], atol=1e-4)
        matches += len(found.query)
        layers.add(expected["stop"])
        pruned += int((expected["prune0"] < expected["prune0"].max()).sum())
    assert matches > 10
    assert not adaptive or (pruned and len(layers) > 1), "pairs lose points and stop at different layers"


def test_a_pair_does_not_depend_on_its_neighbours_in_the_batch(network, pairs):
    effort = Effort(8, True, 0, 0, half=False)
    together = match_pairs(network, *pairs, effort)
    alone = [
        match_pairs(network, [query], [candidate], replace(effort, batch=1))[0]
        for query, candidate in zip(*pairs, strict=True)
    ]
    for left, right in zip(together, alone, strict=True):
        assert left.query.tolist() == right.query.tolist() and left.candidate.tolist() == right.candidate.tolist()
    assert len(together[5].query) == 0  # no keypoints


@pytest.mark.parametrize("glance", [32, 96])
def test_pairs_with_few_matches_at_first_glance_keep_these_and_no_other_changes(network, pairs, glance):
    whole, hopeful = (match_pairs(network, *pairs, Effort(8, True, give_up, glance, False)) for give_up in (0, 1))
    shallow, looked = layers(network, lightglue.GLANCED), []
    for full, found, *pair in zip(whole, hopeful, *pairs, strict=True):
        few = [replace(crop, xy=crop.xy[:glance], descriptors=crop.descriptors[:glance]) for crop in pair]
        (seen,) = match_pairs(shallow, *([crop] for crop in few), Effort(1, False, 0, 0, False))
        looked.append(bool((seen.confidence > lightglue.CONFIDENT).any()))
        expected = full if looked[-1] else seen
        assert found.query.tolist() == expected.query.tolist()
        assert found.candidate.tolist() == expected.candidate.tolist()
        np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
    assert set(looked) == {True, False}


def test_pairs_that_have_no_more_matches_after_another_layer_are_given_up(network, pairs, monkeypatch):
    effort = Effort(8, False, 2, 96, False)
    shallow = match_pairs(layers(network, 2), *pairs, replace(effort, give_up=0))
    counts = [(found.confidence > lightglue.CONFIDENT).sum() for found in shallow]
    assert counts[0] == counts[2] == 2, "as many as at first glance, and three are asked for after two layers"
    stopped = match_pairs(network, *pairs, effort)
    monkeypatch.setattr(lightglue, "JUDGED", ())
    whole, full = match_pairs(network, *pairs, effort), match_pairs(network, *pairs, replace(effort, give_up=0))
    for place in (0, 2):
        assert np.array_equal(stopped[place].confidence, shallow[place].confidence)
        assert np.array_equal(whole[place].confidence, full[place].confidence)
        assert not np.array_equal(stopped[place].confidence, full[place].confidence)


def test_a_network_made_ready_finds_the_same_and_keeps_no_more_crops_than_it_may(network, pairs, monkeypatch):
    looks = []
    first_points = lightglue.first_points
    monkeypatch.setattr(lightglue, "first_points", lambda *asked: looks.append(asked) or first_points(*asked))
    effort = Effort(4, True, 0, 0, half=False)
    expected = match_pairs(network, *pairs, effort)
    for most, again in ((lightglue.KEPT, 0), (200, 1)):
        monkeypatch.setattr(lightglue, "KEPT", most)
        ready, before = Ready(network, half=False), len(looks)
        for _ in range(2):
            for left, right in zip(expected, match_pairs(ready, *pairs, effort), strict=True):
                assert np.array_equal(left.query, right.query) and np.array_equal(left.confidence, right.confidence)
        seen = len(looks) - before
        assert seen == 12 if not again else seen > 12, "twelve crops with keypoints meet one; each looks at itself once"
        assert ready._points == sum(count for _, count in ready._known) <= most


def test_half_precision_finds_about_the_same(network, pairs):
    full, half = (match_pairs(network, *pairs, Effort(4, False, 0, 0, half)) for half in (False, True))
    sure = [
        {(i, *match) for i, found in enumerate(way) for match in zip(found.query, found.candidate, strict=True)}
        for way in (full, half)
    ]
    assert len(sure[0] & sure[1]) > 0.7 * len(sure[0] | sure[1]) > 0


def test_counts_of_keypoints_are_rounded_down_by_at_most_an_eighth():
    assert [rounded_count(count) for count in (0, 1, 15, 17, 127, 300, 511, 512)] == [0, 1, 15, 16, 120, 288, 480, 512]
    assert all(0 <= count - rounded_count(count) <= count / 8 for count in range(1, 3000))


def test_sizes_never_drop_a_point_that_is_kept():
    kept = torch.arange(0, 600)
    sizes = lightglue._sizes(kept)
    assert (sizes >= kept).all() and (sizes >= 24).all()
    assert (sizes[40:] < 1.5 * kept[40:]).all() and len(sizes.unique()) < 12


def test_scores_count_sure_matches_and_break_ties_by_confidence():
    nothing = np.zeros(0)
    assert count_matches(PairMatches(nothing, nothing, nothing), 0.5) == 0
    assert count_matches(PairMatches(*np.zeros((2, 3)), np.array([0.9, 0.6, 0.3])), 0.5) == pytest.approx(2.6)
    assert count_matches(PairMatches(*np.zeros((2, 2)), np.array([1.0, 1.0])), 0.5) == pytest.approx(2.999)


def planted(inliers: int, outliers: int):
    """Keypoints under a homography, and others anywhere."""
    rng = np.random.default_rng(0)
    start = rng.uniform(20, 180, (inliers + outliers, 2)).astype(np.float32)
    warp = np.array([[0.9, 0.1, 8], [-0.05, 1.1, 3], [2e-4, 1e-4, 1]])
    end = cv2.perspectiveTransform(start[None], warp)[0] + rng.normal(scale=0.3, size=start.shape)
    end[inliers:] = rng.uniform(0, 200, (outliers, 2))
    size, places = (200, 200), np.arange(len(start))
    first, second = (LearnedFeatures(xy.astype(np.float32), start, start[:, 0], size) for xy in (start, end))
    return first, second, PairMatches(places, places, np.ones(len(start), np.float32))


def test_magsac_finds_planted_inliers_again_and_again():
    first, second, matches = planted(30, 20)
    found = magsac_inliers(first, second, matches)
    assert found[:30].mean() > 0.95 and found[30:].mean() < 0.2
    assert all((magsac_inliers(first, second, matches) == found).all() for _ in range(5))
    assert len(matches.only(found).query) == found.sum()


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_few_or_degenerate_matches_have_no_inliers_or_some_but_never_fail(count):
    first, second, matches = planted(count, 0)
    assert magsac_inliers(first, second, matches).shape == (count,)
    same = LearnedFeatures(np.ones((count, 2), np.float32), first.descriptors, first.strength, first.size)
    assert not magsac_inliers(same, same, matches).any()
