"""The page: self-contained, safe with any name, and honest about what is missing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from animal_tables import answers_of, crops_of

from pelage.common.images import encode_png
from pelage.common.tables import rejected_table
from pelage.report.animals_page import first_screen
from pelage.report.individual_pages import page_names
from pelage.report.page import CLOCKS as CLOCKS_LISTED
from pelage.report.page import (
    COUNTED,
    describe_run,
    duration,
    facts,
    listed,
    rejected_counts,
    render,
    split_counts,
    table_block,
)
from pelage.report.tables import Method, blocks, leaderboard

EVIL = "<script>alert('x')</script>"
PICTURES = dict.fromkeys(
    [
        "leaderboard",
        "cmc",
        "training",
        "counts",
        "views",
        "matches",
        "explained",
        "attention",
        "inversion",
        "detections",
        "umap",
        *COUNTED,
    ],
    encode_png(np.full((4, 4, 3), 99, np.uint8)),
)
CAMERAS = pd.DataFrame(
    [("S1", EVIL, 812, 12, 10, 790, 0, 0, 23, 9), ("S2", "S2", 1200, 1195, 0, 5, 0, 0, 1300, 1000)],
    columns=[
        "place",
        "camera",
        "photos",
        "with_part",
        "no_part",
        "no_animal",
        "unreadable",
        "people",
        "animals",
        "named",
    ],
)
INSIGHT = {"variant": EVIL, "part": "flank", "view": "crop", "exact": True}
PARAMS = {
    "ingest": {"dataset": "demo"},
    "datasets": {"demo": {"source": "folder", "path": f"photos {EVIL}", "split_column": "closed_split"}},
    "split": {"source": "drawn", "burst_gap_s": 300},
    "evaluate": {"confidence": 0.95},
}
SHOWN = {"method": "net_a", "part": "flank", "protocol": "closed"}


class Tags(HTMLParser):
    """All tags with their attributes, and whether each that opens closes."""

    VOID = ("meta", "link", "img", "br", "wbr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.stack = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


CLOCKS = pd.DataFrame(
    [(EVIL, "B", "late", "later", "-3600.0", "4.0", "1021"), ("S2", "A", "late", "later", "12.0", "0.0", "7")],
    columns=["station", "camera", "since", "until", "offset_s", "drift_s_per_day", "visits"],
)


@pytest.fixture
def page(survey):
    score = {"queries": 10, "queries_with_match": 10, "gallery": 9, "top1": 0.5, "top1_low": 0.4, "top1_high": 0.6}
    methods = [Method("net_a", "network", "flank", "crop", EVIL), Method(EVIL, "network", "face", "crop", "")]
    table = leaderboard({"net_a": {"closed": score}, EVIL: {"closed": {"queries": 0, "gallery": 0}}}, methods)
    stages = {
        "ingest": {"photos": 12000, "files": {"photo": 12000, "unlisted": 1234, "video": 0, EVIL: 1}},
        "detect": {"side": {EVIL: 0.5}, "iou": None},
        "train/net_a": {"trained": True},
    }
    stages |= {"leakage": {"encounters": 0}, "clean": {}, "split": {}, "background_flank": {"cover": 0.25}}
    stages |= {"match/sift": {"crops": 3}, "mlp": {}, "pairs": {"closed": {"roc_auc_constant": 0.5}}}
    stages |= {"fuse": {"brier_skill": 0.125}}
    stages |= {"insight": INSIGHT, "count": {"n": 24.0}, "individuals": {"survey": {"known": 3}}}
    stages |= {"decisions": {"clusterings": [{"clustering": EVIL, "ari": 0.25}]}}
    rejected = {
        "clean": rejected_table([("1", "a", EVIL, ""), ("2", "b", "too_small", ""), ("3", "c", "too_small", "")])
    }
    split = survey["split"].assign(identity=EVIL)
    words = describe_run(PARAMS, SHOWN, "sift", survey["clean"], rejected["clean"], survey["detections"], INSIGHT)
    seeds = {EVIL: {"closed": {"1": {"top1": 0.5, "auroc": None}, "20": {"top1": 0.25, "auroc": None}}}}
    crops = crops_of([EVIL, "L2"], 2, 2).assign(date="")
    answers = answers_of(crops, set(crops["crop_id"][:2]), unclear=0.0)
    seen = first_screen(answers, page_names(answers.seen["individual"]), lambda crop_id: None)
    cell = {"word": "better", "sign": "▲", "difference": "+0.200", "interval": "+0.100 to +0.300", "p": "p 0.002"}
    verdicts = [
        {"part": "flank", "champion": EVIL, "summary": EVIL, "columns": [("closed", EVIL)], "rows": [(EVIL, [cell])]},
        {"part": "face", "champion": None, "summary": "", "columns": [], "rows": []},
    ]
    clocks = pd.concat([CLOCKS] * (CLOCKS_LISTED // 2 + 1))
    run = (table, methods, PICTURES, stages, rejected, split, words, seeds, clocks, CAMERAS)
    return render(f"demo {EVIL}", *run, seen, verdicts)


def test_nothing_is_loaded_from_elsewhere(page):
    for tag, attributes in Tags(page).tags:
        assert tag not in ("script", "iframe", "object", "embed")
        for name in ("src", "href", "srcset", "data", "action"):
            if name in attributes:
                beside = ("individuals/", "../times.html") if tag == "a" else ()  # pictures are inside
                assert attributes[name].startswith(("data:", "#", *beside)), attributes[name]
    assert not re.search(r"https?://|@import|url\(", page)


def test_names_are_escaped_and_tags_balanced(page):
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert Tags(page).stack == []


def test_every_picture_is_inside_with_words_for_who_cannot_see_it(page):
    pictures = [attributes for tag, attributes in Tags(page).tags if tag == "img"]
    assert len(pictures) == len(PICTURES)
    assert all(picture["alt"] and picture["src"].startswith("data:image/webp;base64,") for picture in pictures)


def test_the_page_says_what_is_missing_and_counts_what_was_rejected(page):
    assert "no photos" in page
    assert "Of 19 photos 16 were kept; on 16 of these an animal was found." in page
    assert re.search(r"<td>too small</td><td class=\"n\">2</td>", page)
    assert "12,000" in page
    assert "photos of one station within 5 minutes" in page


def test_what_lay_in_the_source_and_which_clocks_were_wrong_is_told(page):
    assert '<td>unlisted</td><td class="n">1,234</td><td>photos that the table does not list' in page
    assert "<td>video</td>" not in page
    assert '<td class="n">-1.0 h</td><td class="n">+4.0 s a day</td><td class="n">1,021</td>' in page
    assert '<td>S2 A</td><td>late to later</td><td class="n">+12 s</td><td class="n"></td>' in page


def test_the_first_corrections_of_clocks_are_listed_and_the_others_counted(page):
    assert page.count("<td>late to later</td>") == CLOCKS_LISTED
    assert "And 2 more in <code>data/clocks.csv</code>" in page


def test_each_camera_says_how_many_photos_had_no_animal(page):
    row = re.search(r"<tr><td>S1 &lt;script.*?</tr>", page).group()
    assert re.findall(r">([\d,]+)</td>", row) == ["812", "12", "10", "790", "23", "9"]
    assert page.index("<td>all cameras</td>") < page.index(row) < page.index("<td>S2</td>"), "the emptiest first"
    assert "An animal was found on 1,217 of 2,012 photos, but on 10 of these none shows a part" in page


def test_durations_are_in_units_that_people_read():
    told = [duration(seconds) for seconds in (-59, 60, 7200.0, 86_400 * 27, -31_557_600 * 26.2)]
    assert told == ["-59 s", "+1.0 min", "+2.0 h", "+27.0 days", "-26.2 years"]


def test_the_page_has_no_date_of_its_own(page):
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", page)


def test_animals_come_before_methods_and_every_link_leads_somewhere(page):
    heads = [page.index(f'<section id="{name}"') for name in ("animals", "new", "look", "count", "trust", "methods")]
    assert heads == sorted(heads) and heads[-1] < page.index('<section id="leaderboard">')
    tags = Tags(page).tags
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    for tag, attributes in tags:
        if tag == "a" and attributes["href"].startswith("#"):
            assert attributes["href"][1:] in ids


def test_headings_leave_no_level_out(page):
    levels = [int(tag[1]) for tag, _ in Tags(page).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_verdicts_are_told_in_words_and_not_by_colour_alone(page):
    assert re.search(r'<span class="better">▲ better</span> \+0.200<small>\+0.100 to \+0.300 \(p 0.002\)</small>', page)
    assert "No validation photo chose one." in page


def test_lists_of_rows_among_numbers_are_tables():
    numbers = {
        "clusterings": [{"clustering": "HDBSCAN", "ari": 0.5}, {"clustering": "b", "true": 24}],
        "evidence": {"least": 0.1},
        "none": [],
    }
    rows = [["HDBSCAN", "0.500", "–"], ["b", "–", "24"]]
    assert listed(numbers) == [("clusterings", ["clustering", "ari", "true"], rows)]
    assert facts(numbers) == [("evidence least", "0.100")]


def test_each_seed_has_a_row(page):
    assert '<th class="n">seed</th><th class="n">top-1</th><th class="n">AUROC</th>' in page
    assert '<td>closed</td><td class="n">20</td><td class="n">0.250</td><td class="n">–</td>' in page


def test_facts_are_flat_words():
    assert facts({"side": {"right_share": 0.91, "unknown": 3}, "ok": True, "none": None}) == [
        ("side right share", "0.910"),
        ("side unknown", "3"),
        ("ok", "yes"),
        ("none", "–"),
    ]


def test_rejected_rows_are_counted_by_reason():
    rows = [("1", "a", "blurred", ""), ("2", "b", "too_small", ""), ("3", "c", "too_small", "")]
    assert rejected_counts({"clean": rejected_table(rows), "detect": rejected_table([])}) == [
        ("clean", "too small", 2),
        ("clean", "blurred", 1),
    ]


def test_split_counts(survey):
    rows = {(row["part"], row["subset"]): row["counts"] for row in split_counts(survey["split"])}
    assert rows["flank", "train"] == (8, 4, 8)
    assert rows["flank", "test, known"] == (3, 3, 3)
    assert rows["flank", "test, novel"] == (1, 1, 1)
    assert rows["face", "val"] == (2, 2, 2)
    assert ("flank", "none") not in rows


def test_bars_stand_where_the_numbers_are():
    score = {"queries": 1, "queries_with_match": 1, "top1": 0.5, "top1_low": 0.25, "top1_high": 0.75, "top5": None}
    score |= {"seeds": 3, "top1_sd": 0.04}
    table = leaderboard({"a": {"closed": score}}, [Method("a", "network", "flank", "crop", "")])
    block = table_block(*blocks(table)[0])
    first, second = block["lines"][0]["cells"]
    assert block["lines"][0]["method"] == "a (3 seeds)"
    bar = ("50.0", "25.0", "50.0")
    assert first == {"text": "0.500 ± 0.040", "interval": "0.250 to 0.750", "best": True, "bar": bar}
    assert second == {"text": "–", "interval": "", "best": False, "bar": None}


@pytest.mark.parametrize("source", ["synthetic", "folder", "git", "camtrap_dp"])
def test_a_run_is_described(source):
    params = PARAMS | {"datasets": {"demo": {"source": source, "path": "p", "url": "u", "commit": "c" * 40}}}
    params |= {"split": {"source": "column", "burst_gap_s": 90}}
    told = INSIGHT | {"exact": source == "git"}
    words = describe_run(params, SHOWN, None, pd.DataFrame(), rejected_table([]), pd.DataFrame({"image_id": []}), told)
    assert words["source"].endswith(".")
    assert words["gap"] == "1.5"
    assert words["matches"] == "Photos as net_a ranked them, flank, closed protocol."
    several = SHOWN | {"seeds": 3}
    words = describe_run(
        params, several, None, pd.DataFrame(), rejected_table([]), pd.DataFrame({"image_id": []}), told
    )
    assert words["matches"].startswith("Photos as net_a ranked them with the lowest of its seeds, flank")
    assert "published" in words["split"]
    assert ("add up to the cosine" in words["attention"]) == (source == "git")
    both = [{"name": "catalogue", "source": source, "path": "p"}, {"name": "survey", "source": "folder", "path": "q"}]
    params["datasets"]["demo"] = {"sources": both}
    words = describe_run(params, SHOWN, None, pd.DataFrame(), rejected_table([]), pd.DataFrame({"image_id": []}), told)
    assert words["source"] == "Photos of several sources: catalogue, survey."
