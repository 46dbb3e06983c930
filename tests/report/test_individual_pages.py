"""A page an animal: safe files for any name, links that lead somewhere, and room that is kept to."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from animal_tables import answers_of, crops_of, photo_of
from hypothesis import given
from hypothesis import strategies as st
from test_page import EVIL, Tags

from pelage.report.individual_pages import (
    ENCOUNTERS,
    PAGES,
    ROOM,
    individual_pages,
    page_names,
    spread_out,
    weakest_link,
)

EVIL_NAMES = [
    EVIL,
    "<img src=x onerror=alert(1)>",
    "a/../b",
    "..",
    "con",
    "index",
    "L07",
    "l07",
    "x" * 300,
    "'\"&",
    " ",
]


BESIDE = ("#main", "../index.html#animals")


def pages(answers, split, load=photo_of, **room):
    return dict(individual_pages("demo", answers, split, load, **room))


@given(st.lists(st.text(min_size=1), max_size=20))
def test_any_names_have_files_of_their_own_on_any_system(names):
    files = page_names(names)
    assert set(files) == set(names)
    folded = [file.casefold() for file in files.values()]
    assert len(set(folded)) == len(folded)
    for file in files.values():
        assert re.fullmatch(r"[A-Za-z0-9_-]{0,60}(\.[0-9a-f]{12})?\.html", file)
        assert file.split(".")[0].casefold() not in ("con", "nul", "index") or file.count(".") == 2


def test_a_plain_name_is_that_of_its_file_whoever_else_is_there():
    assert page_names(["L07"]) == {"L07": "L07.html"}
    assert page_names(["L07", "L08", "<b>"])["L07"] == "L07.html"
    assert page_names(["Tygřice"])["Tygřice"].startswith("Tyg_ice.")


def test_pages_of_evil_names_hold_no_markup_of_theirs_and_all_links_lead_somewhere():
    split = crops_of(EVIL_NAMES, 2, 2)
    asked = set(split.loc[split["identity"].isin(EVIL_NAMES[:2]), "crop_id"][::2])
    found = pages(answers_of(split, asked), split)
    assert len(found) == len(EVIL_NAMES) + 3
    for name, text in found.items():
        if not name.endswith(".html"):
            continue
        tags = Tags(text)
        assert tags.stack == []
        assert "<script" not in text and "<img src=x" not in text
        for tag, at in tags.tags:
            assert not any(key.startswith("on") for key in at)
            if tag == "a" and not at["href"].startswith(("#", "..")):
                assert at["href"] in found
            if tag == "img":
                assert at["src"].startswith("data:image/webp;base64,") and "alt" in at
            if tag == "image":
                assert at["href"] in found
        assert not re.search(r"https?://", text)


def test_a_page_says_what_the_tables_say():
    split = crops_of(["L1", "L2"], 6, 3)
    last = split.loc[split["identity"] == "L1"].sort_values("date")["encounter"].iloc[-1]
    answers = answers_of(split, set(split.loc[split["encounter"] == last, "crop_id"]), unclear=0.0)
    text = pages(answers, split)["L1.html"]
    assert "6 encounters, 18 photos" in text
    assert "<h2>Weakest link</h2>" in text
    assert text.count("<tr><td>") == 6
    assert text.count('<img src="data:') == 18 + 2, "all photos, and both ends of the weakest link"
    assert ">L2 <" not in text and "→ L2" in text
    assert '<image href="stations.svg"' in text


def test_without_coordinates_stations_are_a_list():
    split = crops_of(["L1"], 3, 1)
    text = pages(answers_of(split, coordinates=False), split)["L1.html"]
    assert "<svg" not in text
    assert re.search(r"<p>S\d\d( × \d)?, .*\.</p>", text)


def test_what_a_page_has_no_room_for_is_told():
    split = crops_of(["L1"], ENCOUNTERS + 10, 1, stations=400)
    text = pages(answers_of(split), split)["L1.html"]
    assert f"And {ENCOUNTERS + 10 - 24} more for which there is no room" in text
    assert "And 10 more in <code>data/individuals.csv</code>" in text


def test_thumbnails_are_of_as_many_encounters_and_flanks_as_there_are():
    rows = [(who, e, s, n) for n in range(5) for s in ("left", "right") for e in "ab" for who in ("L1", "L2")]
    crops = pd.DataFrame(rows, columns=["individual", "encounter", "side", "n"])
    chosen = spread_out(crops, 5)
    for _, own in chosen.groupby("individual"):
        assert set(zip(own["encounter"], own["side"], strict=True)) == {(e, s) for e in "ab" for s in ("left", "right")}
        assert len(own) == 5
    assert chosen.index.is_monotonic_increasing
    assert len(spread_out(crops, 100)) == 40


def test_the_weakest_link_is_of_the_least_sure_unit():
    units = [
        {"weakest_link": "", "probability": 0.1},
        {"weakest_link": "a#0 ~ b#0", "probability": 0.9},
        {"weakest_link": "c d#0 ~ e#0", "probability": 0.8},
    ]
    assert weakest_link(units) == ("c d#0", "e#0")
    assert weakest_link(units[:1]) == ()


@pytest.mark.parametrize(("animals", "encounters", "photos"), [(1, 60, 4), (100, 3, 4), (600, 3, 1)])
def test_all_pages_keep_to_their_room(animals, encounters, photos):
    split = crops_of([f"L{n}" for n in range(animals)], encounters, photos, stations=60)
    answers = answers_of(split, set(split["crop_id"][::3]))
    room = {1: 650_000, 100: 1_600_000, 600: 1_600_000}[animals]
    noise = np.random.default_rng(1).integers(0, 255, (150, 300, 3), np.uint8)
    found = pages(answers, split, lambda crop_id: noise, room=room)
    assert sum(map(len, found.values())) < room
    assert len(found) == len(answers.seen["individual"]) + 3
    brief = animals > 100
    assert any("<svg" in text for text in found.values() if "<h1>L" in text) != brief, "thousands have brief pages"


def test_of_thousands_of_animals_those_seen_most_have_pages_and_the_index_says_so():
    often = [f"L{n}" for n in range(3, 4 + PAGES, 2)]
    split = pd.concat([crops_of([f"L{n}" for n in range(5000)], 1, 1), crops_of(often, 40, 1, seed=2)])
    split = split.drop_duplicates("crop_id")
    answers = answers_of(split)
    noise = np.random.default_rng(1).integers(0, 255, (40, 80, 3), np.uint8)
    found = pages(answers, split, lambda crop_id: noise)
    assert sum(map(len, found.values())) < ROOM
    assert len(found) == PAGES + 3 and {f"{name}.html" for name in often} < set(found)
    assert {f"L{n}.html" for n in range(0, 800, 2)} < set(found) and "L4998.html" not in found, "first by name"
    assert "5,000 animals" in found["index.html"]
    assert "4,000 more stand in <code>data/individuals.csv</code> alone" in found["index.html"]
    assert re.search(r"And \d+ more in <code>data/individuals.csv", found["L3.html"])
    assert {at["href"] for tag, at in Tags(found["index.html"]).tags if tag == "a"} <= {*found, *BESIDE}


def test_no_animal_has_an_index_all_the_same():
    split = crops_of([], 1, 1)
    found = pages(answers_of(split), split)
    assert set(found) == {"index.html", "style.css", "stations.svg"}
    assert "0 animals" in found["index.html"]


def test_the_same_tables_give_the_same_bytes():
    split = crops_of(["L1", "L2"], 3, 2)
    answers = answers_of(split, set(split["crop_id"][:4]))
    assert pages(answers, split) == pages(answers, split)
