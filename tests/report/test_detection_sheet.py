"""The sheet of detections: what comes first, what is never shown, how large it gets, what is read."""

from __future__ import annotations

import base64
import re
from collections import Counter

import cv2
import numpy as np
import pandas as pd
import pytest
from test_page import EVIL, Tags

from pelage.common.errors import PelageError
from pelage.common.images import write_png
from pelage.common.tables import rejected_table
from pelage.report.camera_counts import camera_counts
from pelage.report.detection_sheet import (
    MOST_BOXES,
    MOST_PHOTOS,
    MOST_SURE,
    SIDE,
    Found,
    Photo,
    choose_photos,
    draw_sheet,
    judged,
    survey_photos,
    unlike_camera,
)

GREY = np.full((60, 80, 3), 120, np.uint8)
HERE, THERE, SMALL_BOX = (10.0, 10.0, 20.0, 10.0), (50.0, 30.0, 20.0, 20.0), (40.0, 40.0, 10.0, 5.0)


def photo(title, found=(), true=None, **own):
    return Photo(title, lambda: GREY, [one if isinstance(one, Found) else Found(*one) for one in found], true, **own)


def titles(html):
    return re.findall(r"<strong>(.*?)</strong>", html)


def test_misses_come_first_then_false_alarms_then_animals_in_blank_photos():
    photos = [
        photo("right", [(HERE, 0.9)], [HERE]),
        photo("blank", [], []),
        photo("alarm in a blank", [(HERE, 0.99)], []),
        photo("alarm", [(HERE, 0.9), (THERE, 0.8)], [HERE]),
        photo("small miss", [], [SMALL_BOX]),
        photo("doubtful", [(HERE, 0.2)], [HERE]),
        photo("misplaced", [((18.0, 10.0, 20.0, 10.0), 0.9)], [HERE]),
        photo("large miss", [(HERE, 0.9)], [HERE, THERE]),
    ]
    html = draw_sheet("demo", photos)
    assert titles(html) == [
        "large miss", "misplaced", "small miss", "alarm", "alarm in a blank", "doubtful", "right",
    ]  # fmt: skip
    assert "3 of 3 photos" in html
    assert draw_sheet("demo", photos) == html
    assert titles(draw_sheet("demo", photos[::-1])) == titles(html), "whatever the order of the table"


def test_boxes_are_judged_by_their_overlap():
    missed, wrong = judged(photo("", [((10, 10, 20, 5), 0.9), (THERE, 0.9)], [HERE]))
    assert missed == [] and [one.box for one in wrong] == [THERE], "half of it is a hit"
    missed, wrong = judged(photo("", [((10, 10, 20, 4.9), 0.9)], [HERE]))
    assert missed == [HERE] and len(wrong) == 1
    assert judged(photo("", [(HERE, 0.9)])) == ([], [])
    by_table = Found(HERE, 1.0, missed=True)
    assert judged(photo("", [by_table, (THERE, 0.9)])) == ([HERE], []), "the table has it, the detector has not"


def test_where_nothing_is_known_doubt_comes_first():
    photos = [
        photo("sure", [(HERE, 0.95)]),
        photo("unsure", [(HERE, 0.3)]),
        photo("two in one", [Found(HERE, 0.9, shared=True)]),
        photo("empty", unlike=0.1),
        photo("empty and unlike", unlike=0.4),
        photo("unreadable, say"),
    ]
    assert titles(draw_sheet("x", photos)) == ["empty and unlike", "empty", "unsure", "two in one", "sure"]


