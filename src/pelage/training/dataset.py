"""Training data: the crops of one part and view, their labels, and what validation asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pelage.model.crops import present, read_crops
from pelage.split.protocols import ProtocolSet, allowed
from pelage.training.checkpoint import joint_digest
from pelage.training.loop import TrainingData
from pelage.training.validation import answerable
from pelage.training.variant import Variant


def training_data(variant: Variant, validation: ProtocolSet, folder: Path) -> tuple[TrainingData | None, str]:
    """Read the crops that a variant learns from and is validated on.

    Args:
        variant: Says channels and size.
        validation: The protocol of that name: the gallery is what is learnt, queries of known individuals are asked.
        folder: Crops of the variant's view and part.

    Returns:
        The data and the joint hash of all crop files; or None and the reason why there is nothing to learn.
    """
    files = set(present([*validation.gallery["crop_id"], *validation.queries["crop_id"]], folder))
    gallery = validation.gallery[validation.gallery["crop_id"].isin(files)]
    queries = validation.queries[validation.queries["crop_id"].isin(files) & validation.queries["known"]]
    names, labels = np.unique(gallery["label"].to_numpy(str), return_inverse=True)
    if len(names) < 2:
        return None, f"{len(gallery)} training crops of {variant.part} with {len(names)} labels; two labels are needed"
    ids = [*gallery["crop_id"], *queries["crop_id"]]
    crops = read_crops(ids, folder, variant.channels, variant.model["width"], variant.model["height"])
    places = np.arange(len(ids))
    identities = np.concatenate([gallery["identity"].to_numpy(str), queries["identity"].to_numpy(str)])
    asked = answerable(
        places[len(gallery) :], places[: len(gallery)], identities, allowed(queries, gallery, validation.same_encounter)
    )
    data = TrainingData(crops.images, crops.ids, places[: len(gallery)], labels.astype(np.int64), asked)
    return data, joint_digest(crops.digests)
