"""LightGlue's loss: numbers made by hand, a literal transcription of equation 11, and what its gradients reach."""

import copy

import numpy as np
import pytest
import torch
from kornia.feature import LightGlue

from pelage.tuning.correspondences import NONE, UNKNOWN
from pelage.tuning.loss import matching_loss, negative_log_likelihood


def test_by_hand():
    # two keypoints and two: the first ones are the same (probability .5), the second ones have no counterpart
    likely = np.log([[0.5, 0.1, 0.2], [0.1, 0.1, 0.8], [0.3, 0.4, 1.0]])
    partner = torch.tensor([[0, NONE]])
    loss = negative_log_likelihood(torch.from_numpy(likely)[None], partner, partner)
    assert loss.item() == pytest.approx(-np.log(0.5) - (np.log(0.8) + np.log(0.4)) / 2)


def test_what_is_unknown_does_not_count():
    assignment = torch.log_softmax(torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0)), 2)
    query, candidate = torch.tensor([[1, NONE, UNKNOWN, UNKNOWN]]), torch.tensor([[UNKNOWN, 0, NONE]])
    changed = assignment.clone()
    changed[0, 2] = changed[0, 3] = 7
    changed[0, :, 0] = 7
    losses = [negative_log_likelihood(tensor, query, candidate) for tensor in (assignment, changed)]
    assert losses[0] == losses[1]
    assert negative_log_likelihood(assignment, torch.full((1, 4), UNKNOWN), torch.full((1, 3), UNKNOWN)) == 0


def literal(assignment: np.ndarray, query: list[int], candidate: list[int]) -> float:
    same = [(i, j) for i, j in enumerate(query) if j >= 0]
    alone = [i for i, j in enumerate(query) if j == NONE]
    alone_too = [j for j, i in enumerate(candidate) if i == NONE]
    total = 0.0
    if same:
        total -= sum(assignment[i, j] for i, j in same) / len(same)
    if alone:
        total -= sum(assignment[i, -1] for i in alone) / (2 * len(alone))
    if alone_too:
        total -= sum(assignment[-1, j] for j in alone_too) / (2 * len(alone_too))
    return total


def test_agrees_with_a_literal_transcription_of_equation_11():
    rng = np.random.default_rng(0)
    for _ in range(30):
        count, others = rng.integers(1, 9, 2)
        assignment = rng.normal(size=(count + 1, others + 1))
        query, candidate = rng.choice([NONE, UNKNOWN], count), rng.choice([NONE, UNKNOWN], others)
        some = rng.integers(0, min(count, others) + 1)
        one, two = rng.permutation(count)[:some], rng.permutation(others)[:some]
        query[one], candidate[two] = two, one
        ours = negative_log_likelihood(*(torch.from_numpy(array)[None] for array in (assignment, query, candidate)))
        assert ours.item() == pytest.approx(literal(assignment, query.tolist(), candidate.tolist()))


@pytest.fixture
def network() -> LightGlue:
    torch.manual_seed(1)
    return LightGlue(features=None, input_dim=128, n_layers=3, descriptor_dim=32, num_heads=2)


def test_each_layer_counts_and_confidence_learns_from_points_that_it_does_not_change(network):
    torch.manual_seed(2)
    values = [tuple(torch.randn(2, count, 32) for count in (5, 4)) for _ in range(3)]
    query, candidate = torch.tensor([[0, 1, NONE, NONE, UNKNOWN]] * 2), torch.tensor([[0, 1, NONE, NONE]] * 2)
    doubted = copy.deepcopy(network)
    with torch.no_grad():
        for confidence in doubted.token_confidence:
            confidence.token[0].weight += 3
    slopes = []
    for judged in (network, doubted):
        layers = [tuple(side.clone().requires_grad_() for side in pair) for pair in values]
        losses = matching_loss(judged, layers, query, candidate)
        assert losses.shape == (2,)
        losses.sum().backward()
        slopes.append([side.grad for pair in layers for side in pair])
        assert all(token.token[0].weight.grad.abs().sum() > 0 for token in judged.token_confidence)
    assert all(slope.abs().sum() > 0 for slope in slopes[0])
    for left, right in zip(*slopes, strict=True):
        torch.testing.assert_close(left, right)
