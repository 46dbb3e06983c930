"""Sheets of photos: which ones are chosen, what is drawn, and what happens when a picture is missing."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from packing import pack_images
from PIL import Image, ImageColor

from pelage.report import sheets
from pelage.report.sheets import (
    FOUND,
    RIGHT,
    TRUE,
    WRONG,
    Tile,
    compose,
    detections_sheet,
    edge_map,
    edges_drawn,
    matches_sheet,
    pick,
    place_and_time,
    scaled,
    to_png,
    views_sheet,
)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


def shows(png: bytes, colour: str) -> bool:
    """Whether a sheet has pixels of a colour, give or take what its palette costs."""
    return bool((np.abs(pixels(png) - ImageColor.getrgb(colour)).max(axis=2) < 12).sum() > 30)


def test_pick_takes_every_individual_before_any_twice_and_ignores_the_order_of_rows(survey):
    crops = survey["split"]
    chosen = pick(crops, 4, 1, "x")
    assert chosen["identity"].nunique() == 4
    shuffled = pick(crops.sample(frac=1, random_state=0), 4, 1, "x")
    assert chosen["crop_id"].tolist() == shuffled["crop_id"].tolist()
    assert pick(crops, 4, 2, "x")["crop_id"].tolist() != chosen["crop_id"].tolist()
    assert len(pick(crops, 99, 1, "x")) == len(crops)


def test_views(survey, tmp_path):
    views = survey["views"]
    png = views_sheet(views, survey["split"], ["flank", "face"], 5, 1)
    assert png == views_sheet(views, survey["split"], ["flank", "face"], 5, 1)
    only = views_sheet(views, survey["split"], ["flank", "tail"], 2, 1)
    assert pixels(only).shape[0] < pixels(png).shape[0]
    gone = {"flank": dict.fromkeys(views["flank"], pack_images(tmp_path, "gone", {}))}
    assert pixels(views_sheet(gone, survey["split"], ["flank"], 2, 1)).shape == pixels(only).shape


def test_matches_show_hits_and_misses(survey, ranking):
    crops = survey["views"]["flank"]["crop"]
    png = matches_sheet(crops, ranking, survey["split"], 4, 2, 1)
    assert shows(png, RIGHT)
    assert shows(png, WRONG)
    assert png == matches_sheet(crops, ranking.sample(frac=1, random_state=1), survey["split"], 4, 2, 1)
    hits = ranking[ranking["query"].isin(ranking["query"].unique()[::2])]
    assert shows(matches_sheet(crops, hits, survey["split"], 4, 1, 1), RIGHT)
    assert not shows(matches_sheet(crops, hits, survey["split"], 4, 1, 1), WRONG)


def test_matches_without_a_ranking(survey, ranking):
    assert len(matches_sheet(survey["views"]["flank"]["crop"], ranking.iloc[:0], survey["split"], 4, 5, 1))


def one_match(pair: tuple[str, str], **own: float) -> pd.DataFrame:
    at = {"query_x": 0.25, "query_y": 0.5, "candidate_x": 0.75, "candidate_y": 0.5, "score": 1.0}
    return pd.DataFrame([{"query": pair[0], "candidate": pair[1], **at, **own}])


def test_explained_pairs_say_who_when_and_how_sure(survey, ranking, monkeypatch):
    crops = survey["views"]["flank"]["crop"]
    ranking = ranking.assign(score=10.0 - ranking["rank"])
    pair = tuple(ranking.loc[ranking["rank"] == 1, ["query", "candidate"]].iloc[0])
    fused = pd.DataFrame([(*pair, 0.875)], columns=["query", "candidate", "score"])
    rest = one_match(pair), fused, survey["split"], 0, 1
    assert shows(sheets.explained_sheet(crops, ranking, *rest), RIGHT)
    seen = []
    monkeypatch.setattr(sheets, "compose", lambda rows, *_: (seen.extend(rows), Image.new("RGB", (9, 9)))[1])
    sheets.explained_sheet(crops, ranking, *rest)
    lines = [tile.lines for row in seen for tile in row]
    assert len(seen) == ranking["query"].nunique() and len(lines) == 2 * len(seen), "0 shows all queries"
    (told,) = [line for line in lines if "1 matches" in line[0]]
    assert "score 9.00, same animal: 88%" in told[0]
    known = survey["split"].set_index("crop_id")
    for line, crop_id in zip(told[1:], pair, strict=True):
        assert known.at[crop_id, "encounter"] in line and known.at[crop_id, "date"][:10] in line
    assert sum("same animal" in line[0] for line in lines) == 1


@pytest.mark.parametrize(
    ("probability", "text"), [(1.0, "> 99%"), (0.9951, "> 99%"), (0.99, "99%"), (0.01, "1%"), (0.004, "< 1%")]
)
def test_nothing_is_certain(probability, text):
    assert sheets.percent(probability) == text


def test_lines_join_the_places_that_matched():
    query, candidate = np.full((40, 80, 3), 255, np.uint8), np.full((80, 80, 3), 255, np.uint8)
    drawn = sheets.joined_by_lines(query, candidate, one_match(("q", "c")), RIGHT).astype(int)
    marked = np.argwhere(np.abs(drawn - ImageColor.getrgb(FOUND)).max(axis=2) < 9)
    left, right = marked[:, 1].min(), marked[:, 1].max()
    assert left < drawn.shape[1] / 4 and right > drawn.shape[1] / 2
    assert sheets.joined_by_lines(None, candidate, one_match(("q", "c")), RIGHT) is None


def test_nothing_to_explain(survey, ranking):
    none = ranking.iloc[:0].assign(score=0.0)
    matches = one_match(("q", "c")).iloc[:0]
    assert len(sheets.explained_sheet(survey["views"]["flank"]["crop"], none, matches, none, survey["split"], 4, 1))


def test_detections(survey):
    photos = survey["folder"] / "photos"
    tables = survey["clean"], survey["animals"], survey["detections"], survey["truth"]
    png = detections_sheet(photos, *tables, 4, 1)
    assert shows(png, FOUND)
    as_text = [table.astype(dict.fromkeys(sheets.BOX, str)) for table in tables[1:3]]
    assert detections_sheet(photos, tables[0], *as_text, tables[3], 4, 1) == png
    untold = detections_sheet(photos, *tables[:3], survey["truth"].iloc[:0], 4, 1)
    assert shows(untold, FOUND)
    assert not shows(untold, TRUE)
    none = survey["animals"].iloc[:0], survey["detections"].iloc[:0]
    assert shows(detections_sheet(photos, survey["clean"], *none, survey["truth"], 4, 1), TRUE)
    assert len(detections_sheet(photos / "gone", *tables, 4, 1))


def test_a_missed_animal_and_two_animals_come_first(survey, monkeypatch):
    seen = []
    monkeypatch.setattr(sheets, "compose", lambda rows, *_: (seen.append(rows), Image.new("RGB", (9, 9)))[1])
    found = survey["animals"][survey["animals"]["image_id"] != "photo 07"]
    found = pd.concat([found, pd.DataFrame([{**found.iloc[0], "image_id": "photo 02", "animal": 1}])])
    detections_sheet(survey["folder"] / "photos", survey["clean"], found, survey["detections"], survey["truth"], 4, 1)
    assert [tile.lines[0] for tile in seen[0][0]][:2] == ["photo 02", "photo 07"]


def test_compose_keeps_shapes_and_copes_with_nothing():
    wide, tall = np.full((10, 90, 3), 9, np.uint8), np.full((90, 10, 3), 9, np.uint8)
    sheet = compose([[Tile(wide, ("wide",)), Tile(tall)], [Tile(None, ("x" * 300, "second"), RIGHT)]], 50, ["a", "b"])
    assert sheet.width == sheets.WIDTH
    assert compose([], 50).height >= 60
    assert scaled(wide, 45, 45).shape == (5, 45, 3)
    assert scaled(tall, 45, 45).shape == (45, 5, 3)


def test_a_sheet_is_never_larger_than_asked():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8))
    assert len(to_png(noise, 10_000)) <= 10_000
    assert len(to_png(noise, 10**9)) > 20_000


def test_edges_are_the_fourth_channel():
    view = np.zeros((2, 2, 4), np.uint8)
    view[0, 0, 3] = 255
    assert edge_map(view).tolist() == [[0, 255], [255, 255]]
    assert tuple(edges_drawn(view)[0, 0]) == sheets.EDGE_COLOUR
    assert tuple(edges_drawn(view)[1, 1]) == (0, 0, 0)
    assert edge_map(view[:, :, :3]) is None
    assert edges_drawn(None) is None


@pytest.mark.parametrize(
    ("camera", "station", "date", "text"),
    [
        ("A1", "A", "2026-01-31T23:59:59", "A1 · 2026-01-31 23:59"),
        ("", "A", "", "A · no date"),
        ("", "", "2026-01-31", "no camera · 2026-01-31"),
    ],
)
def test_place_and_time(camera, station, date, text):
    assert place_and_time({"camera": camera, "station": station, "date": date}) == text
