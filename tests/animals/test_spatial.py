"""Spatial capture-recapture: secr's stored likelihoods and estimates, simulated surveys, and data that tell nothing."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit, xlogy

from pelage.animals import spatial
from pelage.animals.spatial import (
    Detections,
    Likelihood,
    Mask,
    centres,
    fit,
    fit_with_buffer,
    trap_buffer,
)

HECTARE = 100
"""In a km2."""


@pytest.fixture(scope="module")
def reference(shared_photos):
    """Return a function that reads captures and traps as secr writes them."""
    folder = shared_photos("reference") / "secr"

    def rows(file):
        return [line.split() for line in (folder / file).read_text().splitlines() if line.strip() and line[0] != "#"]

    def read(captures, traps, xy=False):
        names, places = zip(*((name, (float(x), float(y))) for name, x, y, *_ in rows(traps)), strict=True)
        told = rows(captures)
        if xy:
            station = [places.index((float(row[3]), float(row[4]))) for row in told]
        else:
            station = [names.index(row[3]) for row in told]
        animal = np.unique([row[1] for row in told], return_inverse=True)[1]
        occasion = np.array([int(row[2]) for row in told]) - 1
        usage = np.ones((occasion.max() + 1, len(places)), bool)
        return Detections(animal, occasion, np.array(station), usage, np.array(places), "multi")

    return read


def test_the_demonstration_of_secr(reference):
    told = reference("capt.txt", "trap.txt", xy=True)
    mask = trap_buffer(told.places, 100)
    assert len(mask.points) == 3936 and told.animals == 76 and len(told.animal) == 235
    found = fit(told, mask)
    assert found.log_likelihood == pytest.approx(-759.025746, abs=2e-6)
    assert found.conditional == pytest.approx(-755.940344, abs=2e-6)
    assert found.density / HECTARE == pytest.approx(5.4798, abs=2e-4)
    assert (found.intercept, found.sigma) == pytest.approx((0.27319, 29.366), rel=1e-4)
    assert found.standard_errors() == pytest.approx([0.11761, 0.13624, 0.04442], abs=5e-5)
    assert found.density_se / HECTARE == pytest.approx(0.64455, abs=5e-5)
    estimate = found.estimate("scr")
    assert (estimate.low / HECTARE, estimate.high / HECTARE) == pytest.approx((4.35500, 6.89514), abs=2e-4)


def test_stoats(reference):
    told = reference("stoatcapt.txt", "stoattrap.txt")
    mask = trap_buffer(told.places, 1000)
    assert len(mask.points) == 3960
    found = fit(told, mask)
    assert found.log_likelihood == pytest.approx(-144.001517, abs=2e-6)
    assert found.density / HECTARE == pytest.approx(0.022363, rel=1e-4)
    assert (found.intercept, found.sigma) == pytest.approx((0.051465, 257.92), rel=1e-4)
    assert fit(told, mask, "exponential").log_likelihood == pytest.approx(-144.7083, abs=5e-5)


def test_snowshoe_hares(reference):
    told = reference("hareCH6capt.txt", "hareCH6trap.txt")
    mask = trap_buffer(told.places, 250)
    assert len(mask.points) == 3896
    found = fit(told, mask)
    assert found.log_likelihood == pytest.approx(-607.98766, abs=5e-6)
    assert found.density / HECTARE == pytest.approx(1.46598, rel=1e-4)
    assert (found.intercept, found.sigma) == pytest.approx((0.06158, 68.3458), rel=1e-4)


@pytest.fixture(scope="module")
def bears(shared_photos):
    """Return black bears at snags that tear out hairs, which are as cameras are, the mask, and their sexes."""
    rdata = pytest.importorskip("rdata")
    path = shared_photos("reference") / "secr/blackbear.RData"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes of R that are read as lists
        read = rdata.read_rda(path)
    histories, mask = np.asarray(read["blackbearCH"]), read["blackbear.0"]["mask"]
    attributes = dict(pairs(dict(pairs(rdata.parser.parse_file(path).object))["blackbearCH"].attributes))
    places = np.array([np.array(axis.value, float) for axis in attributes["traps"].value]).T
    animal, occasion, station = histories.nonzero()
    told = Detections(animal, occasion, station, np.ones(histories.shape[1:], bool), places)
    codes = np.array(attributes["covariates"].value[0].value)
    return told, Mask(np.asarray(mask, float), 0.25), codes


def pairs(node):
    """Yield names and values of R's linked list."""
    while node is not None and node.info.type.name == "LIST":
        tag = node.tag.referenced_object or node.tag
        yield tag.value.value.decode(), node.value[0]
        node = node.value[1]


