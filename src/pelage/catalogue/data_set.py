"""A whole data set: its sources read, checked and put together, its photos brought into the project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pelage.catalogue import deployments
from pelage.catalogue.claims import put_together
from pelage.catalogue.deployments import put_in_operation, read_deployments
from pelage.catalogue.entries import Source, deployment_tables, named_file, read_sources, results_files
from pelage.catalogue.photos import TO_LOOK_AT, data_set_counts, flag_clocks, place_photos, shared_encounters
from pelage.catalogue.results_file import no_results, read_results, results_counts
from pelage.catalogue.schema import Deployments, Survey, check_survey
from pelage.catalogue.sources import open_survey
from pelage.catalogue.verdicts import VERDICTS, file_verdicts, verdict_counts
from pelage.common.tables import rejected_table


@dataclass(frozen=True)
class DataSet:
    """Tables of a data set: `data/photos.csv`, `claims.csv`, `deployments.csv`, `boxes.csv`, `files.csv` and
    `rejected/ingest.csv`."""

    photos: pd.DataFrame
    claims: pd.DataFrame
    deployments: pd.DataFrame
    boxes: pd.DataFrame
    files: pd.DataFrame
    rejected: pd.DataFrame
    counts: dict[str, Any]


def bring_in(dataset: Mapping[str, Any], name: str, photos: Path, truth: Path, fill: str) -> DataSet:
    """Read the sources of the data set `name` and copy its photos.

    Args:
        dataset: Its entry of `datasets`.
        name: Its name there.
        photos: Empty folder for the photos.
        truth: Empty folder for what the synthetic source knows to be true.
        fill: How photos are copied (`pelage.catalogue.photos.FILLS`).

    Raises:
        PelageError: Something makes the whole meaningless.
    """
    sources, results = read_sources(dataset, name), results_files(dataset)
    named = {key: named_file(written) for key, written in deployment_tables(dataset, name).items()}
    tables = [*results.values(), *named.values()]
    with ExitStack() as stack:
        surveys, checked, files = [], [], []
        for source in sources:
            survey = stack.enter_context(open_survey(source, photos / source.folder, truth))
            one = check_survey(survey, source.key, source.entry.get("date_order") or "")
            surveys.append(survey)
            checked.append(one)
            files.append(file_verdicts(source.name, survey, set(one.rows["path"]), one.missing, tables))
        told = put_together(sources, checked)
        roots = {source.name: survey.root for source, survey in zip(sources, surveys, strict=True)}
        originals = [roots[source] / path for source, path in zip(told.photos["source"], told.origins, strict=True)]
        boxes = read_results(results, told.photos, told.origins.tolist(), originals) if results else no_results()
        placed = place_photos(told.photos, originals, photos, fill)
    table = flag_clocks(placed.photos)
    verdicts = pd.concat(files, ignore_index=True)
    operation = put_in_operation(_deployments(dataset, name, sources, surveys, named), table)
    rejected = rejected_table(sorted(told.rejected + boxes.rejected + operation.rejected))
    counts = data_set_counts(table, told.claims, told.counts | {"only_change_time": placed.only_change_time})
    counts |= {
        "deployments": operation.counts,
        "boxes": results_counts(boxes),
        "files": verdict_counts(verdicts),
        "rejected": {reason: int(number) for reason, number in rejected["reason"].value_counts().sort_index().items()},
    }
    return DataSet(table, told.claims, operation.table, boxes.boxes, verdicts, rejected, counts)


def _deployments(
    dataset: Mapping[str, Any],
    name: str,
    sources: Sequence[Source],
    surveys: Sequence[Survey],
    named: Mapping[str, Path],
) -> Iterator[tuple[Deployments, str, str]]:
    """Give what tells of deployments, as `put_in_operation` takes it.

    A table that the data set names tells of all of it; else each source's own table does, else what the source itself
    tells.
    """
    whole = named.get(f"datasets.{name}.deployments")
    if whole:
        yield read_deployments(whole), f"datasets.{name}", dataset.get("date_order") or ""
        return
    for source, survey in zip(sources, surveys, strict=True):
        table = named.get(f"{source.key}.deployments")
        own = read_deployments(table) if table else survey.deployments
        if own is not None:
            yield own, source.key, source.entry.get("date_order") or ""


def to_look_at(data: DataSet) -> list[str]:
    """Return a line for everything that a person should look at."""
    counts = data.counts
    lines = [
        f"{counts['files'][verdict]} {what}" for verdict, what in VERDICTS.items() if what and counts["files"][verdict]
    ]
    lines += [f"{counts[name]} {what}" for name, what in TO_LOOK_AT.items() if counts[name]]
    ran = counts["deployments"]
    lines += [f"{ran[what]} {said}" for what, said in deployments.TO_LOOK_AT.items() if ran[what]]
    if counts["clock_suspect"]:
        lines.append(f"{counts['clock_suspect']} photos have dates that cannot be trusted (flag clock_suspect)")
    if counts["boxes"]["no_result"]:
        lines.append(f"{counts['boxes']['no_result']} photos have no entry in the results file that can be used")
    if counts["unreadable"]:
        lines.append(f"{counts['unreadable']} photos cannot be read")
    if counts["shared_encounters"]:
        first = shared_encounters(data.photos, data.claims).iloc[0]
        lines.append(
            f"{counts['shared_encounters']} encounters have several individuals, such as {first['encounter']!r} of "
            f"{first['individuals']}; if their numbers start anew with each individual, write L1-1 for 1"
        )
    if counts["identities"] < 2:
        names = "one individual only" if counts["identities"] else "no individual by name"
        lines.append(
            f"the source names {names}, so nothing is learnt and no method judged; it is only asked who is on which "
            "photos. If it does name individuals: fill the column identity, or for a folder without a table give "
            "identity_level or path_pattern in params.yaml"
        )
    told = ", ".join(f"{number} {reason}" for reason, number in counts["rejected"].items())
    if told:
        lines.append(f"rows and cells in data/rejected/ingest.csv: {told}")
    return lines
