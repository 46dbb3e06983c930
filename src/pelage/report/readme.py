"""README and docs/results.md: their numbers are those in metrics/, put there by `make readme` and checked by a test."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pelage.common.errors import PelageError
from pelage.common.files import write_text
from pelage.common.params import read_params
from pelage.report.tables import blocks, leaderboard, list_methods, markdown, read_metrics, verdict

START, END = "<!-- numbers: make readme -->\n", "<!-- /numbers -->\n"


def headline(root: Path) -> str:
    """Return what README.md says of the demo's run, from `params.yaml` and `metrics/` below `root`, as Markdown."""
    ingest, clean, detect = (read_metrics(root / f"metrics/{stage}.json") for stage in ("ingest", "clean", "detect"))
    told = (
        f"The demo is a procedural survey of {ingest['identities']} leopards at {ingest['stations']} stations: "
        f"{ingest['photos']} photos, of which {clean['kept']} are kept. {detect['share_over_half']:.1%} of the animals "
        f"are found (IoU over 0.5, by saliency), the side is right for {detect['side_accuracy']:.1%} of the flanks "
        f"where it is decided ({detect['side_undecided']:.1%} stay `unknown`), and {detect['face_recall']:.1%} of the "
        f"visible faces are found with {detect['face_precision']:.1%} precision. {detect['named_right']:.1%} of the "
        "names given to animals are right."
    )
    lines = [f"* **{part.capitalize()}, {protocol}**: {verdict(rows)}" for part, protocol, rows in blocks(board(root))]
    return "\n".join([told, "", *lines]) + "\n"


def board(root: Path) -> pd.DataFrame:
    """Return the leaderboard of the metrics below `root`."""
    methods = list_methods(read_params(root / "params.yaml"))
    found = {method.name: read_metrics(root / f"metrics/eval/{method.name}.json") for method in methods}
    return leaderboard(found, methods)


PAGES = {"README.md": headline, "docs/results.md": lambda root: markdown(board(root))}
"""Pages with numbers, and what writes them."""


def renewed(text: str, told: str) -> str:
    """Return a page with `told` between its two marks.

    Raises:
        PelageError: It does not have both marks.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise PelageError(f"The marks {START.strip()!r} and {END.strip()!r} are missing from the page; put them back.")
    return f"{before}{start}\n{told}\n{end}{after}"


def renew() -> None:
    """Renew the pages below the current folder."""
    for name, tell in PAGES.items():
        page = Path(name)
        write_text(page, renewed(page.read_text(encoding="utf-8"), tell(Path())))
