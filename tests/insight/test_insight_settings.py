"""Settings of the insight: what is wrong is named."""

from pathlib import Path

import pytest

from pelage.common.errors import PelageError
from pelage.common.params import read_params
from pelage.insight.settings import check_settings

PARAMS = read_params(Path(__file__).resolve().parents[2] / "params.yaml")


def test_the_projects_own_settings_are_right():
    check_settings(PARAMS["insight"])


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("steps", 0, "give a whole number from 1"),
        ("queries", 2.5, "give a whole number from 0"),
        ("jitter", -1, "give a whole number from 0"),
        ("classes", True, "give a whole number from 0"),
        ("tv", "much", "give a number from 0"),
        ("blur", float("nan"), "give a number from 0"),
    ],
)
def test_bad_settings_are_told(key, value, told):
    with pytest.raises(PelageError, match=rf"insight.{key} is {value!r}; {told}"):
        check_settings({**PARAMS["insight"], key: value})
