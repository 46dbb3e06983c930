"""What a user wants of a photo: by which detector animals are found, and which of them are of a species of interest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pelage.catalogue.words import SPECIES_SCORE, spelling
from pelage.common.params import choose

BACKENDS = ("embedded", "megadetector", "columns", "whole")
"""How animals are found."""

OLD_NAMES = {"saliency": "embedded"}
"""Former names of backends, which mean the same; this is the one place that knows."""


def read_backend(detect: Mapping[str, Any], dataset: Mapping[str, Any]) -> str:
    """Return the backend that the section `detect` asks for, or the data set's entry where that is `auto`.

    Raises:
        PelageError: There is no such backend.
    """
    told = detect["backend"] if detect["backend"] != "auto" else dataset.get("boxes", BACKENDS[0])
    told = OLD_NAMES.get(told, told) if isinstance(told, str) else told
    return choose(told, BACKENDS, "detect.backend (auto: the data set's `boxes`)")


def other_species(species: Sequence[str], scores: Sequence[float], wanted: Sequence[str]) -> list[bool]:
    """Tell of each of N animals whether it is surely of a species that nobody asked for.

    Args:
        species: N words as results or claims write them, empty where nobody says.
        scores: N scores of these words, 0..1; not a number where none is told, as of a claim, which then counts.
        wanted: The words that are asked for, in whatever case; none: all are wanted.

    Returns:
        N truth values; an animal of unknown species is kept, as is one whose species is less sure than `SPECIES_SCORE`.
    """
    words = {_folded(word) for word in wanted}
    return [
        bool(words and _folded(word) and _folded(word) not in words and not score < SPECIES_SCORE)
        for word, score in zip(species, scores, strict=True)
    ]


def _folded(word: str) -> str:
    return spelling(word).casefold()