def test_black_bears_at_detectors_that_are_as_cameras_are(bears):
    """The stored fit of secr. Parameters are the same of both classes, the sexes: these are a factor of their own."""
    told, mask, sex = bears
    assert (told.animals, len(told.animal), len(told.places), len(mask.points)) == (139, 282, 65, 1743)
    found = fit(told, mask, "exponential")
    counts = np.array([58, 81])
    assert np.bincount(sex)[1:].tolist() in ([58, 81], [81, 58])
    by_sex = xlogy(counts, counts / 139).sum()
    assert found.log_likelihood == pytest.approx(-1070.111510, abs=1e-6)
    assert found.log_likelihood + by_sex == pytest.approx(-1164.547310945, abs=1e-6)
    assert found.density / HECTARE == pytest.approx(0.0093820, abs=1e-7)
    assert (found.intercept, found.sigma) == pytest.approx((0.155666, 700.65), rel=2e-5)
    assert found.standard_errors() == pytest.approx([0.09816, 0.15914, 0.06699], abs=1e-4)
    stored = np.array([-1.690833, 6.552013])
    model = Likelihood(told, mask, "exponential")
    value = model.full(*model.parts(stored), np.exp(-4.668966) * HECTARE)
    assert value + by_sex == pytest.approx(-1164.547310945, abs=1e-6)


