"""What a user wants of a photo: by which detector animals are found, and which of them are of a species of interest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pelage.catalogue.words import spelling
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


def other_species(species: Sequence[str], wanted: Sequence[str]) -> list[bool]:
    """Tell of each of N animals whether it is of a species that nobody asked for.

    Args:
        species: N words as results or claims write them, empty where nobody says.
        wanted: The words that are asked for, in whatever case; none: all are wanted.

    Returns:
        N truth values; an animal of unknown species is kept.
    """
    words = {_folded(word) for word in wanted}
    return [bool(words and _folded(word) and _folded(word) not in words) for word in species]


def _folded(word: str) -> str:
    return spelling(word).casefold()
