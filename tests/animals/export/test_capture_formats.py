"""secr, oSCR, SPACECAP and MARK: what is written is what a reader of each format reads."""

from __future__ import annotations

import csv
import re
from io import StringIO
from pathlib import Path

import literal_readers as read
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.animals.export.captures import collect
from pelage.animals.export.files import plain_ids, readme
from pelage.animals.export.mark import mark
from pelage.animals.export.oscr import oscr
from pelage.animals.export.secr import secr
from pelage.animals.export.spacecap import spacecap
from pelage.common.errors import PelageError

REFERENCE = Path(__file__).resolve().parents[4] / "shared/data/reference"
STATIONS = pd.DataFrame(
    {"x": [365000.04, 366200.0, 367000.5], "y": [8780000.0, 8780350.26, 8780000.0], "cameras": [2, 1, 2]},
    index=["S 1", "S_2", "ü,3/#"],
)
OPERATING = pd.DataFrame(
    [[0, 1, 1, 0, 1], [1, 1, 0, 0, 1], [1, 1, 1, 0, 1]],
    index=["S 1", "S_2", "ü,3/#"],
    columns=[f"2026-03-0{day}" for day in range(1, 6)],
    dtype=bool,
)
CAUGHT = pd.DataFrame(
    [
        ("L 07", "S 1", "2026-03-02"),
        ("L 07", "S 1", "2026-03-02"),  # by the other camera, or again
        ("L 07", "ü,3/#", "2026-03-05"),
        ("NA", "S_2", "2026-03-01"),
        ("L-07", "S_2", "2026-03-03"),  # the station was not told to operate, but the photo is there
        ("007", "S_2", "2026-03-02"),
    ],
    columns=["individual", "station", "occasion"],
)


@pytest.fixture
def captures():
    made, unproved = collect(CAUGHT, OPERATING, STATIONS, "EPSG:32735")
    assert unproved == 1
    return made


def names_of(text: str) -> dict[str, dict[str, str]]:
    """Return the names behind ids, by kind."""
    names: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(StringIO(text)):
        assert row["id"] not in names.setdefault(row["kind"], {})
        names[row["kind"]][row["id"]] = row["name"]
    return names


def input_rows() -> set[tuple[str, str, str]]:
    return set(CAUGHT[["individual", "occasion", "station"]].itertuples(index=False, name=None))


def named(rows, names) -> set[tuple[str, str, str]]:
    return {
        (names["individual"][str(who)], names["occasion"][str(when)], names["station"][str(where)])
        for who, when, where in rows
    }


def proved() -> np.ndarray:
    """Return the operation that photos prove."""
    works = OPERATING.to_numpy().copy()
    works[1, 2] = True
    return works


def test_secr(captures):
    files = secr(captures, "Demo 2026").files
    names = names_of(files["ids.csv"])
    sessions = read.secr_captures(files["captures.txt"], files["traps.txt"], noccasions=5)
    assert list(sessions) == ["Demo-2026"]
    assert named(sessions["Demo-2026"], names) == input_rows()
    places, usage = read.secr_traps(files["traps.txt"])
    assert {names["station"][key]: xy for key, xy in places.items()} == {
        "S 1": (365000.0, 8780000.0),
        "S_2": (366200.0, 8780350.3),
        "ü,3/#": (367000.5, 8780000.0),
    }
    assert [usage[key] for key in usage] == proved().astype(int).tolist()


def test_secr_says_how_to_read_it_and_that_occasions_at_the_end_count(captures):
    about = readme("secr", secr(captures, "demo"))
    assert "noccasions = 5" in about and 'detector = "proximity"' in about and 'fmt = "trapID"' in about


def test_oscr(captures):
    files = oscr(captures).files
    names = names_of(files["ids.csv"])
    caught, places, operating, covariates = read.oscr(files["edf.csv"], files["tdf.csv"], 5, 3)
    assert named(caught, names) == input_rows()
    assert [operating[key] for key in operating] == proved().astype(int).tolist()
    assert [covariates[key] for key in places] == [{"cameras": "2"}, {"cameras": "1"}, {"cameras": "2"}]


