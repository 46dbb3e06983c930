"""The DAG itself: dependencies cover what the code imports, parameters are used, nothing switches the run cache off."""

from __future__ import annotations

import ast
import copy
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pelage.common.hashes import hashes_of
from pelage.common.params import read_yaml
from pelage.common.tables import PARTS
from pelage.matching.local.matchers import read_matcher

ROOT = Path(__file__).resolve().parents[1]
DVC = read_yaml(ROOT / "dvc.yaml")
PARAMS = read_yaml(ROOT / "params.yaml")
ALIKED = {"part": "flank", "features": "aliked", "network": "aliked", "local": "sift_lnbnn", "global": "cosface"}
REMATCHERS = {"aliked": ALIKED, "again": ALIKED | {"local": "aliked"}}
"""The committed parameters have none, for time; the stages are there."""

TEMPLATES = {name: stage.get("do", stage) for name, stage in DVC["stages"].items()}


def stage_names(dvc: dict, params: dict) -> set[str]:
    """All stages as DVC names them: `foreach` is over a mapping of a parameter."""
    names = set()
    for name, stage in dvc["stages"].items():
        if "foreach" in stage:
            names |= {f"{name}@{item}" for item in looped(stage["foreach"], params)}
        else:
            names.add(name)
    return names


def looped(foreach: str, params: dict) -> dict:
    return params[re.fullmatch(r"\$\{(\w+)\}", foreach).group(1)]


def script_of(stage: dict) -> Path:
    return ROOT / re.match(r"python (stages/\w+\.py)", stage["cmd"]).group(1)


def module_file(name: str) -> Path | None:
    base = ROOT / "src" / name.replace(".", "/")
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.exists():
            return candidate
    return None


def only_docstring(file: Path) -> bool:
    return all(isinstance(node, ast.Expr) for node in ast.parse(file.read_text()).body)


