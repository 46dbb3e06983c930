from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.training.sampler import identity_batches

LABELS = np.repeat([0, 1, 2, 3], [6, 6, 2, 1])
APART = np.arange(15)  # no two photos of one encounter


def test_batches_hold_p_labels_with_k_photos_or_all_they_have():
    for batch in identity_batches(LABELS, APART, identities=3, photos=4, seed=1, epoch=0):
        counts = Counter(LABELS[batch].tolist())
        assert len(counts) == 3
        assert all(count == min(4, np.sum(label == LABELS)) for label, count in counts.items())
        assert len(set(batch.tolist())) == len(batch)


@pytest.mark.parametrize("bursts", [1, 2, 8])  # photos an encounter
def test_labels_and_photos_come_evenly(bursts):
    labels = np.repeat(np.arange(10), 8)
    seen = Counter()
    for epoch in range(3):
        for batch in identity_batches(labels, np.arange(80) // bursts, identities=5, photos=4, seed=1, epoch=epoch):
            seen.update(batch.tolist())
    assert len(seen) == 80 and set(seen.values()) == {3}  # 4 batches of 20: each photo once an epoch


def test_the_last_batch_is_as_large_as_the_others():
    labels = np.repeat(np.arange(5), 5)
    batches = identity_batches(labels, np.arange(25), identities=4, photos=3, seed=1, epoch=0)
    assert [len(batch) for batch in batches] == [12, 12, 12]  # 25 photos: 2 x 12 and one more


@pytest.mark.parametrize(
    ("photos", "shares"),
    [(1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (4, [1, 1, 2]), (5, [1, 2, 2]), (6, [1, 2, 3]), (9, [1, 2, 6])],
)
def test_each_encounter_gives_a_photo_before_any_gives_a_second(photos, shares):
    """One label with encounters of 1, 2 and 6 photos; shares of a hand, from the smallest."""
    encounters = np.repeat([30, 10, 20], [1, 2, 6])
    for batch in identity_batches(np.zeros(9, int), encounters, identities=1, photos=photos, seed=1, epoch=0):
        assert sorted(Counter(encounters[batch].tolist()).values()) == shares
        if photos >= 4:  # who gives more is who has more
            assert Counter(encounters[batch].tolist())[30] == 1


def test_encounters_come_evenly_and_so_do_the_photos_of_each():
    encounters = np.repeat([0, 1], [1, 20])
    seen = Counter()
    for epoch in range(20):
        for batch in identity_batches(np.zeros(21, int), encounters, identities=1, photos=2, seed=1, epoch=epoch):
            seen.update(batch.tolist())
    assert seen[0] == 20 * 11 and sum(seen.values()) == 2 * seen[0]  # every hand is the lone photo and one of the burst
    burst = [seen[place] for place in range(1, 21)]
    assert sum(burst) == 220 and min(burst) > 0


def test_a_burst_of_one_label_does_not_hinder_another_label():
    """A photo with two animals: both labels have photos of encounter 7."""
    labels, encounters = np.array([0, 0, 1, 1]), np.array([7, 8, 7, 9])
    (batch,) = identity_batches(labels, encounters, identities=2, photos=2, seed=1, epoch=0)
    assert sorted(batch.tolist()) == [0, 1, 2, 3]


def test_seed_and_epoch_decide_and_nothing_else():
    def order(**changed):
        arguments = {"identities": 2, "photos": 2, "seed": 1, "epoch": 4, **changed}
        return [batch.tolist() for batch in identity_batches(LABELS, APART // 2, **arguments)]

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
    batches = identity_batches(labels, encounters, identities, per_label, 1, epoch)
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
