"""The first screen: what an ecologist reads is what the tables say, whatever the survey looks like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from animal_tables import NO_ESTIMATES, REHEARSAL, answers_of, crops_of, photo_of
from test_page import EVIL, Tags
from test_sightings import SEEN

from pelage.report import animals_page, template
from pelage.report.animals_page import (
    FOLDED,
    SHOWN,
    first_screen,
    interval,
    open_questions,
    sentence,
    trust,
)
from pelage.report.individual_pages import PAGES, animals_with_pages, page_names
from pelage.report.sightings import animals_seen


def screen(answers, load=photo_of):
    return first_screen(answers, page_names(answers.seen["individual"]), load)


def html_of(seen):
    """Return the first screen alone, with the macros of the page around it standing still."""
    around = "{% macro picture(a, b, c) %}{% endmacro %}{% macro facts(a, b) %}{% endmacro %}"
    page = template._environment().from_string(around + "{% include 'animals.html' %}")
    return page.render(seen=seen, counted={}, tables=[])


def test_who_was_seen_is_told_in_words():
    seen = animals_seen(SEEN)
    told = sentence(SEEN, seen, len(seen))
    assert told == (
        "3 animals were seen at 2 stations between 2025-03-01 and 2025-05-01; 1 of them is new. Without a name were 4 "
        "sightings (one flank in one encounter): 2 of named animals, 1 of new ones, 1 that nobody can tell yet."
    )
    named = SEEN[SEEN["answer"] == "named"]
    assert sentence(SEEN, seen, 5) == (
        told + " The likeliest grouping, those that nobody is sure of among them, is 5 animals, and the review begins "
        "with it; the count allows for mistakes and for animals that no photo shows."
    )
    assert sentence(named, animals_seen(named), 2).endswith(
        "All photos in use have names, so there was nothing to decide."
    )
    assert sentence(SEEN.head(0), animals_seen(SEEN.head(0)), 0) == "No animal has been identified."


def test_the_count_stands_with_its_interval():
    assert interval({"n": 24.4, "low": 22.2, "high": 27.0}) == "24 [22 to 27]"
    assert interval({"n": 24.4, "low": None, "high": None}) == "24"
    assert interval({"n": None}) == interval({}) == ""


def test_a_rehearsal_in_words():
    told = trust(REHEARSAL)
    assert told[0] == "Of 120 sightings, 100 were decided without a person, the others left to people."
    assert told[1] == (
        "Of 100 decisions made alone, 97 were right: 2 sightings got the name of a wrong animal, 1 sighting of a named "
        "one was called new."
    )
    assert told[2] == "Of 100 pairs of sightings that were put together alone, 97 do show one animal."
    assert "25 animals were found where there are 24: 2 ghosts" in told[-1] and "1 merge (" in told[-1]
    assert trust({}) == [] and trust({"units": 0, "share_decided": None}) == []
    assert "99.9 do show" in trust(REHEARSAL | {"sure_precision": 0.9996})[2], "what is not 1 is never told as all"
    flawless = trust(REHEARSAL | {"known_wrong": 0, "new_wrong": 0})[1]
    assert flawless == "All 100 decisions made alone were right; that many cannot rule out that 3 of 100 are wrong."
    assert "all do show" in trust(REHEARSAL | {"sure_precision": 1.0})[2]
    assert len(trust({"units": 4, "share_decided": 0.0, "known_wrong": 0, "new_wrong": 0})) == 1, (
        "none decided, none right"
    )


def test_questions_show_both_sides_what_changes_most_first():
    answers = answers_of(crops_of(["L1", "L2"], 1, 1))
    columns = ["place", "unit", "other", "individual", "probability", "delta", "why"]
    rows = [(2, "e5|left", "gone", "", 0.4, -1.0, "w"), (1, "e2|right", "e1|left", "L10", 0.999, -2.0, "v")]
    answers = replace(answers, individuals=SEEN, questions=pd.DataFrame(rows, columns=columns))
    first, second = open_questions(answers)
    assert (first["who"], first["sure"], first["why"]) == ("L10", "> 99%", "v")
    assert [side["crop"] for side in first["sides"]] == ["e2#right", "e1#left"]
    assert first["sides"][0]["told"] == "S2 · 2025-04-01 04:00"
    assert second["sides"][1] == {"crop": "", "told": "gone"}


def test_long_tables_are_folded_and_what_is_left_out_is_told():
    split = crops_of([f"L{n}" for n in range(SHOWN + FOLDED + 7)], 1, 1)
    seen = screen(answers_of(split))
    assert (len(seen["rows"]), len(seen["folded"]), seen["left"]) == (SHOWN, FOLDED, "7")
    assert "7 more stand in the" in html_of(seen)
    assert not any(row["name"] in seen["pictures"] for row in seen["folded"])
    assert len(seen["pictures"]) <= SHOWN


def test_animals_without_a_page_are_counted_and_no_link_leads_to_them():
    split = crops_of([f"L{n}" for n in range(PAGES + 5)], 1, 1)
    answers = answers_of(split, set(split["crop_id"].iloc[-3:]), unclear=0.0)
    files = page_names(animals_with_pages(answers.seen)["individual"])
    seen = first_screen(answers, files, lambda crop_id: None)
    assert (seen["numbers"]["animals"], seen["left"], seen["unlisted"]) == (f"{PAGES + 5:,}", f"{PAGES - 500:,}", "5")
    text = html_of(seen)
    assert "5 more animals stand in <code>data/individuals.csv</code> alone" in text
    assert "<h3>new-003</h3>" in text
    pages = {at["href"].removeprefix("individuals/") for tag, at in Tags(text).tags if tag == "a"}
    assert pages - {"#animals"} <= {*files.values(), "index.html"}


def test_new_animals_come_with_photos_of_both_flanks():
    split = crops_of(["a", "b"], 8, 3)
    seen = screen(answers_of(split, set(split.loc[split["identity"] == "b", "crop_id"]), unclear=0.0))
    (new,) = seen["new"]
    assert new["name"] == "new-001"
    side = dict(zip(split["crop_id"], split["orientation"], strict=True))
    assert {"left", "right"} <= {side[crop] for crop in new["crops"]}
    assert all(crop in seen["pictures"] for crop in new["crops"])


@pytest.mark.parametrize("name", [EVIL, "<img src=x onerror=alert(1)>", "a/../b", "L07 \u202e", "'\"&"])
def test_any_name_is_escaped(name):
    split = crops_of([name, "other"], 3, 2)
    asked = set(split.loc[split["identity"] == "other", "crop_id"])
    text = html_of(screen(answers_of(split, asked, headline=name)))
    assert Tags(text).stack == []
    assert "<script" not in text and "onerror=alert(1)>" not in text.replace("&gt;", "")
    pages = [at["href"] for tag, at in Tags(text).tags if tag == "a" and at["href"].startswith("individuals/")]
    assert pages and all("/" not in page.removeprefix("individuals/") for page in pages)


@pytest.mark.parametrize(
    ("names", "asked", "coordinates"), [([], False, True), (["L1"], False, False), (["L1"], True, True)]
)
def test_rare_surveys_have_a_first_screen(names, asked, coordinates):
    split = crops_of(names, 2, 2)
    answers = answers_of(split, set(split["crop_id"]) if asked else (), coordinates=coordinates)
    seen = screen(answers, lambda crop_id: None)
    text = html_of(seen)
    assert Tags(text).stack == []
    assert seen["pictures"] == {}
    assert ("New animals" in text) == asked
    assert ("There was no rehearsal" in text) == (not asked)
    assert "There is no estimate" in text


def test_estimates_are_text_and_missing_ones_are_dashes():
    rows = [("linked", "jackknife", 24.61, 1.2, 22.0, 28.9, 23, 60, 12, True, "note"), ("left", "chao", *[np.nan] * 4)]
    table = pd.DataFrame([row + (0, 0, 0, False, "few")[len(row) - 6 :] for row in rows], columns=NO_ESTIMATES.columns)
    told = animals_page.estimate_rows(table)
    assert told[0] | {} == {
        "population": "linked",
        "estimator": "jackknife",
        "n": "24.6",
        "interval": "22.0 to 28.9",
        "counts": ["23", "60", "12"],
        "carries_error": "yes",
        "note": "note",
    }
    assert (told[1]["n"], told[1]["interval"], told[1]["carries_error"]) == ("–", "–", "no")
