"""The stages of a learned matcher on real leopards with the real weights: fetched, tuned, and matched again."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from packing import pack_images

from pelage.common.files import sha256_file, write_json
from pelage.common.images import read_image, to_rgb
from pelage.common.tables import crop_file, read_parquet, rejected_table, write_parquet, write_table
from pelage.matching.rankings import rankings_table
from pelage.split.protocols import protocol_sets, read_split

GLUE = {
    "part": "flank", "features": "aliked", "network": "glue", "local": "sift_lnbnn", "global": "cosface",
    "local_shortlist": 3, "global_shortlist": 0, "side": 320, "keypoints": 160,
    "tuning": {"epochs": 1, "rounds": 2, "pairs": 6, "candidates": 3, "batch": 4, "vary": True, "drawn_from": 240},
}  # fmt: skip
MATCHED = ("data/rankings/glue.parquet", "data/matches/glue.parquet", "data/numbers/match/glue.json")


@pytest.fixture(scope="module")
def project(scratch, shared_photos):
    """Six photos of each of three flanks, one of them for validation; its list has one of each flank."""
    made = scratch(rematchers={"glue": GLUE})
    rows, crops, masks = [], {}, {}
    for individual, folder in enumerate(sorted((shared_photos("leopard") / "images").iterdir())):
        for place, photo in enumerate(sorted(folder.iterdir())[:6]):
            image = to_rgb(read_image(photo))
            name = f"{individual}-{place}#0"
            crops[crop_file(name)], masks[crop_file(name)] = image, np.full(image.shape[:2], 255, np.uint8)
            told = {"image_id": name[:-2], "part": "flank", "encounter": name, "group": name, "orientation": "left"}
            who = {
                "identity": folder.name,
                "label": folder.name,
                "camera": "",
                "station": "",
                "date": "",
                "place": "",
                "night": "",
            }
            subset = {"subset": "train" if place else "val", "known": "true", "gallery": "true" if place else "false"}
            rows.append({"crop_id": name, **told, **who, **subset, "published": "false"})
    pack_images(made.folder / "data", "views/crop/flank", crops)
    pack_images(made.folder / "data", "masks/flank", masks)
    write_table(made.folder / "data/split.csv", pd.DataFrame(rows))
    fell_back = [("0-1", crop_file("0-1#0"), "mask_small", "The mask covers next to nothing.")]
    write_table(made.folder / "data/rejected/background_flank.csv", rejected_table(fell_back))
    chosen = protocol_sets(read_split(made.folder / "data/split.csv"), "flank")["validation"]
    names = chosen.gallery["crop_id"]
    first = np.tile(names.str.endswith("-1#0").to_numpy(float), (len(chosen.queries), 1))
    table = rankings_table("validation", chosen.queries["crop_id"], names, first, np.ones_like(first, bool), depth=9)
    write_parquet(made.folder / "data/rankings/sift_lnbnn.parquet", table)
    write_parquet(made.folder / "data/rankings/networks/cosface/1.parquet", table.head(0))
    write_json(made.folder / "data/asked/glue.json", [])
    stage(made, "match_weights")
    return made


def stage(made, name: str, rematcher: str = "glue") -> str:
    return made.run("python", f"stages/{name}.py", rematcher).stdout


def weights(made, folder: str) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in sorted((made.folder / f"data/{folder}/glue").iterdir())}


def test_tuned_weights_match_leopards_and_two_runs_give_the_same_bytes(project):
    stage(project, "tune")
    metrics = json.loads((project.folder / "data/numbers/tune/glue.json").read_text())
    assert metrics["pairs_of_same_animal"] >= 3 and metrics["pairs"] == 2 * metrics["pairs_of_same_animal"]
    assert metrics["top1"] >= metrics["top1_before"] and metrics["mrr"] >= metrics["mrr_before"] > 0.6
    fetched, tuned = weights(project, "match_weights"), weights(project, "tuned_weights")
    changed = {name for name in fetched if fetched[name] != tuned[name]}
    assert changed == ({"aliked_lightglue.safetensors"} if metrics["kept_epoch"] else set())

    assert "1 of 6 crops (17%) have no mask but the animal's box" in stage(project, "rematch")
    assert json.loads((project.folder / MATCHED[2]).read_text())["crops_without_mask"] == 1
    first = [(project.folder / name).read_bytes() for name in MATCHED]
    table = read_parquet(project.folder / MATCHED[0])
    assert len(table) == 9
    best = table[table["rank"] == 1]
    assert (best["query"].str[0] == best["candidate"].str[0]).all(), "each flank finds its own"
    for kept in ("checkpoints", "memo/lightglue"):
        (project.folder / ".pelage" / kept).rename(project.folder / ".pelage" / f"{kept.replace('/', '_')}_before")
    stage(project, "tune")
    assert weights(project, "tuned_weights") == tuned
    stage(project, "rematch")
    assert [(project.folder / name).read_bytes() for name in MATCHED] == first

    again = {**GLUE, "local": "glue", "local_shortlist": 2, "tuning": {}}
    project.set(rematchers={"glue": GLUE, "again": again})
    write_json(project.folder / "data/asked/again.json", [])
    stage(project, "rematch", "again")
    second = read_parquet(project.folder / "data/rankings/again.parquet")
    of_both = second.merge(table, on=["protocol", "query", "candidate"], suffixes=("_again", ""))
    assert len(second) == len(of_both) == 6 and (of_both["rank_again"] == of_both["rank"]).all()
    assert np.allclose(of_both["score_again"], of_both["score"], atol=0.1), "the same network says the same"


def test_without_epochs_the_weights_stay_as_they_were_fetched(project):
    project.set(rematchers={"glue": {**GLUE, "tuning": {"epochs": 0}}})
    assert stage(project, "tune").strip().startswith("tune glue")
    assert weights(project, "tuned_weights") == weights(project, "match_weights")
    assert set(json.loads((project.folder / "data/numbers/tune/glue.json").read_text()).values()) == {None}
