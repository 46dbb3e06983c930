"""README shows the numbers that are in metrics/, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pelage.common.errors import PelageError
from pelage.common.params import read_params
from pelage.report.readme import END, START, numbers, renewed

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(read_params(ROOT / "params.yaml")["ingest"]["dataset"] != "demo", reason="README shows the demo")
def test_readme_shows_the_numbers_of_the_committed_metrics():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert renewed(text, numbers(ROOT)) == text, "run `make readme`"


def test_what_stands_between_the_marks_is_replaced_and_nothing_else():
    text = f"a\n{START}old\n{END}b\n"
    once = renewed(text, "new\n")
    assert once == f"a\n{START}\nnew\n\n{END}b\n" and renewed(once, "new\n") == once
    with pytest.raises(PelageError, match="put them back"):
        renewed("a\n", "new")
