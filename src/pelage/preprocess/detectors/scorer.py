"""Scorer: how probable it is that a proposal of the embedded detector is an animal.

Gradient-boosted trees (Friedman, Annals of Statistics 29(5), 2001), few and shallow, as numbers in `scorer.yaml`;
`scorer_training.py` makes them with scikit-learn.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pelage.common.files import sha256_bytes
from pelage.common.params import read_yaml

TREES = Path(__file__).with_name("scorer.yaml")


@dataclass(frozen=True)
class Scorer:
    """Trees as a function of features.

    Attributes:
        nodes: `(T, M, 5)` float32: feature, threshold, node to the left (at most the threshold), node to the right,
            and value, of M nodes of each of T trees. A leaf leads to itself.
        base: Log odds before the first tree.
        depth: Steps from a root to any leaf.
    """

    nodes: np.ndarray
    base: float
    depth: int

    @property
    def sha256(self) -> str:
        """Hash of all numbers, for memo keys."""
        return sha256_bytes(self.nodes.tobytes() + np.float64(self.base).tobytes())

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return probabilities `(N,)` of features `(N, F)`."""
        rows, trees = np.arange(len(features))[:, None], np.arange(len(self.nodes))[None]
        at = np.zeros((len(features), len(self.nodes)), int)
        for _ in range(self.depth):
            feature, threshold, left, right, _ = np.moveaxis(self.nodes[trees, at], -1, 0)
            at = np.where(features[rows, feature.astype(int)] <= threshold, left, right).astype(int)
        return 1 / (1 + np.exp(-(self.base + self.nodes[trees, at, 4].astype(float).sum(axis=1))))


def read_scorer(path: Path = TREES) -> Scorer:
    """Read the trees."""
    told = read_yaml(path)
    nodes = np.frombuffer(base64.b64decode(told["nodes"].replace(" ", "")), "<f4")
    return Scorer(nodes.reshape(*told["shape"], 5), float(told["base"]), int(told["depth"]))


def write_scorer(scorer: Scorer, said: str) -> str:
    """Return the text of a file of trees, with a comment that says where they are from."""
    text = base64.b64encode(scorer.nodes.astype("<f4").tobytes()).decode()
    lines = "\n".join(f"  {text[start : start + 100]}" for start in range(0, len(text), 100))
    comment = "\n".join(f"# {line}" for line in said.splitlines())
    shape = ", ".join(str(number) for number in scorer.nodes.shape[:2])
    return f"{comment}\nbase: {scorer.base!r}\ndepth: {scorer.depth}\nshape: [{shape}]\nnodes: >-\n{lines}\n"
