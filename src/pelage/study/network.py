"""A multilayer perceptron in NumPy: ReLU layers and a softmax, with its own backpropagation and its own Adam.

A network is the list of its arrays `[W1, b1, W2, b2, ...]`, each `W` of shape `(inputs, outputs)`; the last pair gives
the logits. Everything is computed in the type of these arrays, so the same code is checked in float64 and trained in
float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Network = list[np.ndarray]


def new_network(sizes: Sequence[int], rng: np.random.Generator, dtype: type = np.float32) -> Network:
    """Return random weights after He et al. (ICCV 2015), `N(0, 2 / inputs)`, and biases of 0.

    Args:
        sizes: Inputs, units of each hidden layer, labels.
        rng: Where the weights come from.
        dtype: Type of all arrays.
    """
    network = []
    for inputs, outputs in pairwise(sizes):
        network.append((rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs)).astype(dtype))
        network.append(np.zeros(outputs, dtype))
    return network


def activations(network: Network, inputs: np.ndarray) -> list[np.ndarray]:
    """Return what each layer gives: the inputs `(N, D)`, the hidden layers after their ReLU, the logits `(N, L)`."""
    layers = [inputs]
    for weights, bias in zip(network[:-2:2], network[1:-2:2], strict=True):
        layers.append(np.maximum(layers[-1] @ weights + bias, 0))
    return [*layers, layers[-1] @ network[-2] + network[-1]]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities `(N, L)`, without overflow for large logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-probability of the labels, in nats.

    Args:
        logits: `(N, L)`.
        labels: `(N,)` integers below L.
    """
    return float(-log_softmax(logits)[np.arange(len(labels)), labels].mean())


def gradients(network: Network, inputs: np.ndarray, labels: np.ndarray) -> Network:
    """Return the gradient of the mean cross-entropy by each array of the network, by backpropagation.

    Args:
        network: As `new_network` gives it.
        inputs: `(N, D)`.
        labels: `(N,)` integers.
    """
    *layers, logits = activations(network, inputs)
    error = np.exp(log_softmax(logits))
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    found: Network = []
    for place, layer in reversed(list(enumerate(layers))):
        found = [layer.T @ error, error.sum(axis=0), *found]
        if place:
            error = (error @ network[2 * place].T) * (layer > 0)
    return found


def embeddings(network: Network, inputs: np.ndarray) -> np.ndarray:
    """Return the last hidden layer of each input, `(N, H)`, of length 1; of length 0 where no unit answers."""
    points = activations(network, inputs)[-2]
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), np.finfo(points.dtype).tiny)


class Adam:
    """Adam (Kingma and Ba, ICLR 2015, algorithm 1): steps that are scaled by running means of the gradient.

    Args:
        rate: Learning rate.
        beta1: Decay of the mean of the gradient.
        beta2: Decay of the mean of its square.
        epsilon: Added to the root of that mean.
    """

    def __init__(self, rate: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> None:
        self.rate, self.beta1, self.beta2, self.epsilon = rate, beta1, beta2, epsilon
        self._step = 0
        self._means: Network = []
        self._squares: Network = []

    def update(self, network: Network, gradient: Network) -> None:
        """Move the arrays of a network in place, always those of the same one."""
        if not self._step:
            self._means, self._squares = ([np.zeros_like(array) for array in network] for _ in range(2))
        self._step += 1
        rate = self.rate / (1 - self.beta1**self._step)
        unbias = (1 - self.beta2**self._step) ** -0.5
        for array, slope, mean, square in zip(network, gradient, self._means, self._squares, strict=True):
            mean += (1 - self.beta1) * (slope - mean)
            square += (1 - self.beta2) * (slope * slope - square)
            array -= rate * mean / (unbias * np.sqrt(square) + self.epsilon)
