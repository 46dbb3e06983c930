"""Training data: crops of one part and view, their labels, what validation asks, and crops as an epoch shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pelage.common.packs import Packs
from pelage.common.seeds import generator
from pelage.losses.registry import comparing
from pelage.model.crops import present, read_crops, read_masks
from pelage.split.labels import tells_its_label
from pelage.split.protocols import ProtocolSet
from pelage.training.augment import augment, flips_at_random, mirrors_are_others, swap_background
from pelage.training.checkpoint import joint_digest
from pelage.training.validation import Validation, validation_of
from pelage.training.variant import Variant


@dataclass(frozen=True)
class TrainingData:
    """What a network learns from.

    Attributes:
        ids: N crop ids.
        images: `(N, H, W, C)` uint8, training and validation crops.
        masks: `(N, H, W)` uint8, 255 on the animal; None where backgrounds are not swapped.
        train: `(T,)` places of the training crops that are learnt.
        mirrored: `(T,)` bool: learnt as its mirror image, under a label of its own.
        labels: `(T,)` integers from 0, the label of each training crop.
        encounters: `(T,)` integers, equal for training crops of one encounter.
        validation: What is asked after an epoch, or None.
        side_unknown: Number of training crops that are not learnt because nobody knows which flank they show.
    """

    ids: tuple[str, ...]
    images: np.ndarray
    masks: np.ndarray | None
    train: np.ndarray
    mirrored: np.ndarray
    labels: np.ndarray
    encounters: np.ndarray
    validation: Validation | None
    side_unknown: int


def training_data(
    variant: Variant, protocol: ProtocolSet, crops: Packs, masks: Packs
) -> tuple[TrainingData | None, str]:
    """Read the crops that a variant learns from and is validated on.

    Args:
        variant: Says channels, size and augmentation.
        protocol: `validation`: its gallery is what is learnt, its queries of known individuals are asked.
        crops: Of the variant's view and part.
        masks: Of the part.

    Returns:
        The data and the joint hash of all that it was made of, pixels and rows, which other photos of a survey leave as
        it is; or None and the reason why there is nothing to learn.
    """
    files = set(present([*protocol.gallery["crop_id"], *protocol.queries["crop_id"]], crops))
    gallery = protocol.gallery[protocol.gallery["crop_id"].isin(files)]
    queries = protocol.queries[protocol.queries["crop_id"].isin(files) & protocol.queries["known"]]
    known = tells_its_label(gallery)
    counts = gallery["label"].map(gallery.loc[known, "label"].value_counts()).fillna(0)
    teaches = known & (counts >= variant.train["min_photos"]).to_numpy()
    names, labels = np.unique(gallery.loc[teaches, "label"].to_numpy(str), return_inverse=True)
    if len(names) < 2:
        told = f"{teaches.sum()} training crops of {variant.part} with {len(names)} labels"
        if (least := variant.train["min_photos"]) > 1:
            told += f" of at least {least} crops"
        return None, f"{told}; two labels are needed"
    if losses := comparing(variant.loss):
        told, single = f"{' and '.join(losses)} compares photos of a label", int((np.bincount(labels) == 1).sum())
        if single == len(names):
            return None, f"{len(labels)} training crops of {variant.part}, no two of one label; {told}"
        if single:
            print(f"{variant.name}: {told}; {single} of {len(names)} labels have a single training crop, no positive")
    encounters = np.unique(gallery.loc[teaches, "encounter"].to_numpy(str), return_inverse=True)[1]
    ids = [*gallery["crop_id"], *queries["crop_id"]]
    width, height = variant.model["width"], variant.model["height"]
    pixels, digests = read_crops(ids, crops, variant.channels, width, height)
    shapes = None
    if variant.augment["background"] > 0 and variant.view.startswith("crop"):
        shapes, more = read_masks(ids, masks, width, height)
        digests = [*digests, *more]
    places, count = np.arange(len(ids)), len(gallery)
    copies = 2 if mirrors_are_others(variant.part, variant.augment["flip"]) else 1
    side = np.repeat(np.arange(copies), len(labels))
    data = TrainingData(
        ids=tuple(ids),
        images=pixels,
        masks=shapes,
        train=np.tile(np.flatnonzero(teaches), copies),
        mirrored=side == 1,
        labels=np.tile(labels, copies).astype(np.int64) + side * len(names),
        encounters=np.tile(encounters, copies),
        validation=validation_of(ProtocolSet(queries, gallery), places[count:], places[:count]),
        side_unknown=int((~known).sum()),
    )
    rows = (table.to_csv(index=False) for table in (gallery, queries))
    return data, joint_digest([*digests, *rows])


def shown(data: TrainingData, variant: Variant, chosen: np.ndarray, epoch: int, first: int) -> np.ndarray:
    """Return training crops as an epoch shows them: `(B, H, W, C)` uint8, before another camera, warped, recoloured.

    A crop depends on the seed, the epoch and its turn in it, whichever worker makes it and in whatever order.

    Args:
        data: Where the crops are.
        variant: Says part, seed and augmentation.
        chosen: `(B,)` places in `data.train`.
        epoch: From 0.
        first: Turn of the first of them in the epoch.
    """
    config, random_flips = variant.augment, flips_at_random(variant.part, variant.augment["flip"])
    images = []
    for turn, number in enumerate(chosen, start=first):
        rng = generator(variant.train["seed"], "augment", epoch, turn)
        place = data.train[number]
        image = data.images[place]
        if data.masks is not None and rng.random() < config["background"]:
            other = data.train[rng.integers(len(data.train))]
            image = swap_background(image, data.masks[place], data.images[other], data.masks[other])
        if data.mirrored[number] or (random_flips and rng.random() < 0.5):
            image = np.ascontiguousarray(image[:, ::-1])
        images.append(augment(image, config, rng))
    return np.stack(images)
