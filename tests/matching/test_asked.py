"""Which methods are asked who is on photos without a name."""

import json
import runpy
from pathlib import Path

from ruamel.yaml import YAML

from pelage.matching.asked import asked_methods

ROOT = Path(__file__).resolve().parents[2]
PARAMS = {
    "variants": {"net": {}, "other": {}},
    "matchers": {"sift": {}, "orb": {}},
    "rematchers": {"glue": {"local": "orb", "global": "net"}, "idle": {"local": "sift", "global": "other"}},
    "fusion": {"methods": ["sift", "glue"]},
}


def test_those_of_the_fusion_and_those_whose_shortlists_they_compare():
    assert asked_methods(PARAMS) == {"sift", "glue", "orb", "net"}
    assert asked_methods(PARAMS | {"fusion": {"methods": ["other"]}}) == {"other"}
    again = {"again": {"local": "glue", "global": "other"}} | PARAMS["rematchers"]
    asked = asked_methods(PARAMS | {"rematchers": again, "fusion": {"methods": ["again"]}})
    assert asked == {"again", "glue", "orb", "net", "other"}


def test_each_method_is_told_in_a_file_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open("params.yaml", "w") as file:
        YAML().dump(PARAMS, file)
    runpy.run_path(str(ROOT / "stages/ask.py"))["main"]()
    told = {path.stem: json.loads(path.read_text()) for path in Path("data/asked").iterdir()}
    asked = ["practice", "rehearsal", "survey"]
    assert told == {"sift": asked, "glue": asked, "orb": asked, "net": asked, "other": [], "idle": []}