@cache
def imports_of(file: Path) -> frozenset[Path]:
    """Files of this project that `file` imports anywhere, packages' `__init__` included where they hold code."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        if name == "_path":
            found.add(ROOT / "stages/_path.py")
        if name.split(".")[0] == "pelage":
            parts = name.split(".")
            packages = [module_file(".".join(parts[:i])) for i in range(1, len(parts) + 1)]
            found |= {path for path in packages if path and not (path.name == "__init__.py" and only_docstring(path))}
    return frozenset(found)


def closure(file: Path) -> set[Path]:
    seen, waiting = set(), [file]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += imports_of(current)
    return seen


def code_deps(stage: dict) -> list[Path]:
    return [ROOT / dep for dep in stage["deps"] if dep.startswith(("src/", "stages/"))]


def param_keys(stage: dict) -> list[str]:
    """Keys under `params:`, with interpolated parts as `*`."""
    return [re.sub(r"\$\{[^}]*\}", "*", key) for key in stage.get("params", [])]


def leaves(value, prefix: str = "") -> list[str]:
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in leaves(inner, f"{prefix}.{key}" if prefix else key)]
    return [prefix]


def covers(pattern: str, leaf: str) -> bool:
    wanted, have = pattern.split("."), leaf.split(".")
    return len(wanted) <= len(have) and all(w in ("*", h) for w, h in zip(wanted, have, strict=False))


def outputs(stage: dict, kind: str) -> list[tuple[str, dict]]:
    pairs = []
    for out in stage.get(kind, []):
        pairs.append((out, {}) if isinstance(out, str) else next(iter(out.items())))
    return pairs


@pytest.mark.parametrize("name", TEMPLATES)
def test_deps_cover_the_import_closure(name):
    stage = TEMPLATES[name]
    script = script_of(stage)
    assert script.stem == name, "the script's name is the stage's name"
    deps = code_deps(stage)
    missing = [
        str(file.relative_to(ROOT))
        for file in sorted(closure(script))
        if not any(file == dep or dep in file.parents for dep in deps)
    ]
    assert not missing, f"dvc.yaml: stage {name} does not list what its code imports"


@pytest.mark.parametrize("name", TEMPLATES)
def test_deps_are_needed(name):
    files = closure(script_of(TEMPLATES[name]))
    idle = [
        str(dep.relative_to(ROOT))
        for dep in code_deps(TEMPLATES[name])
        if dep.suffix in ("", ".py") and not any(file == dep or dep in file.parents for file in files)
    ]
    assert not idle, f"dvc.yaml: stage {name} lists code that it does not import"


def test_every_script_is_a_stage():
    assert {path.stem for path in (ROOT / "stages").glob("[!_]*.py")} == set(TEMPLATES)


def test_every_param_is_a_dependency_of_some_stage():
    patterns = [key for stage in TEMPLATES.values() for key in param_keys(stage)]
    loops = {str(stage["foreach"]).strip("${}") for stage in DVC["stages"].values() if "foreach" in stage}
    idle = [leaf for leaf in leaves(PARAMS) if leaf not in loops and not any(covers(p, leaf) for p in patterns)]
    assert not idle


def test_every_listed_param_exists():
    known = leaves(PARAMS | {"rematchers": REMATCHERS})
    for name, stage in TEMPLATES.items():
        for pattern in param_keys(stage):
            assert any(covers(pattern, leaf) for leaf in known), f"{name}: {pattern}"


def test_every_param_is_read_by_code_of_a_stage_that_lists_it():
    unread = []
    for leaf in leaves(PARAMS):
        section, key = leaf.split(".")[0], leaf.split(".")[-1]
        if section in ("variants", "parts") or leaf.count(".") == 0:
            continue
        stages = [stage for stage in TEMPLATES.values() if any(covers(p, leaf) for p in param_keys(stage))]
        texts = [file.read_text() for stage in stages for file in closure(script_of(stage))]
        if not any(re.search(rf"\b{re.escape(key)}\b", text) for text in texts):
            unread.append(leaf)
    assert not unread


@pytest.mark.parametrize("name", TEMPLATES)
def test_nothing_switches_the_run_cache_off(name):
    stage = TEMPLATES[name]
    assert bool(stage.get("always_changed")) == (name == "inventory"), "only what looks at the user's files always runs"
    assert not stage.get("frozen")
    assert stage["deps"] and any(outputs(stage, kind) for kind in ("outs", "metrics", "plots"))
    for path, options in outputs(stage, "outs"):
        assert options.get("cache", True), f"{path}: an out with cache: false switches the run cache off"
        assert path.startswith("data/"), f"{path}: outs live in data/"
    for kind in ("outs", "metrics", "plots"):
        for path, options in outputs(stage, kind):
            assert not options.get("persist"), path
            if kind != "outs":
                assert options["cache"] is False, f"{path}: numbers and figures are in git"
                assert path.startswith(f"{kind}/"), path


def folder_outs() -> set[str]:
    """Folders that stages write into DVC's cache, of what has a suffix none."""
    paths = (path for stage in TEMPLATES.values() for path, _ in outputs(stage, "outs"))
    return {path for path in paths if not Path(path).suffix}


def image_folders() -> set[str]:
    """Folders with a file for each photo or crop."""
    return folder_outs() - FEW_FILES


FEW_FILES = {
    "data/asked",  # a file a method
    "data/models/${key}",  # a file a seed
    "data/embeddings",  # in it a folder a network, of a file a seed, as the next one
    "data/rankings/networks",
    "data/match_weights/${key}",
    "data/tuned_weights/${key}",
    "data/eval",  # a file a method
    "data/insight",  # an image for each of `insight.classes`
    "data/report",
}


def test_few_files_are_folders():
    assert folder_outs() > FEW_FILES


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_stage_depends_on_a_folder_of_images(name):
    fixed = {folder.partition("/${")[0] for folder in image_folders()}
    for dep in TEMPLATES[name]["deps"]:
        dep = re.sub(r"\$\{.*?\}", "x", dep)
        inside = any(f"{dep}/".startswith(f"{folder}/") or folder.startswith(f"{dep}/") for folder in fixed)
        assert not inside, f"{name}: DVC would look at every file of {dep}; depend on its table of hashes"


