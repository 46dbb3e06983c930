"""The perceptron: its gradient against differences and torch, its Adam against torch's, and numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pelage.study.network import (
    Adam,
    activations,
    cross_entropy,
    embeddings,
    gradients,
    log_softmax,
    new_network,
)

SIZES = [(12, 5, 4), (12, 6, 6, 4), (12, 4)]


def problem(sizes, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    network = new_network(sizes, rng, dtype)
    network[1::2] = [rng.normal(size=bias.shape).astype(dtype) for bias in network[1::2]]
    return network, rng.normal(size=(7, sizes[0])).astype(dtype), rng.integers(0, sizes[-1], 7)


def in_torch(network) -> torch.nn.Sequential:
    layers = []
    for weights, bias in zip(network[::2], network[1::2], strict=True):
        layer = torch.nn.Linear(*weights.shape, dtype=torch.from_numpy(weights).dtype)
        layer.weight.data, layer.bias.data = torch.from_numpy(weights.T.copy()), torch.from_numpy(bias.copy())
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def of_torch(values) -> list[np.ndarray]:
    return [value.numpy().T for value in values]


@pytest.mark.parametrize("sizes", SIZES)
def test_the_gradient_is_that_of_central_differences(sizes):
    network, inputs, labels = problem(sizes)
    found, step = gradients(network, inputs, labels), 1e-6
    for array, slope in zip(network, found, strict=True):
        for place in np.ndindex(array.shape):
            kept, losses = array[place], []
            for side in (step, -step):
                array[place] = kept + side
                losses.append(cross_entropy(activations(network, inputs)[-1], labels))
            array[place] = kept
            assert slope[place] == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("sizes", SIZES)
def test_loss_and_gradient_are_those_of_torch(sizes):
    network, inputs, labels = problem(sizes)
    model = in_torch(network)
    loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(inputs)), torch.from_numpy(labels))
    loss.backward()
    assert cross_entropy(activations(network, inputs)[-1], labels) == pytest.approx(loss.item(), rel=1e-12)
    theirs = of_torch(parameter.grad for parameter in model.parameters())
    for own, other in zip(gradients(network, inputs, labels), theirs, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-12)


def test_twenty_steps_of_adam_are_those_of_torch():
    network, inputs, labels = problem((12, 6, 6, 4))
    model, adam = in_torch(network), Adam(0.05)
    theirs = torch.optim.Adam(model.parameters(), lr=0.05, betas=(0.9, 0.999), eps=1e-8)
    for _ in range(20):
        adam.update(network, gradients(network, inputs, labels))
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.from_numpy(inputs)), torch.from_numpy(labels)).backward()
        theirs.step()
        for own, other in zip(network, of_torch(p.detach() for p in model.parameters()), strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-12)


def test_the_first_step_of_adam_is_the_rate_whatever_the_slope():
    network = [np.array([1.0, 2.0, 3.0])]
    Adam(0.1).update(network, [np.array([5.0, -0.01, 0.0])])
    np.testing.assert_allclose(network[0], [0.9, 2.1, 3.0], atol=1e-6)


def test_cross_entropy_by_hand_and_without_overflow():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    assert cross_entropy(logits, np.array([0, 2])) == pytest.approx((np.log(2) + np.log(1.25)) / 2)
    np.testing.assert_allclose(log_softmax(np.array([[1e4, 0.0]], np.float32)), [[0.0, -1e4]])


def test_activations_by_hand():
    network = [np.array([[1.0, -1.0], [2.0, 0.0]]), np.array([0.5, 0.5]), np.array([[1.0], [3.0]]), np.array([-1.0])]
    hidden, logits = activations(network, np.array([[1.0, 1.0], [-1.0, 0.0]]))[1:]
    assert hidden.tolist() == [[3.5, 0.0], [0.0, 1.5]]
    assert logits.tolist() == [[2.5], [3.5]]
    assert embeddings(network, np.array([[1.0, 1.0], [-1.0, -0.5]])).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_silent_units_give_a_point_of_length_0_not_nan():
    network = [np.zeros((3, 2), np.float32), np.full(2, -1, np.float32), np.zeros((2, 2), np.float32), np.zeros(2)]
    assert embeddings(network, np.ones((1, 3), np.float32)).tolist() == [[0.0, 0.0]]


def test_initial_weights_have_the_variance_of_he():
    weights, bias, *_ = new_network((400, 300, 2), np.random.default_rng(1))
    assert weights.dtype == np.float32
    assert weights.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert not bias.any()
