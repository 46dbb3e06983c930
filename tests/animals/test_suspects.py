"""Suspects: by hand, and wrong names that were planted."""

import numpy as np
import pandas as pd
import pytest

from pelage.animals.suspects import NO_EVIDENCE, TWO_NAMES, plant, suspects


def table(*rows) -> pd.DataFrame:
    return pd.DataFrame(
        [(*row, f"{row[0]}#0", f"{row[1]}#0") for row in rows],
        columns=["unit", "other", "log_odds", "query", "candidate"],
    )


NAMES = {"a1": "A", "a2": "A", "a3": "A", "b1": "B", "b2": "B", "x": "A"}


def test_who_looks_like_another_animal_more_than_like_its_own_is_suspected_and_not_the_other():
    pairs = table(("a1", "a2", 4.0), ("b1", "b2", 4.0), ("x", "a1", -4.0), ("b1", "x", 3.0))
    found = suspects(NAMES, pairs)
    assert found["unit"].tolist() == ["x"] and found["other"].tolist() == ["b1"]
    row = found.iloc[0]
    assert (row["identity"], row["other_identity"], row["own"], row["why"]) == ("A", "B", -4.0, TWO_NAMES)
    assert (row["query"], row["candidate"]) == ("x#0", "b1#0")
    assert row["probability"] == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-4)


def test_whoever_looks_more_like_its_own_is_not():
    assert suspects(NAMES, table(("x", "a1", 3.5), ("x", "b1", 3.0), ("b1", "b2", 5.0))).empty


def test_one_that_looks_like_none_of_its_name_is_told_after_those():
    pairs = table(("x", "a1", -4.0), ("x", "a2", -5.0), ("a1", "a2", 4.0), ("b1", "b2", 3.0))
    found = suspects(NAMES, pairs)
    assert (
        found["unit"].tolist() == ["x"] and found["why"].tolist() == [NO_EVIDENCE] and found["probability"].isna().all()
    )
    assert suspects(NAMES, pairs[pairs["other"] != "a2"]).empty, "compared with one of its name only"


def test_nothing_was_compared():
    assert suspects(NAMES, table()).empty
    assert plant(NAMES, table(), 1).recall is None


def test_planted_names_are_found_where_evidence_is_good():
    rng = np.random.default_rng(5)
    identity = {f"{name}-{visit}": name for name in map("L{:02d}".format, range(20)) for visit in range(6)}
    units = list(identity)
    rows = [
        (one, other, float((4 if identity[one] == identity[other] else -4) + rng.normal()))
        for place, one in enumerate(units)
        for other in units[place + 1 :]
    ]
    done = plant(identity, table(*rows), seed=1)
    assert done.planted == 2 * 20 and done.recall > 0.95 and done.precision > 0.95
