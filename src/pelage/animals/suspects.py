"""Suspects: names of the source that photos do not bear out. A person looks; nothing is renamed by itself.

Encounters whose names are known ask each other in practice and in the rehearsal. One that looks like another animal,
and more so than like its own, may have the wrong name; one that looks like none of its own name has nothing to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from pelage.animals.evidence import Evidence, side_pairs
from pelage.animals.units import NAMED, Units

SUSPECT_COLUMNS = [
    "unit",
    "other",
    "identity",
    "other_identity",
    "own",
    "log_odds",
    "probability",
    "query",
    "candidate",
    "why",
]
TWO_NAMES = "looks like another animal, more than like its own"
NO_EVIDENCE = "looks like no other photo of its name"

UNLIKE = float(logit(0.05))
"""Log-odds below which a pair speaks for two animals."""

LEAST_COMPARED = 2
"""Encounters of its name that one was compared with before it is told that it looks like none of them."""

OWN_OF = {"own": "unit", "against": "other"}

PLANTED, DRAWS = 0.02, 20
"""Share of encounters whose names are changed to see whether that is found, and how often it is drawn which."""


def named_pairs(units: Units, photo_pairs: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """Return the log-odds that two units are one animal, for those that the source named and that were compared.

    Args:
        units: Of the scope `named`, and others.
        photo_pairs: `query, candidate, score`, of practice and rehearsal.
        evidence: What such pairs are worth.

    Returns:
        `unit, other, log_odds, query, candidate`, each pair once.
    """
    side = units.table.set_index("unit")["side"]
    crops = units.crops[units.crops["scope"] == NAMED]
    crops = crops.assign(node=crops["unit"], side=crops["unit"].map(side))
    pairs = side_pairs(photo_pairs, crops)
    odds = evidence.log_odds(pairs) if len(pairs) else np.zeros(0)
    named = pairs.rename(columns={"first": "unit", "second": "other"}).assign(log_odds=odds)
    return named[["unit", "other", "log_odds", "query", "candidate"]]


def suspects(identity: Mapping[str, str], pairs: pd.DataFrame) -> pd.DataFrame:
    """Return whose names to look at, the likeliest to be wrong first.

    Args:
        identity: Name by unit.
        pairs: As `named_pairs` returns them.

    Returns:
        `SUSPECT_COLUMNS`: `unit` and its name, the unit that speaks against it, `own` (the highest log-odds with its
        name, missing where it was compared with none of it), `log_odds` of the two, `probability` that the name is
        wrong (missing where nobody else looks alike), and the crops to look at.
    """
    both = pd.concat(
        [pairs, pairs.rename(columns={"unit": "other", "other": "unit", "query": "candidate", "candidate": "query"})],
        ignore_index=True,
    )
    both = both.astype({"log_odds": float}).assign(
        identity=both["unit"].map(identity), other_identity=both["other"].map(identity)
    )
    same = both["identity"] == both["other_identity"]
    own = both[same].groupby("unit")["log_odds"].agg(["max", "size"])
    ordered = both.sort_values(["log_odds", "unit", "other"], ascending=[False, True, True], kind="stable")
    rows = ordered[~(ordered["identity"] == ordered["other_identity"])].drop_duplicates("unit")
    rows = rows.assign(**{end: rows[of].map(own["max"]).astype(float) for end, of in OWN_OF.items()})
    beaten = (rows["log_odds"] > 0) & ~(rows["own"] >= rows["log_odds"])
    lesser = ~(rows["own"].fillna(-np.inf) > rows["against"].fillna(-np.inf))  # the other is the one to look at
    rows = rows[beaten & lesser]
    worth = expit(rows["log_odds"] - np.maximum(rows["own"].fillna(0.0), 0.0))
    two = rows.assign(probability=worth, why=TWO_NAMES)

    alike = ordered[ordered["identity"] == ordered["other_identity"]].drop_duplicates("unit")
    alike = alike.assign(own=alike["log_odds"], compared=alike["unit"].map(own["size"]))
    lonely = alike[(alike["own"] < UNLIKE) & (alike["compared"] >= LEAST_COMPARED) & ~alike["unit"].isin(two["unit"])]
    none = lonely.assign(probability=np.nan, why=NO_EVIDENCE)
    two = two.sort_values(["probability", "unit"], ascending=[False, True])
    found = pd.concat([two, none.sort_values(["own", "unit"])]) if len(none) else two
    return found.round({"own": 4, "log_odds": 4, "probability": 4})[SUSPECT_COLUMNS].reset_index(drop=True)


@dataclass(frozen=True)
class Planted:
    """How well wrong names are found that were planted: what was planted, what was suspected, and what is both."""

    planted: int
    suspected: int
    found: int

    @property
    def precision(self) -> float | None:
        """Share of the suspected that were planted."""
        return self.found / self.suspected if self.suspected else None

    @property
    def recall(self) -> float | None:
        """Share of the planted that were suspected."""
        return self.found / self.planted if self.planted else None


def plant(identity: Mapping[str, str], pairs: pd.DataFrame, seed: int, share: float = PLANTED) -> Planted:
    """Give a share of the units that were compared another one's name, `DRAWS` times, and count which are suspected.

    Args:
        identity: Name by unit, taken to be right.
        pairs: As `named_pairs` returns them.
        seed: Of the draws.
        share: Of units; at least one.
    """
    compared = sorted({*pairs["unit"], *pairs["other"]})
    names = sorted({identity[unit] for unit in compared})
    total = np.zeros(3, int)
    if len(names) < 2:
        return Planted(0, 0, 0)
    for draw in range(DRAWS):
        rng = np.random.default_rng([seed, draw])
        wrong = rng.choice(compared, max(round(share * len(compared)), 1), replace=False).tolist()
        told = dict(identity)
        for unit in wrong:
            told[unit] = str(rng.choice([name for name in names if name != identity[unit]]))
        found = suspects(told, pairs)
        named = set(found.loc[found["why"] == TWO_NAMES, "unit"])
        total += [len(wrong), len(named), len(named & set(wrong))]
    return Planted(*total.tolist())


def check_names(
    units: Units, photo_pairs: pd.DataFrame, evidence: Evidence | None, seed: int
) -> tuple[pd.DataFrame, dict[str, int | float | None]]:
    """Return whose names to look at, and how many, with `planted_precision` and `planted_recall`.

    Args:
        units, photo_pairs: As in `named_pairs`.
        evidence: None where scores are no probabilities; then nobody is suspected.
        seed: As in `plant`.
    """
    if evidence is None:
        found, planted = pd.DataFrame(columns=SUSPECT_COLUMNS), Planted(0, 0, 0)
    else:
        identity = dict(zip(units.table["unit"], units.table["identity"], strict=True))
        pairs = named_pairs(units, photo_pairs, evidence)
        found, planted = suspects(identity, pairs), plant(identity, pairs, seed)
    worth = {"planted_precision": planted.precision, "planted_recall": planted.recall}
    counted = {
        "suspected": int((found["why"] == TWO_NAMES).sum()),
        "without_evidence": int((found["why"] == NO_EVIDENCE).sum()),
    }
    return found, counted | {name: None if value is None else round(value, 4) for name, value in worth.items()}
