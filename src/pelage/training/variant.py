"""Variants: one training a seed. A part, a view, and what differs from the default sections of the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pelage.common.errors import PelageError
from pelage.common.params import choose, entry, merged
from pelage.losses.registry import comparing, loss_terms
from pelage.model.crops import view_channels

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
    """Return the variant `name` of `params.yaml`.

    Raises:
        PelageError: There is no such variant; its part, view, loss or one of its fields is unknown; its loss compares
            photos of an individual, of which a batch never has two; its head would never learn; or its seeds are no
            different whole numbers.
    """
    own = entry(params["variants"], name, "variants")
    where = f"variants.{name}"
    known = ("part", "view", *SECTIONS)
    if not isinstance(own, Mapping):
        raise PelageError(f"params.yaml: {where} is {own!r}; it must be fields and values, of {', '.join(known)}.")
    for field in own:
        if field not in known:
            raise PelageError(f"params.yaml: {where} has the unknown field {field!r}; known are {', '.join(known)}.")
    for field in ("part", "view"):
        if field not in own:
            raise PelageError(f"params.yaml: {where} does not say its {field}.")
    sections = {section: merged(params[section], own.get(section), f"{where}.{section}") for section in SECTIONS}
    loss_terms(sections["loss"], f" of {where}")
    seeds = sections["train"]["seeds"]
    whole = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise PelageError(
            f"params.yaml: train.seeds of {where} is {seeds!r}; it must be a list of different whole numbers from 0, "
            "such as [1, 2, 3]."
        )
    photos, losses = sections["train"]["photos_per_identity"], comparing(sections["loss"])
    if photos == 1 and losses:
        raise PelageError(
            f"params.yaml: train.photos_per_identity of {where} is 1, but its loss {' and '.join(losses)} compares two "
            "photos of an individual. Set it to 2 or more, or choose a loss of classes without miner_weights."
        )
    variant = Variant(
        name=name,
        part=choose(own["part"], params["parts"], f"{where}.part"),
        view=own["view"],
        channels=view_channels(own["view"], f"{where}.view"),
        **sections,
    )
    if variant.train["epochs"] == 0 and variant.model["depth"] != 0:
        raise PelageError(
            f"params.yaml: train.epochs of {where} is 0, so that its head would stay as random as it starts. Set "
            f"{where}.model.depth to 0 to take the backbone's own features, or let it learn."
        )
    return variant


def for_each_seed(variant: Variant) -> dict[int, Variant]:
    """Return the trainings of a variant by seed: one `train.seed` instead of `train.seeds`, none knows of others."""
    shared = {key: value for key, value in variant.train.items() if key != "seeds"}
    return {seed: replace(variant, train={**shared, "seed": seed}) for seed in variant.train["seeds"]}