def test_spacecap(captures):
    cells = np.array([[365000.0, 8780000.0], [365500.0, 8780000.0]])
    export = spacecap(captures, cells, 0.25, "within 4 km of a station")
    names = names_of(export.files["ids.csv"])
    caught, places, operating, habitat = read.spacecap(
        *(export.files[f"{n}.csv"] for n in ("captures", "traps", "habitat"))
    )
    assert named([(who, when, where) for where, who, when in caught], names) == input_rows()
    assert list(places) == [1, 2, 3] and [operating[key] for key in places] == proved().astype(int).tolist()
    assert habitat == [(365000.0, 8780000.0, 1), (365500.0, 8780000.0, 1)]
    assert "\n  0.25\n" in readme("spacecap", export) and "within 4 km" in readme("spacecap", export)


def test_mark_leaves_out_occasions_without_a_camera(captures):
    export = mark(captures)
    names = names_of(export.files["ids.csv"])
    rows = read.mark(export.files["histories.inp"])
    assert list(names["occasion"].values()) == ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-05"]
    assert {(names["individual"][who], history) for who, history, _ in rows} == {
        ("007", "0100"),
        ("L 07", "0101"),
        ("L-07", "0010"),
        ("NA", "1000"),
    }
    assert all(frequencies == [1] for *_, frequencies in rows)
    assert export.left_out == {"occasions at which no station operated": 1}


@pytest.mark.parametrize("seed", range(4))
def test_every_reader_finds_what_was_caught(seed):
    """Any captures of any stations: what four readers read is the same, and is what was there."""
    draw = np.random.default_rng(seed)
    stations = [f"{name} {seed}" for name in "ABCDEFGHIJKL"[: 3 + 3 * seed]]
    operating = pd.DataFrame(
        draw.random((len(stations), 9)) < 0.7, stations, [f"2026-03-0{day + 1}" for day in range(9)]
    )
    operating.iloc[:, 4] = False
    table = pd.DataFrame(list(zip(*np.nonzero(operating), strict=True)), columns=["station", "occasion"]).sample(
        40, replace=True, random_state=seed
    )
    table = table.assign(
        individual=[f"L_{n:02}" for n in draw.integers(0, 12, 40)],
        station=[stations[n] for n in table["station"]],
        occasion=[operating.columns[n] for n in table["occasion"]],
    )
    places = pd.DataFrame(draw.uniform(3e5, 4e5, (len(stations), 2)), stations, ["x", "y"]).assign(cameras=1)
    captures, proved = collect(table, operating, places, "EPSG:32735")
    true = set(table[["individual", "occasion", "station"]].itertuples(index=False, name=None))
    works = operating.astype(int).to_numpy().tolist()

    files = secr(captures, "x").files
    sessions = read.secr_captures(files["captures.txt"], files["traps.txt"], 9)
    assert named(sessions["x"], names_of(files["ids.csv"])) == true and proved == 0
    assert list(read.secr_traps(files["traps.txt"])[1].values()) == works
    files = oscr(captures).files
    caught, _, ran, _ = read.oscr(files["edf.csv"], files["tdf.csv"], 9, len(stations))
    assert named(caught, names_of(files["ids.csv"])) == true and list(ran.values()) == works
    files = spacecap(captures, captures.places, 1.0, "").files
    caught, _, ran, _ = read.spacecap(*(files[f"{name}.csv"] for name in ("captures", "traps", "habitat")))
    assert named([(who, when, where) for where, who, when in caught], names_of(files["ids.csv"])) == true
    assert list(ran.values()) == works
    files = mark(captures).files
    names = names_of(files["ids.csv"])
    occasions = [names["occasion"][str(n + 1)] for n in range(len(names["occasion"]))]
    seen = {
        (names["individual"][who], occasion)
        for who, history, _ in read.mark(files["histories.inp"])
        for occasion, one in zip(occasions, history, strict=True)
        if one == "1"
    }
    assert seen == {(who, when) for who, when, _ in true} and "2026-03-05" not in occasions


WRITERS = {"secr": lambda c: secr(c, "x"), "oSCR": oscr, "SPACECAP": lambda c: spacecap(c, c.places, 1.0, "")}


