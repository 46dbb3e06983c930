"""Rehearsal: what decisions are worth, told by test photos whose names were hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pelage.animals.answers import CANNOT_TELL, KNOWN, NEW, PELAGE
from pelage.animals.clustering import average_linkage, hdbscan_labels, threshold_components
from pelage.animals.evidence import FEATURES, Evidence
from pelage.animals.naming import Named, calibration, compare
from pelage.animals.units import NAMED

BASELINES = {
    "threshold components": threshold_components,
    "average linkage": average_linkage,
    "HDBSCAN": hdbscan_labels,
}
OWN = "correlation clustering"
"""Name of the clustering that decides, among the baselines."""


def rehearsal_metrics(rehearsal: Named) -> dict[str, int | float | None]:
    """Return the numbers of a rehearsal that are compared; `sure_` are those of what was decided alone."""
    asked = rehearsal.answers[rehearsal.answers["scope"] != NAMED]
    truth = asked["unit"].map(rehearsal.units.table.set_index("unit")["identity"])
    told = asked["answer"] != CANNOT_TELL
    every, sure = compare(rehearsal), compare(rehearsal, decided=True)
    names = set(rehearsal.units.table.loc[rehearsal.units.table["scope"] == NAMED, "identity"])
    return {
        "pairwise_precision": every.precision,
        "pairwise_recall": every.recall,
        "ari": every.ari,
        "ghosts": every.ghosts,
        "merges": every.merges,
        "found": every.found,
        "true": every.true,
        "units": len(asked),
        "share_decided": float(told.mean()) if len(asked) else None,
        "sure_precision": sure.precision,
        "sure_ghosts": sure.ghosts,
        "sure_merges": sure.merges,
        "known_wrong": int(((asked["answer"] == KNOWN) & (asked["individual"] != truth)).sum()),
        "new_wrong": int(((asked["answer"] == NEW) & truth.isin(names)).sum()),
        **calibration(rehearsal),
    }


def survey_metrics(survey: Named) -> dict[str, int]:
    """Return what became of the photos that nobody named."""
    asked = survey.answers[survey.answers["scope"] != NAMED]
    count = asked["answer"].value_counts()
    new = asked.loc[asked["answer"] == NEW, "individual"]
    return {
        "units": len(asked),
        **{answer: int(count.get(answer, 0)) for answer in (KNOWN, NEW, CANNOT_TELL)},
        "known_animals": asked.loc[asked["answer"] == KNOWN, "individual"].nunique(),
        "new_animals": new.nunique(),
        "by_people": int((asked["decided_by"] != PELAGE).sum()),
    }


def compared_clusterings(rehearsal: Named) -> list[dict[str, Any]]:
    """Return how ways of clustering agree with the truth on the same probabilities, a row each."""
    ways = {OWN: rehearsal.best} | {name: cut(rehearsal.graph) for name, cut in BASELINES.items()}
    return [{"clustering": name, **rounded(asdict(compare(rehearsal, labels)))} for name, labels in ways.items()]


def told_evidence(evidence: Evidence | None) -> dict[str, Any]:
    """Return what was learnt in practice."""
    if evidence is None:
        return {"learnt": False, "individuals": 0}
    return rounded(
        {
            "learnt": evidence.learnt,
            "individuals": evidence.individuals,
            **dict(zip(FEATURES, map(float, evidence.weights), strict=True)),
            "intercept": float(evidence.intercept),
            "least": float(evidence.least),
            "most": float(evidence.most),
        }
    )


def metrics_of(rehearsal: Named, survey: Named) -> dict[str, dict[str, Any]]:
    """Return the numbers that are compared."""
    return {"rehearsal": rounded(rehearsal_metrics(rehearsal)), "survey": survey_metrics(survey)}


def all_numbers(evidence: Evidence | None, rehearsal: Named) -> dict[str, Any]:
    """Return what else is told."""
    return {"evidence": told_evidence(evidence), "clusterings": compared_clusterings(rehearsal)}


def rounded(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return numbers with four digits behind the point."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in numbers.items()}
