from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pelage.training.sampler import identity_batches

LABELS = np.repeat([0, 1, 2, 3], [6, 6, 2, 1])


def test_batches_hold_p_labels_with_k_photos_or_all_they_have():
    for batch in identity_batches(LABELS, identities=3, photos=4, seed=1, epoch=0):
        counts = Counter(LABELS[batch].tolist())
        assert len(counts) == 3
        assert all(count == min(4, np.sum(label == LABELS)) for label, count in counts.items())
        assert len(set(batch.tolist())) == len(batch)


def test_labels_and_photos_come_evenly():
    labels = np.repeat(np.arange(10), 8)
    seen = Counter()
    for epoch in range(3):
        for batch in identity_batches(labels, identities=5, photos=4, seed=1, epoch=epoch):
            seen.update(batch.tolist())
    assert len(seen) == 80 and set(seen.values()) == {3}  # 4 batches of 20: each photo once an epoch


def test_seed_and_epoch_decide_and_nothing_else():
    def order(**changed):
        return [
            b.tolist()
            for b in identity_batches(LABELS, **{"identities": 2, "photos": 2, "seed": 1, "epoch": 4, **changed})
        ]

    first = order()
    assert order() == first
    assert order(seed=2) != first and order(epoch=5) != first


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(0, 3),
)
def test_any_labels(labels, identities, photos, epoch):
    labels = np.array(labels)
    batches = identity_batches(labels, identities, photos, 1, epoch)
    assert len(batches) == -(-len(labels) // (identities * photos))
    for batch in batches:
        assert len(set(batch.tolist())) == len(batch)
        counts = Counter(labels[batch].tolist())
        assert len(counts) == min(identities, len(set(labels.tolist())))
        assert max(counts.values()) <= photos
