"""Belonging by hand: places, nights, chains, paired cameras, the source's own, missing times, wrong clocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.catalogue.belonging import Renumbered, belong

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


def test_photos_of_which_nothing_is_told_are_encounters_of_their_own():
    rows = photos({"path": "L1/a.jpg"}, {"path": "L1/b.jpg"})
    assert encounters(rows).tolist() == ["i0", "i1"]
    assert rests_on(rows) == ["nothing", "nothing"]


def rests_on(table: pd.DataFrame) -> list[str]:
    return belonging(table).table["rests_on"].tolist()


def test_equal_content_is_one_encounter_and_empty_content_joins_nothing():
    content = pd.Series(["p", "", "p", ""])
    assert partition(encounters(photos({}, {}, {}, {}), content)) == [0, 1, 0, 2]


def test_a_burst_that_a_camera_divides_between_two_folders_is_one_visit():
    """Folders of cameras get full; without station and camera the individual tells the place."""
    rows = photos(
        at(0, "", station="", path="L1/100EK113/IMG_9999.JPG"),
        at(2, "", station="", path="L1/101EK113/IMG_0001.JPG"),
        at(4, "", station="", path="L2/101EK113/IMG_0001.JPG", identity="L2"),
    )
    assert partition(belonging(rows).table["encounter"]) == [0, 0, 1]


def test_places_and_nights():
    rows = photos(
        at(-43201, "S1A"),
        at(-43200, "S1A", station=""),
        at(43199, "", station="", path="x/0.jpg"),
        at(43200, "", station="", path="x/1.jpg", identity="unknown"),
        {"date": "2026-01-31", "station": "S1"},
        {"path": "0.jpg"},
    )
    table = belonging(rows).table
    assert table["place"].tolist() == ["S1", "S1A", "L1", "x", "S1", "L1"]
    assert table["night"].tolist() == ["2026-01-29", "2026-01-30", "2026-01-30", "2026-01-31", "", ""]


def test_table_keeps_index_and_order():
    rows = photos(at(0), at(5), {"path": "a.jpg"}).set_index(pd.Index([7, 3, 5]))
    table = belonging(rows).table
    assert table.columns.tolist() == ["place", "night", "encounter", "rests_on"]
    assert table.index.tolist() == [7, 3, 5] and partition(table["encounter"]) == [0, 0, 1]


def test_a_day_without_time_joins_what_was_taken_there_that_day():
    day = {"date": "2026-01-31", "camera": "S1A", "station": "S1"}
    rows = photos(day, day, day | {"date": "2026-02-01"}, day | {"camera": "S2A", "station": "S2"}, at(36000))
    assert partition(encounters(rows)) == [0, 0, 1, 2, 0]
    assert rests_on(rows) == ["time"] * 5
    # two of one camera that the source tells apart stay apart, in any order of rows
    rows = photos(day | {"encounter": "e1"}, day | {"encounter": "e2"}, day)
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        assert encounters(rows.iloc[order]).sort_index().tolist() == ["e1", "e2", "e1"]


def burst(*names: str, **told) -> pd.DataFrame:
    return photos(*({"path": name, **told} for name in names))


def test_undated_frames_with_consecutive_numbers_are_one_encounter():
    rows = burst(*(f"L1/IMG_{number:04d}.JPG" for number in (9998, 1, 2, 5, 9, 12)))
    assert partition(encounters(rows)) == [0, 1, 1, 1, 2, 2]
    assert rests_on(rows) == ["number"] * 6
    rows.loc[2, "identity"] = "L2"  # of two individuals each has its own
    assert partition(encounters(rows)) == [0, 1, 2, 3, 4, 4]
    apart = burst("V1/IMG_0001.JPG", "V2/IMG_0002.JPG", "V2/IMG_0003.JPG")
    assert partition(encounters(apart)) == [0, 1, 1]


def test_digits_of_a_hash_and_of_other_names_are_no_numbers():
    hashes = burst("L1/a3f9.jpg", "L1/a3f8.jpg", "L1/bc1201.jpg", "L1/de1202.jpg", "L1/fa44.jpg")
    assert partition(encounters(hashes)) == [0, 1, 2, 3, 4] and set(rests_on(hashes)) == {"nothing"}
    alone = burst("a/cat12.jpg", "b/dog13.jpg")
    assert set(rests_on(alone)) == {"nothing"}
    few = burst("L1/S1A_01.jpg", "L1/S1A_02.jpg")
    assert set(rests_on(few)) == {"nothing"}
    many = burst(*(f"L1/S1A_{number:02d}.jpg" for number in (1, 2, 9, 10)))
    assert partition(encounters(many)) == [0, 0, 1, 1] and set(rests_on(many)) == {"number"}


def test_a_sequence_tells_what_was_taken_together():
    rows = photos(
        *({"path": f"L1/{name}.jpg", "sequence": told} for name, told in enumerate(["1", "2", "7", "s", "s", "t"]))
    )
    assert partition(encounters(rows)) == [0, 0, 1, 2, 2, 3]
    assert rests_on(rows) == ["sequence"] * 6
    assert rests_on(photos({"encounter": "5", "sequence": "1"}, at(0, sequence="1"))) == ["source", "time"]


def test_encounter_numbers_that_start_anew_with_each_individual():
    days = [
        at(day * 86400 * 3, camera, identity=identity, encounter=number)
        for n, (identity, camera) in enumerate([("L1", "S1A"), ("L2", "S2A"), ("L3", "S1A")])
        for day, number in ((n, "1"), (n + 20, "2"))
    ]
    found = belonging(photos(*days))
    assert partition(found.table["encounter"]) == [0, 1, 2, 3, 4, 5]
    assert found.table["encounter"].tolist()[:2] == ["1:L1", "2:L1"]
    assert set(found.table["rests_on"]) == {"source"}
    assert found.renumbered == Renumbered(2, 0, "'1': L1, L2, L3")


def test_companions_share_the_sources_encounter():
    together = photos(at(0, encounter="1"), at(80000, identity="L2", encounter="1"), at(900000, encounter="2"))
    found = belonging(together)
    assert found.table["encounter"].tolist() == ["1", "1", "2"] and found.renumbered == Renumbered(0, 0, "")
    # a frame of nobody, and a day without a time between them
    told = photos(at(0, encounter="1"), {"encounter": "1", "identity": "unknown"}, at(9, identity="L2", encounter="1"))
    assert encounters(told).tolist() == ["1"] * 3
    days = [{"date": f"2026-01-0{n}", "identity": f"L{n}", "encounter": "1", "station": "S1"} for n in (1, 2, 5)]
    assert encounters(photos(*days)).tolist() == ["1:L1", "1:L1", "1:L5"]


def test_undated_encounters_of_several_individuals_stay_joined_and_are_counted():
    rows = photos(
        {"encounter": "1"},
        {"encounter": "1", "identity": "L2"},
        at(0, encounter="2"),
        {"encounter": "2", "identity": "L2"},
    )
    found = belonging(rows)
    assert found.table["encounter"].tolist() == ["1", "1", "2", "2"]
    assert found.renumbered == Renumbered(0, 2, "'1': L1, L2")


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
    clocks = belonging(visits(offset)).clocks
    assert clocks[["station", "camera", "visits"]].to_numpy().tolist() == [["S1", "S1B", 8]]
    assert clocks["offset_s"].iloc[0] == offset + 3
    assert partition(encounters(visits(offset))) == [*range(8), *range(8)]


def test_nights_are_those_of_right_clocks():
    found = belonging(visits(10 * 3600))
    assert found.clocks["offset_s"].tolist() == [36003.0]
    nights = found.table["night"].tolist()
    assert nights[:8] == nights[8:]


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
