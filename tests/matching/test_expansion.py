"""Query expansion, by hand."""

import numpy as np

from pelage.matching.search.expansion import expand_queries

GALLERY = np.array([[0.6, 0.8], [0.8, -0.6], [-1.0, 0.0]])
QUERY = np.array([[1.0, 0.0]])


def test_points_weigh_their_cosine_to_the_power_of_alpha():
    joined = QUERY[0] + 0.6**3 * GALLERY[0] + 0.8**3 * GALLERY[1]
    found = expand_queries(QUERY, GALLERY, np.array([[1, 0]]), alpha=3)
    np.testing.assert_allclose(found[0], joined / np.linalg.norm(joined), rtol=1e-6)


def test_alpha_zero_is_the_plain_average():
    joined = QUERY[0] + GALLERY[0] + GALLERY[1]
    found = expand_queries(QUERY, GALLERY, np.array([[1, 0]]), alpha=0)
    np.testing.assert_allclose(found[0], joined / np.linalg.norm(joined), rtol=1e-6)


def test_missing_and_opposite_points_change_nothing():
    np.testing.assert_allclose(expand_queries(QUERY, GALLERY, np.array([[2, -1]]), alpha=0), QUERY)
