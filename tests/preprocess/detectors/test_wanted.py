"""What is wanted: backends by their names, old ones too, and species in whatever case; unknown ones stay."""

from __future__ import annotations

import pytest

from pelage.common.errors import PelageError
from pelage.preprocess.detectors.wanted import other_species, read_backend


def test_the_old_name_of_a_backend_means_the_new_one():
    assert read_backend({"backend": "auto"}, {}) == "embedded"
    assert read_backend({"backend": "auto"}, {"boxes": "saliency"}) == "embedded"
    assert read_backend({"backend": "saliency"}, {"boxes": "whole"}) == "embedded"
    assert read_backend({"backend": "auto"}, {"boxes": "whole"}) == "whole"
    with pytest.raises(PelageError, match=r"is 'megadetektor'.*Did you mean 'megadetector'"):
        read_backend({"backend": "megadetektor"}, {})
    with pytest.raises(PelageError, match="is 3"):
        read_backend({"backend": 3}, {})


def test_other_species_are_told_and_unknown_ones_stay():
    species = ["leopard", "LEOPARD ", "plains  zebra", "", "zebra"]
    assert other_species(species, ["Leopard"]) == [False, False, True, False, True]
    assert other_species(species, ["Plains Zebra", "zebra"]) == [True, True, False, False, False]
    assert other_species(species, []) == [False] * 5
