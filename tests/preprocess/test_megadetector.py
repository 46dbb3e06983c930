"""MegaDetector: boxes in pixels, people and vehicles left out, and what is missing said in words."""

import sys
import types

import numpy as np
import pytest

from pelage.common.errors import PelageError
from pelage.preprocess.megadetector import MegaDetector


class FakeDetector:
    """Returns what the package's detectors return: relative boxes, categories as text."""

    failure = None

    def generate_detections_one_image(self, image, detection_threshold):
        assert image.shape == (50, 200, 3) and detection_threshold < 0.2
        return {
            "file": "unknown",
            "failure": self.failure,
            "detections": [
                {"category": "1", "conf": 0.4, "bbox": [0.0, 0.0, 0.1, 0.2]},
                {"category": "1", "conf": 0.9, "bbox": [0.5, 0.2, 0.25, 0.6]},
                {"category": "2", "conf": 0.99, "bbox": [0.1, 0.1, 0.1, 0.1]},
            ],
        }


@pytest.fixture
def package(monkeypatch):
    loaded = []
    names = ["megadetector", "megadetector.detection", "megadetector.detection.run_detector"]
    modules = {name: types.ModuleType(name) for name in names}
    modules[names[-1]].load_detector = lambda path: loaded.append(path) or FakeDetector()
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return loaded


def test_animals_in_pixels_best_first(package, tmp_path, monkeypatch):
    monkeypatch.setenv("PELAGE_WEIGHTS", str(tmp_path))
    (tmp_path / "md.pt").write_bytes(b"weights")
    animals = MegaDetector("md.pt")(np.zeros((50, 200, 3), np.uint8))
    assert animals == [(100.0, 10.0, 50.0, 30.0, 0.9), (0.0, 0.0, 20.0, 10.0, 0.4)]
    assert package == [str(tmp_path / "md.pt")]


def test_a_failure_is_an_error_of_that_photo(package, tmp_path, monkeypatch):
    (tmp_path / "md.pt").write_bytes(b"weights")
    monkeypatch.setattr(FakeDetector, "failure", "inference failed")
    with pytest.raises(PelageError, match="inference failed"):
        MegaDetector(str(tmp_path / "md.pt"))(np.zeros((50, 200, 3), np.uint8))


def test_missing_package_and_missing_weights_say_what_to_do(monkeypatch, package, tmp_path):
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path))
    with pytest.raises(PelageError, match="put them at") as error:
        MegaDetector("nowhere.pt")
    assert str(tmp_path / "weights" / "nowhere.pt") in str(error.value)
    monkeypatch.setitem(sys.modules, "megadetector.detection.run_detector", None)
    with pytest.raises(PelageError, match="pip install megadetector"):
        MegaDetector("nowhere.pt")
