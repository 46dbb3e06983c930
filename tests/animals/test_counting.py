"""Counting: a simulated reserve whose animals are known, partitions that disagree, and surveys that tell little."""

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from pelage.animals.counting import NO_PLACES, NOT_DRAWN, count_all
from pelage.animals.effort import seen_at, survey_effort
from pelage.animals.habitat import Habitat
from pelage.animals.histories import in_time, sightings
from pelage.animals.result import Errors, best, caveats, headline, metrics, read_errors, recommended
from pelage.animals.spatial import Mask
from pelage.report.count_figures import all_figures, estimates_figure

CRS = "EPSG:32735"
ANIMALS = 24
FENCE_M = 2000.0
FENCED = Habitat(metres=FENCE_M)
EMPTY = pd.DataFrame(columns=["individual", "occasion", "station"])
CURVES = pd.DataFrame(columns=["population", "occasion", "animals"])


def survey(seed=1, days=40, rate=8.0, placed=True, stations=12):
    """Return individuals and deployments of a fenced reserve, with pairs of cameras."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.divmod(np.arange(stations), 4)[::-1], axis=1) * 3000.0 + [660000, 7550000]
    homes = rng.uniform(grid.min(axis=0) - FENCE_M, grid.max(axis=0) + FENCE_M, (ANIMALS, 2))
    near = 0.95 * np.exp(-((homes[:, None] - grid) ** 2).sum(axis=2) / (2 * 1500.0**2))
    rows = []
    for animal in range(ANIMALS):
        for time in np.sort(rng.uniform(0.6, days - 0.6, rng.poisson(rate))):
            station = np.searchsorted(np.cumsum(near[animal] / max(near[animal].sum(), 1)), rng.random())
            date = (pd.Timestamp("2025-03-01") + pd.Timedelta(days=time)).isoformat(timespec="seconds")
            if station < stations:
                sides = ("left", "right") if rng.random() < 0.7 else (("left", "right")[rng.integers(2)],)
                rows += [(f"S{station:02d}@{date}", side, f"L{animal:02d}", f"S{station:02d}", date) for side in sides]
    told = pd.DataFrame(rows, columns=["encounter", "side", "individual", "station", "date"], dtype=object)
    told = told.assign(unit=told["encounter"] + "|" + told["side"], scope="named", answer="named", camera="")
    latitude, longitude = Transformer.from_crs(CRS, "EPSG:4326").transform(*grid.T)
    deployments = pd.DataFrame(
        {
            "station": [f"S{k:02d}" for k in range(stations)],
            "latitude": [f"{value:.6f}" if placed else "" for value in latitude],
            "longitude": [f"{value:.6f}" if placed else "" for value in longitude],
            "start": "2025-03-01T09:00:00",
            "end": (pd.Timestamp("2025-03-01T15:00:00") + pd.Timedelta(days=days - 1)).isoformat(),
            "rests_on": "told",
        }
    )
    return told, deployments


def counted(individuals, deployments, partitions=None, habitat=FENCED, first=None):
    partitions = pd.DataFrame(columns=["draw", "unit", "individual"]) if partitions is None else partitions
    told = sightings(individuals, individuals)
    effort = survey_effort(deployments, told["date"], 1, first, None)
    seen = in_time(told, effort)
    effort = seen_at(effort, seen)
    return seen, effort, count_all(seen, partitions, effort, habitat, "half_normal")


def same(individuals, draws=20):
    units = individuals[["unit", "individual"]]
    return pd.concat([units.assign(draw=draw) for draw in range(draws)], ignore_index=True)


def lost(individuals, share, draws=20):
    """Partitions in each of which some units are animals of their own."""
    drawn = same(individuals, draws)
    alone = np.random.default_rng(5).random(len(drawn)) < share
    return drawn.assign(individual=drawn["individual"].where(~alone, "new-" + drawn.index.astype(str)))


@pytest.fixture(scope="module")
def reserve():
    individuals, deployments = survey()
    return individuals, *counted(individuals, deployments, lost(individuals, 0.01, 6))


def test_a_reserve_whose_animals_are_known(reserve):
    *_, told = reserve
    for which in ("linked", "left", "right"):
        own = told.estimates[(told.estimates["population"] == which) & ~told.estimates["carries_error"]]
        row = own.set_index("estimator").loc["scr_region"]
        assert np.floor(row["low"]) <= ANIMALS <= row["high"] and row["high"] - row["low"] < 15
        density = own.set_index("estimator").loc["scr"]
        assert density["low"] <= 100 * ANIMALS / told.mask.area <= density["high"]
    assert {"m0", "mt"} < set(told.estimates["estimator"]) > {"jackknife", "chao", "scr", "scr2"}


def test_error_of_identification_widens_intervals(reserve):
    *_, told = reserve
    linked = told.estimates[told.estimates["population"] == "linked"]
    for name in ("jackknife", "scr_region"):
        rows = linked[linked["estimator"] == name].set_index("carries_error")
        width = rows["high"] - rows["low"]
        assert width[True] > width[False]


def test_partitions_that_agree_give_the_plain_estimate():
    individuals, deployments = survey()
    *_, told = counted(individuals, deployments, same(individuals))
    for column in ("n", "low", "high"):
        wide = told.estimates.pivot_table(index=["population", "estimator"], columns="carries_error", values=column)
        assert wide[True].to_numpy() == pytest.approx(wide[False].to_numpy(), rel=1e-3) and len(wide) > 20


def test_words_numbers_and_figures(reserve):
    _, seen, effort, told = reserve
    errors = read_errors({"rehearsal": {"ghosts": 2, "units": 80, "merges": 1, "found": 20}})
    assert errors == Errors(0.025, 0.05)
    said = headline(told, effort, errors, 0.1, True)
    assert "live within 2 km of a station" in said and "spatial capture-recapture" in said and "per 100 km2" in said
    assert "use the area of the stations" in headline(told, effort, errors, 0.1, False)
    numbers = metrics(told, effort, errors, 0.1, True)
    assert len(numbers) == 20 and numbers["number_by"] == "scr_region" and numbers["low"] < numbers["high"]
    assert recommended(told.estimates, Errors(0.2), 0.1, True) == ("scr2", "scr2_region")
    assert recommended(told.estimates, Errors(), 0.1, False) == ("scr", "jackknife")
    spoken = " ".join(caveats(told, effort, errors, {"they have no date": 3}))
    assert "3 units are not counted: they have no date" in spoken and "2.5%" in spoken and "M0 and Mt" in spoken
    captures = seen.assign(occasion=seen["occasion"] + 1)
    curves = pd.DataFrame({"population": "linked", "occasion": [1, 2], "animals": [3, 5]})
    pictures = all_figures(captures, curves, seen["station"], effort, told)
    assert all(png[:4] == b"\x89PNG" for png in pictures.values())
    assert pictures["estimates"] == estimates_figure(told.estimates, told.region)


def test_centres_are_near_home(reserve):
    *_, told = reserve
    assert len(told.centres) == told.estimates["animals"].max() or len(told.centres) > 15
    assert (told.centres["spread_m"] > 0).all()


def test_no_coordinates_say_what_to_fill_in():
    individuals, deployments = survey(placed=False)
    _, effort, told = counted(individuals, deployments)
    spatial = told.estimates[told.estimates["estimator"] == "scr"]
    assert spatial["n"].isna().all() and told.mask is None
    assert spatial.loc[~spatial["carries_error"], "note"].eq(NO_PLACES).all()
    said = headline(told, effort, Errors(), 0.1, False)
    assert "jackknife" in said and "fill in latitude and longitude" in said
    assert told.estimates.loc[told.estimates["carries_error"], "note"].eq(NOT_DRAWN).all()
    assert all_figures(EMPTY, CURVES, pd.Series(dtype=object), effort, told)


def test_one_station():
    individuals, deployments = survey(stations=1, rate=40.0)
    _, effort, told = counted(individuals, deployments, same(individuals), Habitat())
    spatial = told.estimates[told.estimates["estimator"] == "scr"]
    assert spatial["note"].str.contains("one station").all()
    assert isinstance(told.mask, Mask)
    assert "jackknife" in headline(told, effort, Errors(), 0.1, False)


def test_everything_new_and_nobody_seen_again():
    individuals, deployments = survey()
    alone = individuals.drop_duplicates("encounter").assign(side="left", answer="new", scope="survey")
    alone["individual"] = [f"new-{number:03d}" for number in range(len(alone))]
    _, effort, told = counted(alone, deployments, same(alone))
    assert told.estimates["n"].isna().all()
    assert "cannot be told" in headline(told, effort, Errors(), 0.1, True)
    assert metrics(told, effort, Errors(), 0.1, True)["n"] is None


def test_one_recapture():
    individuals, deployments = survey()
    alone = individuals.drop_duplicates("encounter").head(12).assign(side="left")
    alone["individual"] = ["new-000", *(f"new-{number:03d}" for number in range(11))]
    _, effort, told = counted(alone, deployments, same(alone), Habitat())
    chao = told.estimates[told.estimates["estimator"] == "chao"]
    assert (chao.loc[chao["population"] == "linked", "high"] > 20).all()
    spoken = " ".join(caveats(told, effort, Errors(), {}))
    assert "Recaptures: 1;" in spoken and "no rehearsal" in spoken


def test_all_one_animal():
    individuals, deployments = survey()
    _, effort, told = counted(individuals.assign(individual="L01"), deployments, habitat=Habitat())
    linked = best(told.estimates, "linked")
    assert linked["n"].dropna().between(1, 1.5).all() and headline(told, effort, Errors(), 0.1, False)


def test_nobody():
    individuals, deployments = survey()
    _, effort, told = counted(individuals.head(0), deployments)
    assert headline(told, effort, Errors(), 0.1, True) == "No animal was seen, so none is counted."
    _, effort, told = counted(individuals.head(0), deployments.head(0))
    assert metrics(told, effort, Errors(), 0.1, True)["animals"] == 0
    assert all_figures(EMPTY, CURVES, pd.Series(dtype=object), effort, told)
