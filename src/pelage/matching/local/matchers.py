"""Matchers: methods that compare local features, each an entry of `matchers` in params.yaml.

An entry names a part of the animal, a kind, and whatever differs from the kind's defaults. A kind is a frozen
dataclass: its fields are the parameters, with their defaults, and

    features(crops, masks, files) -> features of each crop, computed once and memoised (`pelage.matching.features`);
        the first two are `pelage.common.packs.Packs`, the third are names in both
    score(queries, gallery, permitted, identity) -> Scores of all pairs (`pelage.matching.local.ranking.Score`)

are all that it has to do; whether it scores all pairs or a shortlist is its own affair. `detail` are a few words for
the leaderboard; it may have `presets` (values of fields by name), `choices` (the values that a field may have) and
`pairwise` (a score depends on the two crops alone, whoever else is in the gallery: no pair is compared twice).
One that searches the keypoints of a gallery at once has `nearest(index)`, the search, whose recall is told.
Flanks, protocols and the table of rankings are the same for all kinds (`pelage.matching.local.ranking.rank`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pelage.common.errors import PelageError
from pelage.common.params import choose, entry, merged
from pelage.common.tables import PARTS
from pelage.matching.local.hotspotter import DogSift, HotSpotter
from pelage.matching.local.ratio_test import RatioTest
from pelage.matching.local.sift_lnbnn import SiftLnbnn

KINDS: dict[str, type] = {
    "sift_lnbnn": SiftLnbnn,
    "hotspotter": HotSpotter,
    "dog_sift": DogSift,
    "ratio_test": RatioTest,
}


@dataclass(frozen=True)
class Matcher:
    """One entry of `matchers`.

    Attributes:
        name: Its key.
        part: Part of the animal.
        same_side: A left flank never matches a right one.
        method: An instance of one of `KINDS`.
    """

    name: str
    part: str
    same_side: bool
    method: Any

    @property
    def needs_masks(self) -> bool:
        """Whether the method tells coat from background by masks: all do that are not told to leave it."""
        return getattr(self.method, "foreground", True)

    @property
    def pairwise(self) -> bool:
        """Whether a score depends on the two crops alone."""
        return getattr(self.method, "pairwise", False)


def read_matcher(params: Mapping[str, Any], name: str) -> Matcher:
    """Return the matcher `name` of `params.yaml`.

    Raises:
        PelageError: There is no such matcher, or its part, kind, preset or one of its fields is unknown.
    """
    own = dict(entry(params["matchers"], name, "matchers"))
    where = f"matchers.{name}"
    for field in ("part", "kind"):
        if field not in own:
            raise PelageError(f"params.yaml: {where} does not say its {field}.")
    part = choose(own.pop("part"), PARTS, f"{where}.part")
    kind = KINDS[choose(own.pop("kind"), KINDS, f"{where}.kind")]
    same_side = own.pop("same_side", True)
    presets = getattr(kind, "presets", None)
    values = {field.name: field.default for field in fields(kind)}
    if presets and "preset" in own:
        values |= presets[choose(own.pop("preset"), presets, f"{where}.preset")]
    values = merged(values, own, where)
    for field, allowed in getattr(kind, "choices", {}).items():
        choose(values[field], allowed, f"{where}.{field}")
    return Matcher(name, part, same_side, kind(**values))