@pytest.mark.parametrize("name", WRITERS)
def test_stations_without_a_place_are_left_out_and_told(name):
    made, _ = collect(CAUGHT, OPERATING, STATIONS.assign(x=[1.0, np.nan, 2.0]), "EPSG:32735")
    export = WRITERS[name](made)
    assert export.left_out == {
        "stations without coordinates": 1,
        "captures at stations without coordinates": 3,
        "individuals caught nowhere else": 3,
    }
    assert set(names_of(export.files["ids.csv"])["individual"].values()) == {"L 07"}
    assert "  3 individuals caught nowhere else\n" in readme(name, export)
    nowhere, _ = collect(CAUGHT, OPERATING, STATIONS.assign(x=np.nan), "")
    with pytest.raises(
        PelageError, match=rf"{name} asks where stations are, .*: S 1, S_2, ü,3/#.*mark, which needs none"
    ):
        WRITERS[name](nowhere)
    assert len(read.mark(mark(nowhere).files["histories.inp"])) == 4


def test_a_station_that_no_deployment_names_operated_when_it_caught():
    made, proved = collect(CAUGHT, OPERATING.drop(index="S_2"), STATIONS.drop(index="S_2"), "EPSG:32735")
    assert proved == 3 and made.stations.tolist() == ["S 1", "S_2", "ü,3/#"]
    assert made.operating[1].tolist() == [True, True, True, False, False]
    assert secr(made, "x").left_out["captures at stations without coordinates"] == 3


def test_a_capture_nobody_expects_is_refused():
    strange = pd.concat([CAUGHT, CAUGHT.head(1).assign(occasion="2027-01-01")], ignore_index=True)
    with pytest.raises(PelageError, match=r"captures.csv: occasion '2027-01-01' is not in data/occasions.csv"):
        collect(strange, OPERATING, STATIONS, "")
    with pytest.raises(PelageError, match="No individual of this population was caught"):
        collect(CAUGHT.head(0), OPERATING, STATIONS, "")


@given(st.lists(st.text("aB1 _-.,/#é\u2009'", max_size=5), max_size=12))
@settings(max_examples=60)
def test_ids_are_plain_and_differ(names):
    ids = plain_ids(names)
    assert set(ids) == set(names) and len(set(ids.values())) == len(ids)
    for name, made in ids.items():
        assert re.fullmatch("[A-Za-z0-9.-]+", made) and made not in ("NA", "NaN")
        assert made == name or plain_ids([name])[name] != name


def test_a_plain_name_keeps_itself_and_others_give_way():
    assert plain_ids(["A-1", "A 1", "A_1", "NA", "Ä1"]) == {
        "A-1": "A-1",
        "A 1": "A-1-2",
        "A_1": "A-1-3",
        "NA": "NA-",
        "Ä1": "A1",
    }


@pytest.mark.skipif(not REFERENCE.exists(), reason="no reference data")
def test_the_readers_read_what_the_tools_ship():
    folder = REFERENCE / "spacecap"
    tables = [(folder / f"tiger{name}.csv").read_text().replace("\r", "") for name in ("CH", "Traps", "Habitat")]
    caught, places, operating, habitat = read.spacecap(*tables)
    assert (len(caught), len(places), len({who for _, who, _ in caught}), len(operating[1])) == (68, 120, 44, 48)
    assert (len(habitat), sum(lived for *_, lived in habitat)) == (9961, 4810)
    rabbits = read.mark((REFERENCE / "closed/edwardsandeberhardt.inp").read_text())
    assert len(rabbits) == 76 and {len(history) for _, history, _ in rabbits} == {18}
    assert sum(history.count("1") for _, history, _ in rabbits) == 142
    hares = read.fields((REFERENCE / "secr/hareCH6capt.txt").read_text())
    assert len(hares) == 145 and len({row[1] for row in hares}) == 68


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda capt, trap: (capt.replace(" 2 ", " 9 ", 1), trap), "noccasions"),
        (lambda capt, trap: (capt, trap.replace(" 11101", " 01101")), "not used"),
        (lambda capt, trap: (capt, trap.replace("S-1 ", "S_1 ")), "_"),
        (lambda capt, trap: (capt.replace("007", "L 07"), trap), "4 fields"),
        (lambda capt, trap: (capt, trap.replace("365000.0 8780000.0", "31.5 -2.5")), "degrees"),
        (lambda capt, trap: (capt + capt.splitlines()[-1] + "\n", trap), "more than one"),
    ],
)
def test_the_reader_refuses_what_secr_would(captures, change, says):
    files = secr(captures, "demo").files
    with pytest.raises(ValueError, match=says):
        read.secr_captures(*change(files["captures.txt"], files["traps.txt"]), noccasions=5)
