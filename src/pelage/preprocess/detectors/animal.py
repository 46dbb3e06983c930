"""Animal: what a detector finds, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pelage.preprocess.boxes import Box


@dataclass(frozen=True)
class Animal:
    """One animal of a photo: its box, how sure it is (0..1), and its silhouette `(h, w)` bool if the detector tells.

    `found_by` is the detector, or `claim` for a box that the source has and the detector has not.
    """

    box: Box
    score: float
    found_by: str
    mask: np.ndarray | None = None
    species: str = ""
