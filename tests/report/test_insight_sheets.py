"""Sheets of the insight: colours where the numbers are, hits and misses alike, and sheets without anything to show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_sheets import pixels, shows

from pelage.common.images import write_png
from pelage.common.tables import crop_file
from pelage.report.insight_sheets import AGAINST, FOR, OPACITY, attention_sheet, inversion_sheet, painted_map
from pelage.report.sheets import RIGHT, WRONG


def test_a_place_is_painted_where_it_is():
    grey = np.full((20, 40, 3), 100, np.uint8)
    painted = painted_map(grey, np.array([[0.0, 1.0], [-1.0, 0.0]]))
    for corner, colour in (((0, -1), FOR), ((-1, 0), AGAINST)):
        expected = 100 * (1 - OPACITY) + OPACITY * np.array(colour)
        np.testing.assert_allclose(painted[corner], expected, atol=1)
    assert (painted[0, 0] == 100).all() and (painted[-1, -1] == 100).all()
    assert painted_map(None, np.zeros((1, 1))) is None


@pytest.fixture
def pairs(survey, ranking):
    """The best right and the best wrong candidate of each query."""
    identity = survey["split"].set_index("crop_id")["identity"]
    right = identity.loc[ranking["query"]].to_numpy() == identity.loc[ranking["candidate"]].to_numpy()
    table = ranking.assign(right=right, cosine=0.5)
    return table.drop_duplicates(["query", "right"], ignore_index=True)


def maps(pairs: pd.DataFrame, value: float) -> dict[str, np.ndarray]:
    return {side: np.full((len(pairs), 2, 4), value, np.float32) for side in ("query", "candidate")}


def test_attention_shows_right_and_wrong_candidates(survey, pairs):
    crops = survey["views"]["flank"]["crop"]
    png = attention_sheet(crops, pairs, maps(pairs, 0.1), survey["split"], 4, 1)
    assert shows(png, RIGHT) and shows(png, WRONG)
    assert png == attention_sheet(crops, pairs, maps(pairs, 0.1), survey["split"], 4, 1)
    assert png != attention_sheet(crops, pairs, maps(pairs, -0.1), survey["split"], 4, 1)
    only = pairs["right"]
    answered = attention_sheet(crops, pairs[only], maps(pairs[only], 0.1), survey["split"], 4, 1)
    assert shows(answered, RIGHT) and not shows(answered, WRONG)
    fewer = attention_sheet(crops, pairs, maps(pairs, 0.1), survey["split"], 2, 1)
    assert len(pixels(fewer)) < len(pixels(png))


def test_inversion_shows_the_image_its_edges_and_photos(survey, tmp_path):
    classes = pd.DataFrame({"label": ["cat 1", "cat 2"], "crops": [2, 2], "cosine": [0.9, 0.8]})
    classes = classes.assign(next_label="cat 3", next_cosine=0.1, photos_cosine=0.7)
    magenta, lines = np.full((20, 40, 3), (255, 0, 255), np.uint8), np.full((20, 40, 1), 255, np.uint8)
    write_png(tmp_path / crop_file("cat 1"), np.concatenate([magenta, lines], 2))
    for view in ("crop", "crop_edge"):
        crops = survey["views"]["flank"][view]
        png = inversion_sheet(crops, tmp_path, classes, survey["split"], 2, 1)  # the image of cat 2 is missing
        assert shows(png, "#ff00ff") and shows(png, "#000000")
    assert len(pixels(inversion_sheet(crops, tmp_path, classes, survey["split"], 1, 1))) < len(pixels(png))


def test_nothing_to_show(survey, pairs, tmp_path):
    crops = survey["views"]["flank"]["crop"]
    none = attention_sheet(crops, pairs.iloc[:0], maps(pairs.iloc[:0], 0), survey["split"], 4, 1)
    classes = pd.DataFrame(columns=["label"])
    assert len(pixels(none)) == len(pixels(inversion_sheet(crops, tmp_path, classes, survey["split"], 4, 1))) == 60
