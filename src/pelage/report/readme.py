"""Pages with numbers: README.md and docs/ say what is committed, put there by `make readme` and checked by a test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.files import write_text
from pelage.common.params import read_params
from pelage.model.weights import OwnWeight, Weight, WeightAtAddress, read_weights
from pelage.report.tables import markdown, markdown_row, number, read_board, read_metrics

NUMBERS = "numbers: make readme"
"""What the marks are called between which `renew` writes."""

LISTS = {
    "src/pelage/model/weights.yaml": "",
    "src/pelage/model/detectors.yaml": "if `detect.megadetector.model` names it",
    "src/pelage/matching/learned/weights.yaml": "if a rematcher needs it",
}
"""Lists of the weights of others, and when they are fetched."""


def headline(root: Path) -> str:
    """Return what README.md says of the demo's run, from `metrics/` below `root`, as Markdown."""
    ingest, clean, detect, told = (
        read_metrics(root / f"metrics/{stage}.json") for stage in ("ingest", "clean", "detect", "headline")
    )
    words = (
        f"The demo is a procedural survey of {named_truth(root)} leopards at {ingest['stations']} stations: "
        f"{ingest['photos']} photos, of which {clean['kept']} are kept; {ingest['identities']} leopards have names. "
        f"{detect['share_over_half']:.1%} of the animals "
        f"are found (IoU over 0.5), the side is right for {detect['side_accuracy']:.1%} of the flanks where it is "
        f"decided ({detect['side_undecided']:.1%} stay `unknown`), and {detect['named_right']:.1%} of the names given "
        f"to animals are right. The check of the split finds {told['leaks']} leaks."
    )
    rows = {
        f"`{told['net']['method']}`, the network that validation prefers": told["net"],
        "`sift_lnbnn`, local features": told["sift"],
        "`fused`, several methods as one probability": told["fused"],
    }
    table = [
        markdown_row(["flanks of the demo", "top-1, known animals", "AUROC, known or new", "mAP of flanks"]),
        markdown_row(["---", "---:", "---:", "---:"]),
        *(markdown_row([name, *(_cell(row, key) for key in ("top1", "auroc", "flank_map"))])
          for name, row in rows.items()),
    ]  # fmt: skip
    lead = f"`fused` less the best of its parts: {_cell(told['fused'], 'lead')}."
    return "\n".join([words, "", animals(root), "", *table, "", lead, "", real_photos(root)]) + "\n"


def animals(root: Path) -> str:
    """Return what README.md says of the photos that nobody named, and of the number of animals."""
    named, counted = (read_metrics(root / f"metrics/{stage}.json") for stage in ("individuals", "count"))
    survey, rehearsal = named["survey"], named["rehearsal"]
    words = (
        f"Photos of its last days have no name. Of their {survey['units']} sightings of a flank, {survey['known']} are "
        f"given to {survey['known_animals']} known animals, {survey['new']} to {survey['new_animals']} that nobody "
        f"knew, and {survey['cannot_tell']} are left to people. "
    )
    if counted["n"] is not None:
        words += (
            f"**{counted['animals']} animals were told apart, and {counted['n']:.0f} [{counted['low']:.0f}, "
            f"{counted['high']:.0f}] use the area** (there are {named_truth(root)}). "
        )
    precision = rehearsal["sure_precision"]
    told = "" if precision is None else f"{precision:.0%} of the pairs that it put together were of one animal, "
    return words + (
        f"Rehearsed on test photos as if they had no names, pelage decided {rehearsal['share_decided']:.0%} by itself: "
        f"{told}animals too many: {rehearsal['sure_ghosts']}, animals that are several: {rehearsal['sure_merges']}."
    )


def named_truth(root: Path) -> int:
    """Return how many animals the demo has."""
    return read_params(root / "params.yaml")["datasets"]["demo"]["individuals"]


def real_photos(root: Path) -> str:
    """Return what README.md says of detection on real photos, from the committed benchmark."""
    found = read_metrics(root / "benchmarks/results/detection.json")
    trap, blank, web = (found["rows"]["embedded"][kind] for kind in ("camera traps", "camera traps, blank", "web"))
    return (
        f"Real photos are harder than the demo's drawings. On {trap['photos']} camera-trap photos (cross-validated by "
        f"sequence, `benchmarks/detection.py`) the embedded detector finds {trap['recall']:.0%} of the animals, "
        f"{trap['precision']:.0%} of its boxes are animals, and {blank['blanks_with_detection']} of {blank['blanks']} "
        f"blank photos get a box; on {web['photos']} web photos {web['recall']:.0%} and {web['precision']:.0%}. "
        "MegaDetector finds more: where you have its results file, or a network to fetch it, set `boxes: megadetector` "
        "(`docs/input.md`)."
    )


def _cell(row: Mapping[str, Any], key: str) -> str:
    interval = row[f"{key}_interval"]
    return number(row[key]) + (f" [{interval}]" if interval else "")


def board(root: Path) -> pd.DataFrame:
    """Return the leaderboard that is committed below `root`."""
    return read_board((root / "plots/leaderboard.csv").read_text(encoding="utf-8"))


def licences(root: Path) -> str:
    """Return the weights of others with their licences, from the lists below `root`, as Markdown."""
    lines = [markdown_row(["file", "licence", "what it is", "where it comes from", "fetched"]), "|---" * 5 + "|"]
    for path, when in LISTS.items():
        for weight in read_weights(root / path):
            lines.append(markdown_row([f"`{weight.name}`", weight.licence, weight.source, _origin(weight), when]))
    return "\n".join(lines) + "\n"


def _origin(weight: Weight | WeightAtAddress | OwnWeight) -> str:
    return f"`{weight.package}` {weight.version} of the Python index" if isinstance(weight, Weight) else weight.url


PAGES = {"README.md": headline, "docs/results.md": lambda root: markdown(board(root)), "docs/weights.md": licences}
"""Pages with numbers, and what writes them."""


def renewed(text: str, told: str, mark: str = NUMBERS) -> str:
    """Return a page with `told` between its two marks, `<!-- mark -->` and `<!-- /mark -->` (up to a colon).

    Raises:
        PelageError: It does not have both marks.
    """
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark.split(':')[0]} -->\n"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise PelageError(f"The marks {start.strip()!r} and {end.strip()!r} are missing from the page; put them back.")
    return f"{before}{start}\n{told}\n{end}{after}"


def renew() -> None:
    """Renew the pages below the current folder."""
    for name, tell in PAGES.items():
        page = Path(name)
        write_text(page, renewed(page.read_text(encoding="utf-8"), tell(Path())))
