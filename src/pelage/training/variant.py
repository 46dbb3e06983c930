"""Variants: one training a seed. A part, a view, and what differs from the default sections of the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pelage.common.params import entry, merged
from pelage.model.crops import VIEWS

SECTIONS = ("model", "loss", "train", "augment")


@dataclass(frozen=True)
class Variant:
    """One training or, before `for_each_seed`, those of several seeds, with every parameter in its place.

    Attributes:
        name: Key below `variants`.
        part: Part of the animal.
        view: View of its crops.
        channels: 3, or 4 with edges.
        model: Section `model` with the variant's own values laid over it; so are the others.
    """

    name: str
    part: str
    view: str
    channels: int
    model: Mapping[str, Any]
    loss: Mapping[str, Any]
    train: Mapping[str, Any]
    augment: Mapping[str, Any]


def read_variant(params: Mapping[str, Any], name: str) -> Variant:
    """Return the variant `name` of `params.yaml`, whose values were checked (see `pelage.settings`).

    Raises:
        PelageError: There is no such variant.
    """
    own = entry(params["variants"], name, "variants")
    sections = {
        section: merged(params[section], own.get(section), f"variants.{name}.{section}") for section in SECTIONS
    }
    return Variant(name, own["part"], own["view"], VIEWS[own["view"]], **sections)


def for_each_seed(variant: Variant) -> dict[int, Variant]:
    """Return the trainings of a variant by seed: one `train.seed` instead of `train.seeds`, none knows of others."""
    shared = {key: value for key, value in variant.train.items() if key != "seeds"}
    return {seed: replace(variant, train={**shared, "seed": seed}) for seed in variant.train["seeds"]}
