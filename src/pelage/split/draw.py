"""Draw train, val and test from the encounters of individuals, reproducibly and without dividing a group of photos.

Some individuals are kept out altogether (novel to `val` or to `test`); the others give each subset some encounters.
Orders come from hashes of names and the seed, so one more individual does not reshuffle the others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from heapq import heapify, heappop, heappush

import numpy as np
import pandas as pd

from pelage.common.seeds import derive

FEW = 3
"""Groups from which on an individual can be in train, val and test alike."""


def draw_subsets(
    visits: pd.DataFrame, seed: int, novel: float, val_novel: float, val: float, test: float
) -> dict[str, str]:
    """Assign each group to train, val or test.

    Rules, in the order in which they yield to one another:

    1. A group is never divided. Individuals with a single group cannot be tested: they stay in train, as classes to
       learn and as wrong answers.
    2. Shares of the individuals with several groups are novel: first `novel` of them for `test`, then `val_novel` for
       `val`. Two individuals stay known, whatever the shares say.
    3. A group of several animals goes where its novel animal goes. An individual is not drawn as novel when that would
       leave a companion without a train group, or when it was seen with an animal that is novel to the other subset.
    4. Each known individual gives `test` and then `val` of its groups, the rounding carried on to the next
       individual, and keeps at least one train group. Of three groups or more `val` gets one whatever its share says:
       what thresholds and probabilities rest on is how many animals `val` knows, not how many groups.
    5. Among an individual's groups those go first whose labels keep another train group.

    Args:
        visits: One row for each crop (or fewer): columns `identity`, `label` (empty where it says no more than the
            identity) and `group`.
        seed: Draws differ by it.
        novel: Share of individuals that only `test` has, 0..1.
        val_novel: Share of individuals that only `val` has.
        val: Share of the groups of known individuals.
        test: The same.

    Returns:
        Subset of each group.
    """
    draft = _Draft(visits, seed)
    several = sum(len(groups) > 1 for groups in draft.groups_of.values())
    for_test = min(_rounded(novel * several), max(several - 2, 0))
    draft.keep_novel("test", for_test)
    draft.keep_novel("val", min(_rounded(val_novel * several), max(several - 2 - for_test, 0)))
    draft.hold_out("test", test)
    draft.hold_out("val", val, least=1)
    return draft.subset


def draw_val(visits: pd.DataFrame, seed: int, val: float) -> dict[str, str]:
    """Assign each group of a published train side to train or val, by rules 1, 4 (but for the share alone) and 5.

    A published train side is what others train on, so val takes no more of it than its share.
    """
    draft = _Draft(visits, seed)
    draft.hold_out("val", val)
    return draft.subset


class _Draft:
    """The subsets while they are being drawn; everything starts in train."""

    def __init__(self, visits: pd.DataFrame, seed: int) -> None:
        self.members: dict[str, set[str]] = defaultdict(set)
        self.labels: dict[str, set[str]] = defaultdict(set)
        self.groups_of: dict[str, list[str]] = defaultdict(list)
        different = visits[["identity", "label", "group"]].drop_duplicates()
        for identity, label, group in sorted(different.itertuples(index=False, name=None)):
            self.members[group].add(identity)
            if label:
                self.labels[group].add(label)
        for group in sorted(self.members, key=lambda name: derive(seed, "group", name)):
            for identity in self.members[group]:
                self.groups_of[identity].append(group)
        self.subset = dict.fromkeys(sorted(self.members), "train")
        self.order = sorted(self.groups_of, key=lambda name: derive(seed, "individual", name))
        self.novel: set[str] = set()
        self.train_groups = Counter({name: len(groups) for name, groups in self.groups_of.items()})
        self.train_labels = Counter(label for labels in self.labels.values() for label in labels)

    def keep_novel(self, subset: str, count: int) -> None:
        """Move all groups of `count` individuals to `subset`."""
        for identity in self.order:
            if count == 0:
                return
            if self._may_be_novel(identity, subset):
                self.novel.add(identity)
                for group in self.groups_of[identity]:
                    self._move(group, subset)
                count -= 1

    def hold_out(self, subset: str, share: float, least: int = 0) -> None:
        """Move a share of each known individual's groups to `subset`, and at least so many of `FEW` or more."""
        due = 0.0
        for identity in self.order:
            groups = self.groups_of[identity]
            if identity in self.novel or len(groups) < 2:
                continue
            held = sum(self.subset[group] == subset for group in groups)
            due += share * len(groups) - held
            count = max(int(due + 0.5), least - held if share and len(groups) >= FEW else 0)
            if count > 0:
                due -= self._move_first(groups, subset, count)
            due = float(np.clip(due, -1, 1))

    def _move_first(self, groups: list[str], subset: str, count: int) -> int:
        """Move up to `count` groups, those first that lose fewest labels; return how many could be moved.

        What a group loses only grows while others move, and one that may not leave never may again. So a group that
        comes up with a number of old need only be put back with the new one.
        """
        queue = [(self._labels_lost(group), place) for place, group in enumerate(groups) if self._may_leave(group)]
        heapify(queue)
        moved = 0
        while queue and moved < count:
            told, place = heappop(queue)
            group = groups[place]
            lost = self._labels_lost(group)
            if not self._may_leave(group):
                continue
            if lost > told:
                heappush(queue, (lost, place))
                continue
            self._move(group, subset)
            moved += 1
        return moved

    def _may_be_novel(self, identity: str, subset: str) -> bool:
        groups = self.groups_of[identity]
        elsewhere = any(self.subset[group] not in ("train", subset) for group in groups)
        if identity in self.novel or len(groups) < 2 or elsewhere:
            return False
        lost = Counter(name for group in groups if self.subset[group] == "train" for name in self.members[group])
        return all(self.train_groups[name] > lost[name] for name in lost if name != identity)

    def _may_leave(self, group: str) -> bool:
        return self.subset[group] == "train" and all(self.train_groups[name] > 1 for name in self.members[group])

    def _labels_lost(self, group: str) -> int:
        return sum(self.train_labels[label] == 1 for label in self.labels[group])

    def _move(self, group: str, subset: str) -> None:
        if self.subset[group] == subset:  # it went with a companion
            return
        self.subset[group] = subset
        self.train_groups.subtract(self.members[group])
        self.train_labels.subtract(self.labels[group])


def _rounded(number: float) -> int:
    return int(number + 0.5)
