"""Sheets of the insight: what spoke for a match, place by place, and what classes look like to a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pelage.common.images import to_rgb
from pelage.common.packs import Packs
from pelage.common.tables import crop_file
from pelage.report.sheets import (
    QUERY,
    RIGHT,
    WRONG,
    Tile,
    compose,
    crop_picture,
    edge_map,
    named,
    pick,
    picture,
    rows_of,
    to_png,
)

FOR, AGAINST = (255, 190, 0), (60, 80, 220)
"""Yellow and blue: told apart in every colour vision, and unlike the colours of right and wrong."""

PAIRS = {"rank": int, "right": bool, "cosine": float}
CLASSES = {"crops": int, **dict.fromkeys(["cosine", "next_cosine", "photos_cosine"], float)}

STRONGEST = 99
"""Percentile of a sheet's places that gets the full colour."""

OPACITY = 0.8


def attention_sheet(
    crops: Packs, pairs: pd.DataFrame, maps: Mapping[str, np.ndarray], split: pd.DataFrame, count: int, seed: int
) -> bytes:
    """Show queries beside their best right and their best wrong candidate, painted with what each place adds.

    Args:
        crops: Those that the network was given.
        pairs: P rows of `data/insight/pairs.csv`.
        maps: `query` and `candidate`, `(P, h, w)`: what each place adds to the cosine of the pair.
        split: Rows of `data/split.csv`.
        count: Queries; half of them hits, as far as there are.
        seed: Chooses the queries.
    """
    known = rows_of(split, pairs["query"], pairs["candidate"])
    pairs = pairs.reset_index(drop=True)
    answered = pairs[pairs["right"]].set_index("query")["rank"]
    queries = known.loc[answered.index]
    hits = pick(queries[(answered == 1).to_numpy()], count, seed, "attention hits")
    misses = pick(queries[(answered > 1).to_numpy()], count, seed, "attention misses")
    half = max(count - len(misses), (count + 1) // 2)
    shown = pd.concat([hits.head(half), misses.head(count - len(hits.head(half)))])
    mine = pairs.index[pairs["query"].isin(shown["crop_id"])]
    strength = [np.abs(side[mine]).ravel() for side in maps.values()]
    scale = (float(np.percentile(np.concatenate(strength), STRONGEST)) if len(mine) else 0.0) or 1.0
    rows = []
    for _, query in shown.iterrows():
        tiles = []
        for right in (True, False):
            place = pairs.index[(pairs["query"] == query["crop_id"]) & (pairs["right"] == right)]
            if not len(place):
                tiles += [Tile(None), Tile(None)]
                continue
            pair = pairs.loc[place[0]]
            candidate = known.loc[pair["candidate"]]
            painted = [
                painted_map(crop_picture(crops, crop_id), side[place[0]] / scale)
                for crop_id, side in ((pair["query"], maps["query"]), (pair["candidate"], maps["candidate"]))
            ]
            sign, colour = ("✓ ", RIGHT) if right else ("✗ ", WRONG)
            tiles.append(Tile(painted[0], (named(query), f"cosine {pair['cosine']:.2f}"), QUERY))
            tiles.append(Tile(painted[1], (sign + named(candidate), f"rank {pair['rank']}"), colour))
        rows.append(tiles)
    titles = ["query, with the right photo", "best right photo", "query, with the wrong one", "best wrong photo"]
    return to_png(compose(rows, 130, titles))


def painted_map(image: np.ndarray | None, map_: np.ndarray) -> np.ndarray | None:
    """Return a photo in grey with a map painted over it: yellow speaks for the match, blue against it.

    Args:
        image: `(H, W, C)` uint8, or None.
        map_: `(h, w)`, stretched over the photo; 1 and -1 have the full colour.
    """
    if image is None:
        return None
    grey = to_rgb(cv2.cvtColor(to_rgb(image), cv2.COLOR_RGB2GRAY)).astype(np.float32)
    size = image.shape[1], image.shape[0]
    values = cv2.resize(map_.astype(np.float32), size, interpolation=cv2.INTER_LINEAR).clip(-1, 1)[:, :, None]
    colour = np.where(values > 0, np.float32(FOR), np.float32(AGAINST))
    alpha = OPACITY * np.abs(values)
    return (grey * (1 - alpha) + colour * alpha).round().astype(np.uint8)


def inversion_sheet(
    crops: Packs, inverted: Path, classes: pd.DataFrame, split: pd.DataFrame, count: int, seed: int
) -> bytes:
    """Show the image that a network takes for the centre of a class, beside photos of that class.

    Args:
        crops: Those that the network was given.
        inverted: Folder of the images, named by label.
        classes: Rows of `data/insight/classes.csv`.
        split: Rows of `data/split.csv`.
        count: Most classes.
        seed: Chooses the photos.
    """
    learnt = split[(split["subset"] == "train") & split["label"].isin(classes["label"])]
    rows, edges = [], False
    for _, row in classes.head(count).iterrows():
        image = picture(inverted / crop_file(row["label"]))
        lines = (row["label"], f"cosine {row['cosine']:.2f}, to {row['next_label']} {row['next_cosine']:.2f}")
        tiles = [Tile(image if image is None else image[:, :, :3], lines)]
        outline = edge_map(image)
        if outline is not None:
            edges = True
            tiles.append(Tile(outline))
        mine = pick(learnt[learnt["label"] == row["label"]], 4 - len(tiles), seed, f"inversion {row['label']}")
        told = (f"{row['crops']} photos, mean cosine {row['photos_cosine']:.2f}",)
        for number, crop_id in enumerate(mine["crop_id"]):
            photo = crop_picture(crops, crop_id)
            tiles.append(Tile(photo if photo is None else to_rgb(photo), told if number == 0 else ()))
        rows.append(tiles)
    titles = ["image of the centroid", *(["its edge channel"] if edges else []), "photos that it was made of"]
    return to_png(compose(rows, 130, titles))
