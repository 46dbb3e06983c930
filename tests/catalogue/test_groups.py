"""Groups that may not be divided, and the sightings among them."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.catalogue.belonging import groups, sightings

COLUMNS = ["encounter", "identity", "place", "night", "date", "sha256", "phash"]
FAR = ["0000000000000000", "00000000ffffffff", "ffffffff00000000", "ffffffffffffffff", "0f0f0f0f0f0f0f0f"]


def photos(*rows):
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(image_id=[f"i{n}" for n in range(len(table))])


def seen(*rows):
    """Sightings of `(identity, place, night, date)`, each with an encounter of its own."""
    return photos(*((f"e{n}", *row, "", "") for n, row in enumerate(rows)))


def partition(names):
    return pd.factorize(names)[0].tolist()


def test_each_reason_joins_and_nothing_else_does():
    table = photos(
        ("e1", "a", "s1", "2026-01-01", "2026-01-01T20:00:00", "s1", FAR[0]),
        ("e1", "b", "s2", "2026-01-01", "2026-01-01T20:00:10", "s2", FAR[1]),  # same encounter
        ("e2", "c", "s3", "2026-01-02", "2026-01-02T20:00:00", "s2", FAR[2]),  # same file
        ("e3", "a", "s1", "2026-01-01", "2026-01-02T06:00:00", "s4", FAR[3]),  # same animal, place and night
        ("e4", "a", "s9", "2026-01-09", "2026-01-09T20:00:00", "s5", "0000000000000001"),  # same view of a
        ("e5", "d", "s9", "2026-01-10", "2026-01-10T20:00:00", "s6", "0000000000000001"),  # same view, another animal
        ("e6", "d", "s1", "2026-01-01", "2026-01-01T21:00:00", "s7", FAR[4]),  # same place and night, another animal
        ("e7", "d", "", "", "", "", ""),
        ("e8", "d", "", "", "", "", ""),  # nothing known is no reason
    )
    assert groups(table, 2, 7200).tolist() == ["e1", "e1", "e1", "e1", "e1", "e5", "e6", "e7", "e8"]


def test_all_individuals_of_a_photo_are_one_group():
    table = seen(("a", "s1", "", ""), ("b", "s1", "", ""), ("b", "s1", "", ""))
    table["image_id"] = ["p1", "p1", "p2"]
    assert groups(table, 2, 7200).tolist() == ["e0", "e0", "e2"]


def test_coming_back_is_one_sighting_across_noon_and_midnight():
    table = seen(
        ("a", "s1", "2026-01-01", "2026-01-02T11:57:00"),
        ("a", "s1", "2026-01-02", "2026-01-02T12:03:00"),  # six minutes, across noon
        ("a", "s1", "2026-01-02", "2026-01-03T03:00:00"),  # the same night
        ("a", "s1", "2026-01-04", "2026-01-04T14:00:01"),
        ("b", "s1", "2026-01-04", "2026-01-04T15:00:00"),  # another individual
        ("a", "s2", "2026-01-04", "2026-01-04T14:01:00"),  # within a minute elsewhere: cameras side by side
        ("a", "s2", "2026-01-05", "2026-01-05T20:00:00"),
        ("a", "s2", "2026-01-04", "2026-01-05T08:00:00"),  # the same day as the one before, twelve hours apart
        ("a", "s2", "2026-01-06", "2026-01-06T12:30:00"),
    )
    joined = [0, 0, 0, 1, 2, 1, 1, 1, 3]
    assert partition(sightings(table, 7200)) == partition(groups(table, 2, 7200)) == joined
    assert partition(sightings(table, 60)) == [0, 0, 0, 1, 2, 1, 1, 1, 3]
    assert partition(sightings(table.iloc[3:6], 58)) == [0, 1, 2]


def test_a_day_joins_with_the_photos_of_that_day():
    table = seen(
        ("a", "s1", "2026-01-01", "2026-01-02T09:00:00"),
        ("a", "s1", "", "2026-01-02"),
        ("a", "s1", "2026-01-02", "2026-01-02T23:00:00"),
        ("a", "s1", "", "2026-01-03"),
        ("b", "s1", "", "2026-01-02"),
        ("a", "s1", "2026-01-03", "2026-01-04T09:00:00"),
    )
    assert partition(sightings(table, 60)) == [0, 0, 0, 1, 2, 3]


def test_groups_do_not_depend_on_the_order_of_rows():
    random = np.random.default_rng(1)
    rows = [
        (
            f"e{random.integers(20)}",
            f"i{n % 5}",
            f"s{random.integers(6)}",
            night,
            f"{night}T20:00:00",
            f"s{n}",
            FAR[n % 5],
        )
        for n in range(40)
        for night in [f"2026-01-{1 + n % 9:02d}"]
    ]
    table = photos(*rows).set_index(pd.Index(range(100, 140)))
    expected = groups(table, 2, 7200)
    assert groups(table.sample(frac=1, random_state=3), 2, 7200).sort_index().equals(expected)
    assert groups(table.iloc[:0], 2, 7200).empty


moments = st.one_of(
    st.just(""),
    st.integers(1, 3).map(lambda day: f"2026-01-{day:02d}"),
    st.integers(0, 60).map(lambda n: (pd.Timestamp("2026-01-01") + n * pd.Timedelta("1h")).isoformat()),
)
sighting = st.tuples(st.integers(0, 20), st.sampled_from("ab"), st.sampled_from("ST"), moments, st.integers(0, 30))


def belong_together(one, other, bits, gap_s):
    if one["encounter"] == other["encounter"]:
        return True
    if one["identity"] != other["identity"]:
        return False
    if (int(one["phash"], 16) ^ int(other["phash"], 16)).bit_count() <= bits:
        return True
    if not one["date"] or not other["date"]:
        return False
    here = one["place"] == other["place"]
    if here and one["date"][:10] == other["date"][:10]:
        return True
    if min(len(one["date"]), len(other["date"])) == 10:
        return False
    apart = abs((pd.Timestamp(one["date"]) - pd.Timestamp(other["date"])).total_seconds())
    return apart <= gap_s or (here and one["night"] == other["night"])


@settings(max_examples=100, deadline=None)
@given(st.lists(sighting, min_size=2, max_size=10), st.sampled_from([0, 3600, 7200]))
def test_groups_are_what_looking_at_all_pairs_finds(rows, gap_s):
    def night(date):
        return str((pd.Timestamp(date) - pd.Timedelta("12h")).date()) if len(date) > 10 else ""

    table = photos(*(
        (f"e{encounter}", who, place, night(date), date, "", f"{0x9E3779B97F4A7C15 * (look + 1) % 2**64:016x}")
        for encounter, who, place, date, look in rows
    ))  # fmt: skip
    records = table.to_dict("records")
    expected = list(range(len(records)))
    for _ in records:  # each round hands the least number on
        for i, one in enumerate(records):
            near = [expected[j] for j, other in enumerate(records) if belong_together(one, other, 2, gap_s)]
            expected[i] = min(near)
    found = groups(table, 2, gap_s)
    assert partition(found) == partition(np.array(expected))
    assert all(name == table["encounter"][found == name].min() for name in found)
