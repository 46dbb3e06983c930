import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.common.errors import PelageError
from pelage.training.sampler import balanced_batches, batch_count, epoch_batches

LABELS = np.repeat([0, 1, 2, 3], [6, 6, 2, 1])
APART = np.arange(15)  # no two photos of one encounter


def test_batches_hold_p_labels_with_k_photos_or_all_they_have():
    for batch in balanced_batches(LABELS, APART, identities=3, photos=4, seed=1, epoch=0):
        counts = Counter(LABELS[batch].tolist())
        assert len(counts) == 3
        assert all(count == min(4, np.sum(label == LABELS)) for label, count in counts.items())
        assert len(set(batch.tolist())) == len(batch)


@pytest.mark.parametrize("bursts", [1, 2, 8])  # photos an encounter
def test_labels_and_photos_come_evenly(bursts):
    labels = np.repeat(np.arange(10), 8)
    seen = Counter()
    for epoch in range(3):
        for batch in balanced_batches(labels, np.arange(80) // bursts, identities=5, photos=4, seed=1, epoch=epoch):
            seen.update(batch.tolist())
    assert len(seen) == 80 and set(seen.values()) == {3}  # 4 batches of 20: each photo once an epoch


def test_the_last_batch_is_as_large_as_the_others():
    labels = np.repeat(np.arange(5), 5)
    batches = balanced_batches(labels, np.arange(25), identities=4, photos=3, seed=1, epoch=0)
    assert [len(batch) for batch in batches] == [12, 12, 12]  # 25 photos: 2 x 12 and one more


@pytest.mark.parametrize(
    ("photos", "shares"),
    [(1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (4, [1, 1, 2]), (5, [1, 2, 2]), (6, [1, 2, 3]), (9, [1, 2, 6])],
)
def test_each_encounter_gives_a_photo_before_any_gives_a_second(photos, shares):
    """One label with encounters of 1, 2 and 6 photos; shares of a hand, from the smallest."""
    encounters = np.repeat([30, 10, 20], [1, 2, 6])
    for batch in balanced_batches(np.zeros(9, int), encounters, identities=1, photos=photos, seed=1, epoch=0):
        assert sorted(Counter(encounters[batch].tolist()).values()) == shares
        if photos >= 4:  # who gives more is who has more
            assert Counter(encounters[batch].tolist())[30] == 1


def test_encounters_come_evenly_and_so_do_the_photos_of_each():
    encounters = np.repeat([0, 1], [1, 20])
    seen = Counter()
    for epoch in range(20):
        for batch in balanced_batches(np.zeros(21, int), encounters, identities=1, photos=2, seed=1, epoch=epoch):
            seen.update(batch.tolist())
    assert seen[0] == 20 * 11 and sum(seen.values()) == 2 * seen[0]  # every hand is the lone photo and one of the burst
    burst = [seen[place] for place in range(1, 21)]
    assert sum(burst) == 220 and min(burst) > 0


def test_a_burst_of_one_label_does_not_hinder_another_label():
    """A photo with two animals: both labels have photos of encounter 7."""
    labels, encounters = np.array([0, 0, 1, 1]), np.array([7, 8, 7, 9])
    (batch,) = balanced_batches(labels, encounters, identities=2, photos=2, seed=1, epoch=0)
    assert sorted(batch.tolist()) == [0, 1, 2, 3]


def test_seed_and_epoch_decide_and_nothing_else():
    def order(**changed):
        arguments = {"identities": 2, "photos": 2, "seed": 1, "epoch": 4, **changed}
        return [batch.tolist() for batch in balanced_batches(LABELS, APART // 2, **arguments)]

    first = order()
    assert order() == first
    assert order(seed=2) != first and order(epoch=5) != first


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(0, 3),
)
def test_any_labels_and_encounters(photos, identities, per_label, epoch):
    labels, encounters = np.array(photos).T
    batches = balanced_batches(labels, encounters, identities, per_label, 1, epoch)
    assert len(batches) == -(-len(labels) // (identities * per_label))
    for batch in batches:
        assert len(set(batch.tolist())) == len(batch)
        counts = Counter(labels[batch].tolist())
        assert len(counts) == min(identities, len(set(labels.tolist())))
        for label, count in counts.items():
            own = Counter(encounters[labels == label].tolist())
            assert count == min(per_label, sum(own.values()))
            dealt = Counter(encounters[batch][labels[batch] == label].tolist())
            most = max(dealt.values())
            assert all(dealt[name] >= min(most - 1, size) for name, size in own.items())


def leopard_study_batches(leopards, batch_size, max_images_indiv):
    """The leopard study's sampler as it stands (leopard_sampler.py, `__iter__`)."""
    available_indices = {leopard: np.flatnonzero(leopards == leopard).tolist() for leopard in np.unique(leopards)}
    names = list(available_indices)
    batch, batches = [], []
    weights = [np.log(len(available_indices[leopard]) + 1) for leopard in names if available_indices[leopard]]
    leopards_with_indices = [leopard for leopard in names if available_indices[leopard]]
    while sum(weights) > 0:
        chosen_leopard = random.choices(leopards_with_indices, weights=weights, k=1)[0]
        num_images = min(len(available_indices[chosen_leopard]), max_images_indiv)
        selected_indices = random.sample(available_indices[chosen_leopard], num_images)
        batch.extend(selected_indices)
        available_indices[chosen_leopard] = [
            idx for idx in available_indices[chosen_leopard] if idx not in selected_indices
        ]
        while len(batch) >= batch_size:
            batches.append(batch[:batch_size])
            batch = batch[batch_size:]
        weights = [
            np.log(len(available_indices[leopard]) + 1)
            for leopard in leopards_with_indices
            if available_indices[leopard]
        ]
        leopards_with_indices = [leopard for leopard in leopards_with_indices if available_indices[leopard]]
    return [*batches, batch] if batch else batches


def test_exhaustive_batches_are_drawn_as_the_leopard_study_does():
    """By label: the first one drawn, and the mean place of its photos in an epoch, over 600 epochs each."""
    labels = np.repeat([0, 1, 2, 3], [1, 2, 8, 25])
    random.seed(0)
    theirs = [np.concatenate(leopard_study_batches(labels, 12, 4)) for _ in range(600)]
    ours = [np.concatenate(epoch_batches("exhaustive", labels, labels, 3, 4, 1, epoch)) for epoch in range(600)]
    weights = np.log([2, 3, 9, 26])
    for orders in (theirs, ours):
        first = np.bincount(labels[[order[0] for order in orders]], minlength=4) / 600
        np.testing.assert_allclose(first, weights / weights.sum(), atol=0.06)
    mean = [[np.mean([np.flatnonzero(labels[order] == label).mean() for order in orders]) for label in range(4)]
            for orders in (theirs, ours)]  # fmt: skip
    np.testing.assert_allclose(*mean, atol=1.2)


@pytest.mark.parametrize("sampler", ["exhaustive", "shuffled"])
def test_photos_come_once_an_epoch_in_whole_batches(sampler):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), rng.integers(1, 14, 60))  # as many photos of an individual as nyalas have
    batches = epoch_batches(sampler, labels, labels, 16, 4, seed=1, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(labels)))
    assert [len(batch) for batch in batches] == [64] * (len(labels) // 64) + [len(labels) % 64]
    assert len(batches) == batch_count(len(labels), 16, 4)
    few = balanced_batches(labels, np.arange(len(labels)), 16, 4, seed=1, epoch=0)
    assert len(set(np.concatenate(few).tolist())) < 0.8 * len(labels)  # what the balanced one does not see


def test_exhaustive_batches_hold_a_label_by_handfuls():
    labels = np.repeat(np.arange(9), 7)
    order = labels[np.concatenate(epoch_batches("exhaustive", labels, labels, 4, 3, seed=2, epoch=1))]
    runs = np.diff(np.flatnonzero(np.diff(order, prepend=-1, append=-1)))
    assert runs.min() == 1 and (runs % 3 <= 1).all()  # 3, 3 and the last one, some of them side by side
    placed = epoch_batches("shuffled", labels, labels, 4, 3, seed=2, epoch=1)
    assert len(np.flatnonzero(np.diff(labels[np.concatenate(placed)]))) > 40


def test_no_photo_is_alone_in_the_last_batch():
    labels = np.repeat(np.arange(5), 5)
    assert [len(batch) for batch in epoch_batches("shuffled", labels, labels, 4, 2, 1, 0)] == [8, 8, 7, 2]
    assert [len(batch) for batch in epoch_batches("exhaustive", labels, labels, 5, 5, 1, 0)] == [25]


def test_each_sampler_depends_on_seed_and_epoch_alone():
    for sampler in ("balanced", "exhaustive", "shuffled"):

        def order(seed, epoch, sampler=sampler):
            return np.concatenate(epoch_batches(sampler, LABELS, APART, 2, 3, seed, epoch)).tolist()

        assert order(1, 4) == order(1, 4) and order(2, 4) != order(1, 4) != order(1, 5)
    with pytest.raises(PelageError, match=r"train.sampler is 'all'; it must be one of balanced, exhaustive, shuffled"):
        epoch_batches("all", LABELS, APART, 2, 3, 1, 1)
