"""Animal: what a detector finds, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pelage.preprocess.boxes import Box


@dataclass(frozen=True)
class Animal:
    """One animal of a photo.

    Attributes:
        box: Whole pixels of the photo.
        score: How sure the detector is, 0..1.
        found_by: The detector, or `claim` for a box that the source has and the detector has not.
        mask: Its silhouette `(h, w)` bool within the box, if the detector tells.
        species: As a results file has it, if it is sure, else empty.
        outline: What of the photo its silhouette was seen in: `photo` (all of it), `box` (its box and some room around
            it), or empty where none was looked for or seen.
    """

    box: Box
    score: float
    found_by: str
    mask: np.ndarray | None = None
    species: str = ""
    outline: str = ""
