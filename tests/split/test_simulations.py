"""Leaks that hid from the check: six minutes, station only, across midnight and noon, undated bursts."""

import numpy as np
import pandas as pd
import pytest
from named_crops import named_crops

from pelage.catalogue.belonging import belong
from pelage.common.errors import PelageError
from pelage.split.assign import drawn_split
from pelage.split.leakage import find_leaks, join_facts, refuse_unfounded
from pelage.split.protocols import allowed, protocol_sets

ANIMALS, VISITS = 12, 8


def survey(clock="20:00:00", back_s=360, **columns):
    """Return photos, detections and what `belong` tells: each visit is two photos of one animal, `back_s` apart.

    Visits are a week apart for an animal; two animals never meet. `columns` are functions of animal, visit and shot.
    """
    photos, detections = [], []
    for animal in range(ANIMALS):
        for visit in range(VISITS):
            for shot in range(2):
                image = f"L{animal}v{visit}s{shot}"
                serial = len(photos) + 1
                date = pd.Timestamp(f"2026-03-01T{clock}") + pd.Timedelta(
                    days=14 * visit + animal, seconds=shot * back_s
                )
                row = {
                    "image_id": image, "path": f"L{animal}/{image}.jpg", "identity": f"L{animal}", "camera": "",
                    "date": date.isoformat(), "station": "", "encounter": "", "sequence": "", "flags": "",
                    "orientation": "left", "sha256": f"{serial:064x}", "visit": f"{animal} {visit}",
                    "phash": f"{serial * 0x9E3779B97F4A7C15 % 2**64:016x}",
                }  # fmt: skip
                photos.append(row | {name: value(animal, visit, shot) for name, value in columns.items()})
                detections.append({
                    "crop_id": f"{image}#0", "image_id": image, "part": "flank", "animal": 0, "w": 9.0, "h": 9.0,
                    "orientation": "left",
                })  # fmt: skip
    photos = pd.DataFrame(photos)
    found = belong(photos.drop(columns="identity"), photos["identity"], 300)
    clean = photos.drop(columns="encounter").join(found.table)
    return clean, pd.DataFrame(detections), {"clocks": found.clocks, "bits": 2, "revisit_gap_s": 7200}


def draw(clean, detections, rules):
    shares = {"novel": 0.25, "val_novel": 0.1, "val": 0.2, "test": 0.3}
    return drawn_split(named_crops(clean, detections), seed=3, **rules, **shares)


def station(animal, visit, shot):
    return f"S{visit % 4}"


@pytest.mark.parametrize(
    "made",
    [
        survey(station=station),
        survey(camera=station),
        survey("23:57:00", station=station),
        survey("11:57:00", station=station),
        survey("11:00:00", 7000, station=station),
        survey("22:00:00", 6 * 3600, station=station),
        survey(date=lambda animal, visit, shot: f"2026-{1 + visit:02d}-{1 + animal:02d}", station=station),
        survey(path=lambda animal, visit, shot: f"L{animal}/IMG_{visit * 10 + shot:04d}.jpg", date=lambda *_: ""),
        survey(sequence=lambda animal, visit, shot: str(visit * 10 + shot), date=lambda *_: ""),
    ],
    ids=["station", "camera", "midnight", "noon", "two-hours", "night", "day-only", "numbers", "sequence"],
)
def test_a_visit_is_on_one_side_and_may_not_answer_itself(made):
    clean, detections, rules = made
    split = draw(clean, detections, rules)
    visit = split["image_id"].map(clean.set_index("image_id")["visit"])
    assert (split.groupby(visit)["subset"].nunique() == 1).all()
    assert {"train", "val", "test"} <= set(split["subset"])
    for protocol in protocol_sets(split, "flank").values():
        own = (
            visit.set_axis(split["crop_id"])[rows["crop_id"]].to_numpy()
            for rows in (protocol.queries, protocol.gallery)
        )
        same = np.equal.outer(*own)
        assert not (same & allowed(protocol.queries, protocol.gallery)).any()
    rows = join_facts(split, clean, **rules)
    assert find_leaks(rows, 2).empty
    refuse_unfounded(rows, 0.2, excused=False)

    # the same photos, one of each visit moved to the other side: the check sees it
    second = split["image_id"].str.endswith("s1") & split["known"] & (split["subset"] == "test")
    split.loc[second, "subset"] = "train"
    leaks = find_leaks(join_facts(split, clean, **rules), 2)
    assert leaks["kind"].isin(["groups_across_subsets", "encounters_across_subsets"]).sum() >= second.sum()


def test_undated_bursts_of_which_nothing_tells_stop_the_run():
    clean, detections, rules = survey(
        path=lambda animal, visit, shot: f"L{animal}/{hash((animal, visit, shot)):x}.jpg", date=lambda *_: ""
    )
    split = draw(clean, detections, rules)
    with pytest.raises(PelageError, match="nothing tells which photos were taken with them"):
        refuse_unfounded(join_facts(split, clean, **rules), 0.2, excused=False)


def test_a_camera_on_summer_time_hides_no_visit():
    """The second photo is another camera's, an hour ahead; at noon the two stand in different nights."""
    clean, detections, rules = survey(
        "10:57:00", 3600, station=lambda *_: "S", camera=lambda animal, visit, shot: "AB"[shot]
    )
    assert len(rules["clocks"]) == 1
    split = draw(clean, detections, rules)
    visit = split["image_id"].map(clean.set_index("image_id")["visit"])
    assert (split.groupby(visit)["subset"].nunique() == 1).all()
    assert clean.groupby("visit")["night"].nunique().eq(1).all()


def test_coming_back_is_told_by_right_clocks():
    """Half an hour apart over noon, by a camera whose clock is five days ahead: only the corrected time joins them."""
    wrong = 5 * 86400
    clean, detections, rules = survey(
        "11:45:00", 1800 + wrong, station=lambda *_: "S", camera=lambda animal, visit, shot: "AB"[shot]
    )
    clocks = [("S", "B", "2026-01-01T00:00:00", "2027-01-01T00:00:00", float(wrong), 0.0, 9)]
    rules["clocks"] = pd.DataFrame(clocks, columns=rules["clocks"].columns)
    split = draw(clean, detections, rules)
    visit = split["image_id"].map(clean.set_index("image_id")["visit"])
    assert (split.groupby(visit)["subset"].nunique() == 1).all()
    assert find_leaks(join_facts(split, clean, **rules), 2).empty
