"""README and results show the numbers that are in metrics/, and nobody else's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pelage.common.errors import PelageError
from pelage.common.params import read_params
from pelage.report.readme import PAGES, renewed

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(read_params(ROOT / "params.yaml")["ingest"]["dataset"] != "demo", reason="they show the demo")
@pytest.mark.parametrize("name", PAGES)
def test_pages_show_the_numbers_of_the_committed_metrics(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert renewed(text, PAGES[name](ROOT)) == text, "run `make readme`"


def test_links_between_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), ROOT / "data/README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_what_stands_between_the_marks_is_replaced_and_nothing_else():
    text = "a\n<!-- x: how -->\nold\n<!-- /x -->\nb\n"
    once = renewed(text, "new\n", "x: how")
    assert once == "a\n<!-- x: how -->\n\nnew\n\n<!-- /x -->\nb\n" and renewed(once, "new\n", "x: how") == once
    with pytest.raises(PelageError, match="put them back"):
        renewed("a\n", "new")