def test_sections_and_groups_have_their_turns_and_no_photo_is_shown_twice():
    photos = [photo(f"a{n}", [], [HERE], group="noisy") for n in range(500)]
    photos += [photo(f"b{n}", [], [SMALL_BOX], group=f"camera {n}") for n in range(5)]
    photos += [photo(f"c{n}", [(HERE, n / 100)], [HERE]) for n in range(100)]
    chosen = choose_photos(photos)
    shown = [position for positions, _ in chosen.values() for position in positions]
    assert len(shown) == len(set(shown)) == MOST_PHOTOS
    missed, count = chosen["missed"]
    assert count == 505 and {photos[position].group for position in missed} == {photo.group for photo in photos[:505]}
    assert len(chosen["surest"][0]) == MOST_SURE < len(chosen["least"][0]) == len(missed)
    scores = [photos[position].found[0].score for position in chosen["least"][0]]
    assert scores == sorted(scores) and scores[0] == 0


def test_only_photos_that_are_shown_are_read_and_the_page_stays_small():
    reads = Counter()
    noise = np.random.default_rng(0).integers(0, 255, (480, 480, 3), np.uint8)

    def load(n):
        reads[n] += 1
        return noise

    tiny = [Found((10.0 * i, 5.0, 8.0, 8.0), 0.5, orientation="right") for i in range(80)]
    photos = [Photo(f"p{n}", lambda n=n: load(n), tiny, [(300.0, 300.0, 50.0, 50.0)]) for n in range(2000)]
    html = draw_sheet("x", photos)
    assert len(reads) == MOST_PHOTOS and set(reads.values()) == {1}
    assert len(html) < 3_000_000
    assert html.count('<i class="found') == MOST_PHOTOS * (MOST_BOXES - 1) + 1 + 1, (
        "the missed one, and two in the legend"
    )
    assert f"{MOST_BOXES} of 81 boxes are drawn" in html


def test_names_are_escaped_and_nothing_is_loaded_from_elsewhere():
    name = f'"><img src=x onerror=alert(1)>{EVIL}'
    photos = [photo(name, [Found(HERE, 0.5, name, name)], [THERE], note=name, reason=name, group=name)]
    photos += [photo(name, [Found(HERE, 0.5, orientation=name, shared=True)])]
    clean = pd.DataFrame({"image_id": [name], "place": [name], "camera": [""]})
    animals, found = pd.DataFrame(columns=["image_id", "identity"]), pd.DataFrame(columns=["image_id"])
    cameras = camera_counts(clean, animals, found, rejected_table([(name, name, name, name)]))
    html = draw_sheet(name, photos, name, cameras)
    page = Tags(html)
    assert page.stack == [] and "<script" not in html
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object") and "onerror" not in attributes
        assert attributes.get("src", "data:").startswith("data:") and attributes.get("href", "#").startswith(
            ("#", "data:")
        )


def test_a_photo_that_cannot_be_read_says_so_and_its_boxes_are_told():
    def broken():
        raise PelageError("photo.jpg is not a readable image: <b>")

    html = draw_sheet("x", [Photo("broken", broken, [Found(HERE, 0.5, orientation="left")])])
    assert "photo.jpg is not a readable image: &lt;b&gt;" in html and "found: 0.50 left" in html
    assert "No photo to show." in draw_sheet("x", [])


def test_boxes_stand_where_they_are_and_a_small_animal_has_a_closer_look():
    html = draw_sheet("x", [photo("p", [Found((8.0, 30.0, 8.0, 6.0), 0.876, orientation="left", shared=True)])])
    drawn = 'class="found shared" style="left:10.00%;top:50.00%;width:10.00%;height:10.00%"'
    assert drawn in html and "<span>0.88 left, shared</span>" in html
    assert html.count('class="close"') == 1
    assert 'class="close"' not in draw_sheet("x", [photo("p", [(HERE, 0.8)])])


@pytest.mark.parametrize("shape", [(10, 10), (1, 4000), (4000, 3), (10, 10, 4)])
def test_pictures_of_any_shape(shape):
    image = np.full(shape, 99, np.uint8)
    html = draw_sheet("x", [Photo("p", lambda: image, [Found((0, 0, 3, 3), 0.5), Found((-9, 900_000, 3, 3), 0.4)])])
    data = base64.b64decode(re.search(r"data:image/jpeg;base64,([^\"]+)", html).group(1))
    assert max(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape) == SIDE


