"""What the owner of a survey tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pelage.animals.export.camtrap_dp import WANTED
from pelage.animals.export.owner import Owner, read_owner
from pelage.common.errors import PelageError

ROOT = Path(__file__).resolve().parents[3]
DATASETS = ["demo", "leopard"]


def test_the_projects_own_entry_says_all_that_is_wanted():
    told = read_owner(ROOT / "export.yaml", "demo", DATASETS)
    assert told.time_zone == "+02:00"
    for key in WANTED:
        value = told.package
        for part in key.split("."):
            value = value[part]
        assert value


@pytest.mark.parametrize(
    "text", [None, "", "leopard: {time_zone: UTC}\n", "demo:\n", "demo: {time_zone: , package: }\n"]
)
def test_nothing_told_is_nothing(tmp_path, text):
    path = tmp_path / "export.yaml"
    if text is not None:
        path.write_text(text)
    assert read_owner(path, "demo", DATASETS) == Owner()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("leopards: {time_zone: UTC}", r"names 'leopards'; datasets .* has demo, leopard. Did you mean 'leopard'\?"),
        (
            "demo: {timezone: UTC}",
            r"demo has the unknown field 'timezone'; known are time_zone and package. Did you mean",
        ),
        ("demo: {time_zone: 2}", r"demo.time_zone is 2; it must be a text"),
        ("demo: {package: [title]}", r"demo.package is \['title'\]; it must be properties of datapackage.json"),
        ("demo: Leopards", "demo is 'Leopards'; it must be time_zone and package"),
        ("[demo]", "must have an entry for each data set"),
        ("demo: {", "is not valid YAML"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, text, says):
    (tmp_path / "export.yaml").write_text(text)
    with pytest.raises(PelageError, match=says):
        read_owner(tmp_path / "export.yaml", "demo", DATASETS)
