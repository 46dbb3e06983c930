"""A run's folder, as the pipeline leaves it, of a survey drawn at random; its crops are grey noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from packing import pack_images
from survey import draw

from pelage.animals.naming import name_animals, practise
from pelage.animals.suspects import check_names
from pelage.animals.units import GALLERY, NAMED, animals_seen, units_of
from pelage.common.files import write_json, write_text
from pelage.common.tables import crop_file, write_parquet, write_table
from pelage.split.protocols import PRACTICE, SPLIT_COLUMNS, SURVEY

WANTED = {"draws": 0, "probability": 0.9, "speed_m_per_s": None, "seed": 1}
PARAMS = """\
ingest: {dataset: survey}
datasets:
  survey: {source: folder, path: photos}
fusion:
  methods: [sift_lnbnn]
matchers:
  sift_lnbnn: {part: flank, kind: sift_lnbnn}
variants: {}
rematchers: {}
individuals: {draws: 0, probability: 0.9, speed_m_per_s: null, seed: 1}
"""


def make_run(folder: Path, seed: int = 1, pictures: bool = True, **survey) -> dict[str, str]:
    """Write `params.yaml`, `data/` and an empty journal into `folder`; return the true animal of each crop."""
    tables, split, pairs, animal = draw(seed, **survey)
    data = folder / "data"
    write_text(folder / "params.yaml", PARAMS)
    (folder / "review").mkdir(parents=True, exist_ok=True)
    (folder / "review/journal.jsonl").touch()
    for name, table in tables.items():
        write_table(data / f"{name}.csv", table)
    full = (
        split.reindex(columns=SPLIT_COLUMNS).fillna("").assign(gallery=split["gallery"], known=False, published=False)
    )
    write_table(data / "split.csv", full)
    fused = pairs.assign(rank=1).astype({"score": np.float32})
    write_parquet(data / "fused.parquet", fused)
    ranked = fused[fused["protocol"] == SURVEY]
    write_parquet(data / "rankings/sift_lnbnn.parquet", ranked)
    places = pd.DataFrame(
        0.4, columns=["query_x", "query_y", "candidate_x", "candidate_y", "score"], index=ranked.index
    )
    write_parquet(
        data / "matches/sift_lnbnn.parquet", pd.concat([ranked[["protocol", "query", "candidate"]], places], axis=1)
    )
    write_json(data / "numbers/fuse.json", {"calibration": "logistic"})
    stations = sorted(tables["clean"]["station"].unique())
    where = {"station": stations, "latitude": -2 - np.arange(len(stations)) / 50, "longitude": 35.0}
    write_table(data / "deployments.csv", pd.DataFrame(where))

    seen = animals_seen(tables, split, "flank")
    units = units_of(seen, NAMED, SURVEY)
    evidence = practise(units_of(seen, GALLERY, PRACTICE), pairs[pairs["protocol"] == PRACTICE])
    named = name_animals(units, pairs[pairs["protocol"] == SURVEY], evidence, pd.DataFrame(where), **WANTED)
    write_table(data / "individuals.csv", named.answers)
    write_table(data / "suspects.csv", check_names(units, pairs[pairs["protocol"] == PRACTICE], evidence, 1)[0])
    write_parquet(data / "links.parquet", named.links.assign(scope=SURVEY))
    shown = sorted(units.crops["crop_id"]) if pictures else ()
    noise = (np.random.default_rng(place).integers(0, 255, (60, 100, 3), np.uint8) for place in range(len(shown)))
    pack_images(data, "views/crop/flank", dict(zip(map(crop_file, shown), noise, strict=True)))
    return {f"{image}#0": name for image, name in animal.items()}


def read_lines(folder: Path) -> list[dict]:
    """Return the lines of the journal."""
    return [json.loads(line) for line in (folder / "review/journal.jsonl").read_text().splitlines()]
