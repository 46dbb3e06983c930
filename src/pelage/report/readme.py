"""README: its numbers are those in metrics/, put there by `make readme` and checked by a test.

PYTHONPATH=src python -m pelage.report.readme
"""

from __future__ import annotations

from pathlib import Path

from pelage.common.errors import PelageError
from pelage.common.files import write_text
from pelage.common.params import read_params
from pelage.report.tables import leaderboard, list_methods, markdown, read_metrics

START, END = "<!-- numbers: make readme -->\n", "<!-- /numbers -->\n"


def numbers(root: Path) -> str:
    """Return what README says of the demo's run, from `params.yaml` and `metrics/` below `root`, as Markdown."""
    ingest, clean, detect = (read_metrics(root / f"metrics/{stage}.json") for stage in ("ingest", "clean", "detect"))
    methods = list_methods(read_params(root / "params.yaml"))
    table = leaderboard(
        {method.name: read_metrics(root / f"metrics/eval/{method.name}.json") for method in methods}, methods
    )
    told = (
        f"The demo is a procedural survey of {ingest['identities']} leopards at {ingest['stations']} stations: "
        f"{ingest['photos']} photos, of which {clean['kept']} are kept. {detect['share_over_half']:.1%} of the animals "
        f"are found (IoU over 0.5, by saliency), the side is right for {detect['side_accuracy']:.1%} of the flanks "
        f"where it is decided ({detect['side_undecided']:.1%} stay `unknown`), and {detect['face_recall']:.1%} of the "
        f"visible faces are found with {detect['face_precision']:.1%} precision."
    )
    return f"{told}\n\n{markdown(table)}"


def renewed(text: str, told: str) -> str:
    """Return a README with `told` between its two marks.

    Raises:
        PelageError: It does not have both marks.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise PelageError(f"README.md: the marks {START.strip()!r} and {END.strip()!r} are missing; put them back.")
    return f"{before}{start}\n{told}\n{end}{after}"


def main() -> None:
    """Renew README.md of the current folder."""
    readme = Path("README.md")
    write_text(readme, renewed(readme.read_text(encoding="utf-8"), numbers(Path())))


if __name__ == "__main__":
    main()
