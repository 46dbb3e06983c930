"""Encounters by hand: chains, paired cameras, the source's own, missing times, wrong clocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.catalogue.belonging import belong

GAP = 300.0
COLUMNS = ["image_id", "path", "identity", "date", "camera", "station", "encounter", "sequence"]


def photos(*rows: dict) -> pd.DataFrame:
    """Return a photo table; each row has defaults for what it does not say."""
    default = {"identity": "L1", "date": "", "camera": "", "station": "", "encounter": "", "sequence": ""}
    table = [{"image_id": f"i{n}", "path": f"{n}.jpg", **default, **row} for n, row in enumerate(rows)]
    return pd.DataFrame(table, columns=COLUMNS)


def belonging(table: pd.DataFrame, content=None):
    return belong(table.drop(columns="identity"), table["identity"], GAP, content)


def encounters(table: pd.DataFrame, content=None) -> pd.Series:
    return belonging(table, content).table["encounter"]


def at(seconds: float, camera: str = "S1A", **other) -> dict:
    date = (pd.Timestamp("2026-01-31") + pd.Timedelta(seconds=seconds)).isoformat()
    return {"date": date, "camera": camera, "station": camera[:2], **other}


def partition(names) -> list[int]:
    return pd.factorize(pd.Series(list(names)))[0].tolist()


def test_photos_within_the_gap_chain_and_longer_gaps_divide():
    names = encounters(photos(at(0), at(300), at(600), at(901)))
    assert names.tolist() == ["S1@2026-01-31T00:00:00"] * 3 + ["S1@2026-01-31T00:15:01"]


def test_both_cameras_of_a_station_share_encounters_and_stations_do_not():
    names = encounters(photos(at(0, "S1A"), at(5, "S1B"), at(5, "S2A")))
    assert partition(names) == [0, 0, 1]


def test_two_animals_within_the_gap_are_one_encounter():
    assert partition(encounters(photos(at(0), at(60, identity="L2"), at(60, identity="unknown")))) == [0, 0, 0]


def test_without_a_station_the_camera_counts_then_folder_and_individual():
    rows = [at(0, "S1A", station=""), at(1, "S1B", station="")]
    assert partition(encounters(photos(*rows))) == [0, 1]
    rows = [at(n, "", station="", path=f"x/{n}.jpg", identity=who) for n, who in enumerate(["L1", "L2", "L1"])]
    assert partition(encounters(photos(*rows))) == [0, 1, 0]


def test_the_sources_own_encounters_win_but_cameras_of_a_station_still_share():
    rows = photos(
        at(0, encounter="e1"), at(60, encounter="e2"), at(9000, encounter="e1"), at(60, "S2A", encounter="e3")
    )
    assert encounters(rows).tolist() == ["e1", "e2", "e1", "e3"]
    rows = photos(at(0, "S1A", encounter="e1"), at(60, "S1B", encounter="e2"))
    assert encounters(rows).tolist() == ["e1+e2"] * 2


def test_photos_that_share_an_encounter_of_the_source_do_so_whoever_is_on_them():
    rows = photos({"encounter": "5", "identity": "L1"}, {"encounter": "5", "identity": "L2"}, {"encounter": ""})
    assert encounters(rows).tolist() == ["5", "5", "i2"]


def test_photos_without_time_are_encounters_of_their_own():
    rows = [{"path": "L1/a.jpg"}, {"path": "L1/b.jpg"}]
    assert encounters(photos(*rows)).tolist() == ["i0", "i1"]


def test_one_file_and_equal_content_are_one_encounter():
    assert partition(encounters(photos({"path": "a.jpg"}, {"path": "a.jpg"}, {}))) == [0, 0, 1]
    content = pd.Series(["p", "", "p", ""])
    assert partition(encounters(photos({}, {}, {}, {}), content)) == [0, 1, 0, 2]


def test_a_frame_without_time_joins_the_burst_between_whose_frames_it_stands():
    def frame(number: int, seconds: float | None, identity: str = "L1", camera: str = "S1A") -> dict:
        told = at(0 if seconds is None else seconds, camera) | {"path": f"{camera}/I{number}.jpg", "identity": identity}
        return told | ({"date": ""} if seconds is None else {})

    rows = photos(frame(8, 0), frame(9, None), frame(10, 4), frame(11, 9000))  # I9 stands before I10
    assert partition(encounters(rows)) == [0, 0, 0, 1]
    # a single frame: only the other camera of the station knows when that individual came by
    rows = photos(frame(1, 0, "L2"), frame(2, None), frame(3, 9000, "L2"), frame(1, 4000, camera="S1B"))
    assert partition(encounters(rows)) == [0, 1, 2, 1]
    # an individual that did not come by in that time, and a photo of nobody
    rows = photos(frame(1, 0, "L2"), frame(2, None), frame(3, 9000, "L2"), frame(4, 9900), frame(5, None, "unknown"))
    assert partition(encounters(rows)) == [0, 1, 2, 3, 4]
    # two in a row, before the first that has a time
    rows = photos(frame(1, None), frame(2, None), frame(3, 10))
    assert partition(encounters(rows)) == [0, 0, 0]


def visits(offset: float, count: int = 8, gap: float = 10_000) -> pd.DataFrame:
    times = np.cumsum(np.arange(1, count + 1) * 997.0 + gap)
    return photos(*[at(t, "S1A") for t in times], *[at(t + 3 + offset, "S1B") for t in times])


def test_a_wrong_clock_is_found_and_its_visits_are_put_together():
    offset = -320_716_800.0
    clocks = clock_offsets(visits(offset))
    assert clocks[["station", "camera", "visits"]].to_numpy().tolist() == [["S1", "S1B", 8]]
    assert clocks["offset_s"].iloc[0] == offset + 3
    assert partition(encounters(visits(offset))) == [*range(8), *range(8)]


@pytest.mark.parametrize("table", [visits(0), visits(200), visits(7200, count=3), photos({}, {})])
def test_right_clocks_and_few_visits_raise_no_alarm(table):
    assert clock_offsets(table).empty


def test_unrelated_cameras_raise_no_alarm():
    rng = np.random.default_rng(0)
    rows = [at(t, camera) for camera in ("S1A", "S1B") for t in rng.integers(0, 60 * 86400, 60)]
    assert clock_offsets(photos(*rows)).empty


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_two_photos_of_a_station_within_the_gap_are_ever_divided(data):
    count = data.draw(st.integers(1, 12))
    rows = [
        at(
            data.draw(st.integers(0, 3000)),
            data.draw(st.sampled_from(["S1A", "S1B", "S2A"])),
            identity=data.draw(st.sampled_from("ab")),
        )
        | ({"date": ""} if data.draw(st.integers(0, 4)) == 0 else {})
        for _ in range(count)
    ]
    table = photos(*rows)
    names = encounters(table)
    times = pd.to_datetime(table["date"].where(table["date"] != ""))
    for i in range(count):
        for j in range(i):
            near = abs((times[i] - times[j]).total_seconds()) <= GAP
            if near and table["station"][i] == table["station"][j]:
                assert names[i] == names[j]
    order = data.draw(st.permutations(range(count)))
    shuffled = encounters(table.iloc[order])
    assert shuffled.tolist() == names.iloc[order].tolist()
    assert shuffled.index.tolist() == list(order)