def test_what_a_camera_usually_shows_is_told_by_its_other_photos():
    usual, turned = "00ff00ff00ff00ff", "00ff00ff00ffff00"
    clean = pd.DataFrame({
        "place": ["S"] * 6 + ["T"] * 2, "camera": ["A"] * 6 + ["A"] * 2,
        "phash": [usual, usual, usual, turned, usual, "", usual, turned],
    })  # fmt: skip
    assert unlike_camera(clean).tolist() == [0, 0, 0, 0.25, 0, 0, 0, 0], "16 of 64 bits; two photos tell nothing"


@pytest.fixture
def tables(tmp_path):
    """Six photos of one camera: found, people (which have a box here), two empty, boxed by the table, broken."""
    ids = ["found", "people", "empty", "empty 2", "claimed", "broken"]
    clean = pd.DataFrame(
        {"image_id": ids, "path": [f"{image_id}.png" for image_id in ids], "place": "S", "camera": "A"}
    )
    clean = clean.assign(date="2026-01-02T03:04:05", phash=["0" * 16] * 3 + ["f" * 16] + ["0" * 16] * 2)
    for path in clean["path"].iloc[:-1]:
        write_png(tmp_path / path, GREY)
    box = {"x": 10.0, "y": 10.0, "w": 20.0, "h": 10.0, "shared": False}
    rows = [
        ("found", 0.9, "embedded"),
        ("people", 0.99, "embedded"),
        ("claimed", 1.0, "claim"),
        ("broken", 0.4, "embedded"),
    ]
    animals = pd.DataFrame([
        {"image_id": image_id, "animal": 0, **box, "score": score, "found_by": by, "orientation": "unknown"}
        for image_id, score, by in rows
    ])  # fmt: skip
    detections = animals[animals["image_id"] == "found"].assign(part="flank", orientation="left")
    rejected = rejected_table(
        [
            ("people", "people.png", "people", "A person."),
            ("empty", "", "no animal", ""),
            ("empty 2", "", "no animal", ""),
        ]
    )
    return tmp_path, clean, animals, detections, rejected


NO_TRUTH = pd.DataFrame(columns=["image_id", "x", "y", "w", "h"])


def test_photos_of_a_survey(tables):
    html = draw_sheet("x", survey_photos(*tables, NO_TRUTH))
    assert titles(html) == ["claimed", "empty 2", "broken", "found"], "`empty` looks as its camera always does"
    assert "broken.png cannot be read" in html
    assert "found.png · 2026-01-02 03:04" in html and "found: 0.90 · flank" in html


def test_photos_with_people_are_shown_nowhere(tables):
    folder, clean, animals, detections, rejected = tables
    truth = pd.DataFrame([{"image_id": "people", "x": 1.0, "y": 1.0, "w": 9.0, "h": 9.0}])
    for known in (NO_TRUTH, truth):
        photos = survey_photos(folder, clean, animals, detections, rejected, known)
        assert len(photos) == 5 and all(photo.title != "people" for photo in photos)
        assert "people.png" not in draw_sheet("x", photos)


def test_boxes_of_the_table_are_no_misses_where_no_detector_was_asked(tables):
    folder, clean, animals, detections, rejected = tables
    html = draw_sheet(
        "x", survey_photos(folder, clean, animals.assign(found_by="claim"), detections, rejected, NO_TRUTH)
    )
    assert "missed" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def test_all_photos_blank(tables):
    folder, clean, animals, detections, _ = tables
    rejected = rejected_table([(image_id, "", "no animal", "said") for image_id in clean["image_id"]])
    nothing = (animals.head(0), detections.head(0), rejected)
    assert titles(draw_sheet("x", survey_photos(folder, clean, *nothing, NO_TRUTH))) == ["empty 2"]
    known = pd.DataFrame([{"image_id": "found", "x": 1.0, "y": 1.0, "w": 9.0, "h": 9.0}])
    assert titles(draw_sheet("x", survey_photos(folder, clean, *nothing, known))) == ["found"]
