"""Results: what `data/boxes.csv`, the boxes of a results file, has of each photo."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from pelage.catalogue.words import SPECIES_SCORE

NUMBERS = dict.fromkeys(("score", "species_score", "x", "y", "w", "h"), float)
"""Columns of `data/boxes.csv` that are numbers."""


@dataclass(frozen=True)
class Told:
    """One box that somebody else's detector has.

    Attributes:
        category: animal, person or vehicle.
        score: How sure it was, 0..1.
        box: x, y, width and height: shares of the photo's sides, or pixels (`of_photo`).
        species: Its word for what the animal is, or empty; `species_score` is how sure that is, 0..1.
    """

    category: str
    score: float
    box: tuple[float, float, float, float]
    species: str = ""
    species_score: float = 1.0

    @property
    def sure_species(self) -> str:
        """The word, or empty where it is not sure."""
        return self.species if self.species_score >= SPECIES_SCORE else ""

    def of_photo(self, width: int, height: int) -> Told:
        """Return a box of shares in pixels of its photo."""
        x, y, w, h = self.box
        return replace(self, box=(x * width, y * height, w * width, h * height))


def results_by_photo(boxes: pd.DataFrame) -> dict[str, list[Told]]:
    """Return the boxes of each photo that was looked at; none where nothing was found.

    Args:
        boxes: Rows of `data/boxes.csv`, numbers as floats; a row of the category `none` says that nothing was found.
    """
    told: dict[str, list[Told]] = {}
    sure = boxes["species_score"].fillna(1.0)
    columns = (boxes[name] for name in ("image_id", "category", "score", "x", "y", "w", "h", "species"))
    for image_id, category, score, x, y, w, h, species, species_score in zip(*columns, sure, strict=True):
        mine = told.setdefault(image_id, [])
        if category != "none":
            mine.append(Told(category, score, (x, y, w, h), species, species_score))
    return told
