"""What the report finds, and which rankings and matches explain its first row."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pelage.common.images import encode_png
from pelage.common.packs import packed_folder
from pelage.common.tables import crop_file, write_parquet
from pelage.matching.matches import matches_table
from pelage.matching.rankings import RECIPROCAL_RANK, rankings_table
from pelage.report.found import Found, crop_reader, views_of_crops
from pelage.report.pictures import explained
from pelage.report.sheets import VIEWS


@pytest.fixture
def rankings(tmp_path, monkeypatch):
    """Rankings of a network with two seeds, of a local matcher and of the fusion; each scores otherwise."""
    monkeypatch.chdir(tmp_path)
    for score, path in ((0.0, "rankings/net/2"), (0.25, "rankings/net/10"), (0.5, "rankings/sift"), (0.75, "fused")):
        tables = [
            rankings_table(protocol, ["q#0"], ["g#0"], [[score + place]], [[True]], 9)
            for place, protocol in enumerate(("closed", "open"))
        ]
        write_parquet(tmp_path / f"data/{path}.parquet", pd.concat(tables))
    told = [(protocol, "q#0", "g#0", np.full((2, 5), place)) for place, protocol in enumerate(("closed", "open"))]
    write_parquet(tmp_path / "data/matches/sift.parquet", matches_table(told))


@pytest.mark.parametrize("local", ["sift", None])
@pytest.mark.parametrize(
    ("part", "calibration"), [("flank", "logistic"), ("face", "logistic"), ("flank", RECIPROCAL_RANK)]
)
def test_pairs_are_explained_by_the_local_method_and_by_probabilities_where_there_are_any(
    rankings, local, part, calibration
):
    first = {"method": "net", "part": "flank", "protocol": "open"}
    fuse = {"part": part, "calibration": calibration}
    ranking, matches, fused = explained(SimpleNamespace(first=first, local=local, metrics={"fuse": fuse}))
    assert ranking["score"].tolist() == ([1.5] if local else [])
    assert matches["score"].tolist() == ([1.0, 1.0] if local else [])
    assert fused["score"].tolist() == ([1.75] if (part, calibration) == ("flank", "logistic") else [])
    assert {"query", "candidate", "score"} <= set(ranking) & set(matches) & set(fused)


def test_a_photo_with_people_is_not_shown():
    rejected = pd.DataFrame({"image_id": ["b", "c"], "reason": ["people", "no_animal"]})
    found = SimpleNamespace(clean=pd.DataFrame({"image_id": list("abc")}), rejected={"detect": rejected})
    assert Found.visible.fget(found)["image_id"].tolist() == ["a", "c"]


def test_crops_are_read_from_the_folder_of_their_part(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for part, grey in (("flank", 10), ("face", 200)):
        for view in VIEWS:
            with packed_folder(Path(f"data/views/{view}/{part}")) as packer:
                packer.put(crop_file(f"{part}#0"), encode_png(np.full((4, 4, 3), grey, np.uint8)))
    load = crop_reader(views_of_crops())
    assert [load(f"{part}#0").mean() for part in ("flank", "face")] == [10, 200]
    assert load("nobody#0") is None