def survey(seed, density=0.2, g0=0.1, sigma=1000.0, occasions=30, stations=6, spacing=1500.0, detector="proximity"):
    """Simulate centres on a square 5 sigma beyond a grid of stations; return detections and centres of those seen."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*[spacing * np.arange(stations)] * 2), -1).reshape(-1, 2)
    low, high = -5 * sigma, places.max() + 5 * sigma
    points = rng.uniform(low, high, (rng.poisson(density * ((high - low) / 1000) ** 2), 2))
    near = ((points[:, None] - places) ** 2).sum(axis=2)
    usage = rng.random((occasions, len(places))) < 0.9
    g = g0 * np.exp(-near / (2 * sigma**2))
    if detector == "count":
        counts = rng.poisson(-np.log1p(-g)[:, None] * usage)
    else:
        counts = (rng.random((len(points), *usage.shape)) < g[:, None]) & usage
    animal, occasion, station = (np.repeat(axis, counts[counts > 0]) for axis in counts.nonzero())
    seen, animal = np.unique(animal, return_inverse=True)
    return Detections(animal, occasion, station, usage, places, detector), points[seen]


@pytest.mark.parametrize("detector", ["proximity", "count"])
def test_simulated_surveys_are_recovered(detector):
    fits = [
        fit(told, trap_buffer(told.places, 4000, 24)) for told in (survey(s, detector=detector)[0] for s in range(8))
    ]
    assert all(found.converged for found in fits)
    assert np.mean([found.density for found in fits]) == pytest.approx(0.2, rel=0.1)
    assert np.mean([found.sigma for found in fits]) == pytest.approx(1000, rel=0.05)
    covered = [(e := found.estimate("scr")).low <= 0.2 <= e.high for found in fits]
    assert sum(covered) >= 7


def test_likelihood_by_hand():
    """Two animals, two stations, one occasion of which the second station missed one; one cell of habitat at (0, 0)."""
    places = np.array([[0.0, 0.0], [1000.0, 0.0]])
    usage = np.array([[True, True], [True, False]])
    told = Detections(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0, 0, 1]), usage, places)
    theta, density = np.array([logit(0.3), np.log(1000.0)]), 2.0
    near, far = 0.3, 0.3 * np.exp(-0.5)
    seen = 1 - (1 - near) ** 2 * (1 - far)
    chances = near**2 * (1 - far), (1 - near) ** 2 * far
    model = Likelihood(told, Mask(np.zeros((1, 2)), 3.0), "half_normal")
    expected = np.log(chances).sum() + 2 * np.log(3 * density) - density * 3 * seen
    value, area = model.parts(theta)
    assert model.full(value, area, density) == pytest.approx(expected)
    assert model.conditional(value) == pytest.approx(np.log(np.array(chances) / seen).sum() + np.log(2))
    once = near * 2 * (1 - near) * (1 - far) + (1 - near) ** 2 * far
    twice = Likelihood(told, Mask(np.zeros((1, 2)), 3.0), "half_normal", twice=True)
    assert twice.animals == 1 and twice.cells(theta, len)[1] == pytest.approx(seen - once)


@pytest.mark.parametrize("kernel", ["half_normal", "exponential", "hazard_half_normal"])
@pytest.mark.parametrize("detector", ["proximity", "count", "multi"])
def test_nothing_underflows(kernel, detector):
    told, _ = survey(1)
    told = replace(told, detector=detector)
    far = Mask(np.vstack([told.places, told.places + 1e6]), 1.0)
    theta = np.array([-5.0, np.log(50.0)])
    for twice in (False, True):
        value, area = Likelihood(told, far, kernel, twice).parts(theta)
        assert np.isfinite(value) and 0 < area < 100


@pytest.mark.parametrize("detector", ["proximity", "count", "multi"])
def test_blocks_of_histories_change_nothing(detector, monkeypatch):
    told, _ = survey(1)
    told, mask = replace(told, detector=detector), trap_buffer(told.places, 4000, 16)
    theta, answers = np.array([logit(0.1), np.log(500.0)]), []
    for most in (spatial.BLOCK, 1, 3 * len(mask.points)):
        monkeypatch.setattr(spatial, "BLOCK", most)
        found = fit(told, mask)
        answers.append([*Likelihood(told, mask, "half_normal").parts(theta), *np.ravel(centres(found, told, mask)[0])])
    assert answers[1] == pytest.approx(answers[0], rel=1e-12) and answers[2] == pytest.approx(answers[0], rel=1e-12)


def test_a_fit_ends_at_the_same_maximum_from_wherever_it_starts():
    told, _ = survey(1)
    mask = trap_buffer(told.places, 4000, 32)
    found = fit(told, mask)
    for start in (found.theta + np.array([0.1, -0.05]), found.theta + np.array([4.0, 2.0]), np.array([5.0, 20.0])):
        again = fit(told, mask, start=start)
        assert again.converged and again.density == pytest.approx(found.density, rel=1e-6)


def ghosts(told, share, seed):
    """Turn each detection with a chance into one of an animal of its own."""
    lost = np.random.default_rng(seed).random(len(told.animal)) < share
    animal = np.where(lost, told.animals + np.arange(len(lost)), told.animal)
    return replace(told, animal=np.unique(animal, return_inverse=True)[1])


def test_without_singletons_ghosts_do_less_harm():
    """Kodi et al. (2024): ghosts make the density far too high, and less so where animals seen once are left out."""
    plain, without, clean = [], [], []
    for seed in range(6):
        told, _ = survey(seed)
        mask = trap_buffer(told.places, 4000, 20)
        haunted = ghosts(told, 0.2, seed)
        plain.append(fit(haunted, mask).density)
        without.append(fit(haunted, mask, twice=True).density)
        clean.append(fit(told, mask, twice=True).density)
    assert np.mean(clean) == pytest.approx(0.2, rel=0.1)
    assert np.mean(plain) > 0.2 * 1.25
    assert abs(np.mean(without) - 0.2) < abs(np.mean(plain) - 0.2) / 2


def test_numbers_in_a_region_are_those_of_the_book():
    """SECRbook, chapter 13: expected 444.6 (349.19 to 566.07), realised 444.6 with SE 50.801 (360.11 to 561.36)."""
    told, _ = survey(1)
    found = fit(told, trap_buffer(told.places, 4000, 32))
    book = replace(found, density=444.6 / 1000, density_se=55.003 / 1000, area=1000.0, animals=139)
    expected, realised = book.expected("expected"), book.realised("realised")
    assert (expected.low, expected.high) == pytest.approx((349.19, 566.07), abs=0.05)
    assert realised.se == pytest.approx(50.801, abs=0.002)
    assert (realised.low, realised.high) == pytest.approx((360.11, 561.36), abs=0.05)


def test_the_buffer_follows_the_scale():
    told, where = survey(3)
    found, mask = fit_with_buffer(told)
    reach = told.places[:, 0].min() - mask.points[:, 0].min()
    assert found.converged and reach == pytest.approx(4 * found.sigma, rel=0.1)
    middle, spread = centres(found, told, mask)
    assert middle.shape == where.shape and (np.abs(middle - where) < 4 * spread[:, None]).mean() > 0.95


def test_data_that_tell_nothing_are_told():
    told, _ = survey(1)
    mask = trap_buffer(told.places, 4000, 16)
    everywhere = np.zeros(len(told.animal), int)
    assert "two stations" in fit(replace(told, station=told.animal % 36), mask).note
    assert "one station" in fit(replace(told, station=everywhere, places=told.places[:1]), mask).note
    assert "two animals" in fit(replace(told, animal=everywhere), mask).note
    alone = replace(told, animal=np.arange(len(told.animal)))
    assert fit(alone, mask).note and fit(alone, mask, twice=True).note and np.isnan(fit(alone, mask).density)


def test_scales_beyond_the_stations_are_told():
    """Animals that turn up anywhere: the likelihood rises with sigma for ever."""
    rng = np.random.default_rng(0)
    places = np.stack(np.meshgrid(*[500.0 * np.arange(4)] * 2), -1).reshape(-1, 2)
    histories = rng.random((20, 10, 16)) < 0.03
    animal, occasion, station = histories.nonzero()
    animal = np.unique(animal, return_inverse=True)[1]
    found, _ = fit_with_buffer(Detections(animal, occasion, station, np.ones((10, 16), bool), places))
    assert not found.converged


def test_intercepts():
    assert expit(logit(0.2)) == pytest.approx(0.2)
    told, _ = survey(4)
    mask = trap_buffer(told.places, 4000, 32)
    assert fit(told, mask).intercept == pytest.approx(0.1, rel=0.3)
    assert fit(told, mask, "hazard_half_normal").intercept == pytest.approx(0.105, rel=0.3)