def test_the_stage_of_a_folder_of_images_writes_its_hashes():
    for stage in TEMPLATES.values():
        written = {path for path, _ in outputs(stage, "outs")}
        for folder in written & image_folders():
            table = "data/photos.csv" if folder == "data/photos" else str(hashes_of(Path(folder)))
            assert table in written, f"{folder} has no {table}"


def needed(name: str) -> set[str]:
    """Names of the stages, as templates, whose outputs a stage needs, however far up."""
    made = {
        (path.split("${")[0], stage)
        for stage, template in TEMPLATES.items()
        for kind in ("outs", "metrics", "plots")
        for path, _ in outputs(template, kind)
    }
    found, waiting = set(), [name]
    while waiting:
        for dep in TEMPLATES[waiting.pop()]["deps"]:
            dep = dep.split("${")[0]
            for stage in {stage for path, stage in made if path.startswith(dep) or dep.startswith(path)}:
                if stage not in found:
                    found.add(stage)
                    waiting.append(stage)
    return found


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "check_params"])
def test_every_stage_waits_for_the_check_of_the_parameters(name):
    assert "check_params" in needed(name)


def test_the_check_of_the_parameters_sees_all_of_them_and_waits_for_nothing():
    stage = TEMPLATES["check_params"]
    assert "params.yaml" in stage["deps"] and not stage.get("params")
    assert not needed("check_params")


def test_lock_has_every_stage_and_no_other():
    lock = read_yaml(ROOT / "dvc.lock")
    assert set(lock["stages"]) == stage_names(DVC, PARAMS)


def test_folders_of_many_stages_hold_what_these_write_and_nothing_that_is_left_of_others():
    lock = read_yaml(ROOT / "dvc.lock")["stages"]
    files = {out["path"]: out.get("nfiles", 1) for stage in lock.values() for out in stage["outs"]}
    seen = set()
    for name, stage in lock.items():
        for dep in stage["deps"]:
            inside = [count for path, count in files.items() if path.startswith(f"{dep['path']}/")]
            if inside:
                seen.add(dep["path"])
                assert dep["nfiles"] == sum(inside), f"{name}: {dep['path']} in dvc.lock"
    assert {"data/rankings", "data/models", "data/hashes/views"} <= seen


def test_the_stages_of_crops_write_every_part_whatever_parts_are_wanted():
    for stage in ("crop", "background", "edges"):
        folders = {out.rpartition("/")[2] for out in DVC["stages"][stage]["outs"] if not out.endswith(".csv")}
        assert folders == set(PARTS)


def test_params_are_plain_yaml():
    text = (ROOT / "params.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert not any(re.search(r":\s+[&*]\w", line) or "<<:" in line for line in lines), "no anchors: -S expands them"


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_new_variant_or_matcher_needs_params_only(tmp_path):
    params = copy.deepcopy(PARAMS)
    params["variants"]["brand_new"] = {"part": "flank", "view": "nobg", "loss": {"name": "cosface"}}
    params["matchers"]["newer"] = {"part": "face", "kind": "ratio_test", "descriptor": "orb"}
    params["rematchers"] = REMATCHERS
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    with open(tmp_path / "params.yaml", "w") as file:
        YAML().dump(params, file)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    dvc(tmp_path, "init", "-q")
    listed = set(dvc(tmp_path, "stage", "list", "--name-only").split())
    assert listed == stage_names(DVC, params)
    assert {"train@brand_new", "embed", "search", "match@newer", "rematch@aliked", "rematch@again"} <= listed
    for stage in ("evaluate", "headline", "report"):
        assert {"variants", "matchers", "rematchers"} <= set(param_keys(TEMPLATES[stage]))


@pytest.mark.parametrize("variant", PARAMS["variants"])
def test_every_variant_names_a_part_and_a_view(variant):
    entry = PARAMS["variants"][variant]
    assert entry["part"] in PARAMS["parts"]
    made = {path for stage in TEMPLATES.values() for path, _ in outputs(stage, "outs")}
    assert f"data/views/{entry['view']}/{entry['part']}" in made


@pytest.mark.parametrize("matcher", PARAMS["matchers"])
def test_every_matcher_can_be_read(matcher):
    assert read_matcher(PARAMS, matcher).name == matcher
