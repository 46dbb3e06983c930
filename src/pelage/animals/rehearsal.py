"""Rehearsal: what decisions are worth, told by test photos whose names were hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pelage.animals.answers import CANNOT_TELL, KNOWN, NEW, PELAGE
from pelage.animals.clustering import average_linkage, hdbscan_labels, threshold_components
from pelage.animals.evidence import FEATURES, Evidence
from pelage.animals.graph import Graph, contract
from pelage.animals.links import WHOLE, graph_of
from pelage.animals.naming import Named, compare
from pelage.animals.simulated_review import review
from pelage.animals.units import NAMED

BASELINES = {
    "threshold components": threshold_components,
    "average linkage": average_linkage,
    "HDBSCAN": hdbscan_labels,
}
ACCURACIES = (0.98, 0.9)
ORDERS = ("change", "graph_id", "probability")
"""Orders of questions, see `review`; the first is that of `questions`."""

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
        "individuals": survey.individuals,
    }


def compared_clusterings(rehearsal: Named) -> list[dict[str, Any]]:
    """Return how ways of clustering agree with the truth on the same probabilities, a row each."""
    links = rehearsal.links[rehearsal.links["kind"] != WHOLE]  # which is part of our own way
    graph, node = contracted(graph_of(rehearsal.units, rehearsal.nodes, links)[0])
    ways = {OWN: rehearsal.best} | {name: cut(graph)[node] for name, cut in BASELINES.items()}
    return [{"clustering": name, **rounded(asdict(compare(rehearsal, labels)))} for name, labels in ways.items()]


def contracted(graph: Graph) -> tuple[Graph, np.ndarray]:
    """Return a graph in which what must be together is one node, and the node of each of the `(N,)` given."""
    nodes = contract(graph)
    links = [(a, b, nodes.between(a, b)) for a, row in enumerate(nodes.links) for b in row if a < b]
    first, second, weight = (np.array(column) for column in zip(*links, strict=True)) if links else np.empty((3, 0))
    names = np.empty(len(nodes.links), dtype=graph.names.dtype)
    names[nodes.of_unit[::-1]] = graph.names[::-1]
    animal = np.full(len(names), -1)
    known = graph.known()
    animal[nodes.of_unit[known >= 0]] = known[known >= 0]
    return Graph(names, first.astype(int), second.astype(int), weight.astype(float), animal), nodes.of_unit


def reviewed(rehearsal: Named, seed: int) -> list[dict[str, Any]]:
    """Return what a simulated reviewer's answers come to, a row for each accuracy and order of questions."""
    truth = np.unique([rehearsal.nodes.identity[name] for name in rehearsal.graph.names], return_inverse=True)[1]
    rows = []
    for accuracy in ACCURACIES:
        for order in ORDERS:
            done = review(rehearsal.graph, truth, accuracy, seed, order)
            left = rounded(asdict(compare(rehearsal, done.labels)))
            told = {"answers": done.answers, "wrong": done.wrong, "ended": done.ended}
            after = {f"found_after_{count}": compare(rehearsal, labels).found for count, labels in done.after.items()}
            rows.append({"accuracy": accuracy, "order": order, **told, **left, **after})
    return rows


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
            "missed": float(evidence.missed),
        }
    )


def metrics_of(
    rehearsal: Named, survey: Named, worth: Mapping[str, float | None], reviews: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the numbers that are compared; errors that remain after a review are ghosts and merges together.

    Args:
        rehearsal, survey: What came of them.
        worth: As `calibration` returns it for the rehearsal.
        reviews: As `reviewed` returns them.
    """
    people = {}
    for row in reviews:
        if row["order"] == ORDERS[0]:
            name = f"answers_{100 * row['accuracy']:.0f}"
            people |= {name: row["answers"], f"errors_after_{name}": row["ghosts"] + row["merges"]}
    return {"rehearsal": rounded(rehearsal_metrics(rehearsal) | worth) | people, "survey": survey_metrics(survey)}


def all_numbers(
    evidence: Evidence | None, rehearsal: Named, survey: Named, reviews: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what else is told: the evidence and the priors of both graphs, and what ways and reviews bring."""
    graphs = {"rehearsal": rehearsal.graph, "survey": survey.graph}
    priors = {scope: rounded({"pair": one.prior, "joining": one.joining}) for scope, one in graphs.items()}
    rows = {"clusterings": compared_clusterings(rehearsal), "reviews": reviews}
    return {"evidence": told_evidence(evidence), "priors": priors, **rows}


def rounded(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return numbers with four digits behind the point."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in numbers.items()}
