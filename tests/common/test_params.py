from pathlib import Path

import pytest

from pelage.common.errors import PelageError
from pelage.common.params import choose, entry, merged, read_params, read_yaml


def test_numbers_are_yaml_1_2(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: 1e-4\nb: 2e-05\nc: no\nd: 0.3\n")
    assert read_params(path) == {"a": 1e-4, "b": 2e-5, "c": "no", "d": 0.3}


def test_broken_yaml_and_objects_are_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: [1\n")
    with pytest.raises(PelageError, match="not valid YAML"):
        read_yaml(path)
    path.write_text("a: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(PelageError, match="not valid YAML"):
        read_yaml(path)
    with pytest.raises(PelageError, match="is missing"):
        read_yaml(Path("none.yaml"))


def test_errors_name_the_key_and_what_it_may_be():
    with pytest.raises(PelageError, match=r"edges\.method is 'sobel'; it must be one of canny, hed"):
        choose("sobel", ["hed", "canny"], "edges.method")
    with pytest.raises(PelageError, match="datasets has no entry 'x'; it has demo"):
        entry({"demo": {}}, "x", "datasets")
    with pytest.raises(PelageError, match=r"variants\.a\.loss has the unknown field 'margn'; known are margin"):
        merged({"margin": 0.3}, {"margn": 1}, "variants.a.loss")
    with pytest.raises(PelageError, match=r"variants\.a\.loss is 'triplet'; it must be fields and values, of margin"):
        merged({"margin": 0.3}, "triplet", "variants.a.loss")


def test_merged_lays_over():
    assert merged({"a": 1, "b": 2}, {"b": 3}, "x") == {"a": 1, "b": 3}
    assert merged({"a": 1}, None, "x") == {"a": 1}
