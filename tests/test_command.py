"""The command `pelage`: its help, its mistakes, and what pages tell people to type."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pelage.command import main, parser
from pelage.common.errors import PelageError
from pelage.common.params import read_yaml
from pelage.common.times import Cost, note

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md")), ROOT / ".ci/compare", ROOT / "Makefile"]
COMMANDS = ["check", "presets", "sweeps", "trials", "pivot", "review", "readme", "export", "times"]


def test_help_names_every_command_and_what_runs_the_pipeline(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert "dvc repro" in told
    assert re.findall(r"^    (\w+) ", told, re.MULTILINE) == COMMANDS
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        assert f"pelage {name}" in capsys.readouterr().out.split("for example:")[1]


def typed() -> list[str]:
    """All command lines that begin with `pelage` in code of the pages, up to a comment or the next command."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found += re.findall(r"`(pelage [a-z][^`]+)`", text)
        code = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)) if page.suffix == ".md" else text
        found += re.findall(r"^\s*(?:uv run )?(pelage [a-z].*)$", code, re.MULTILINE)
    return [re.split(r"\s+(?:#|&&|2>)", line)[0] for line in found]


def test_what_pages_tell_people_to_type_is_understood():
    lines = typed()
    assert len(lines) > 5
    for line in lines:
        if "COMMAND" not in line:
            assert parser().parse_args(shlex.split(line)[1:]).run, line


def test_the_folder_has_to_be_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"ERROR: There is no params.yaml in .*: change to the project's folder first"):
        main(["check"])


def test_check_says_what_is_wrong_and_what_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", ".")
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("parts:\n  - flank\n  - face\n", "parts:\n  - flank\n"))
    main(["check"])
    assert capsys.readouterr().out == "params.yaml is right.\nleft out by `parts`: variants.adaptive_cosface_face\n"
    Path("params.yaml").write_text(text.replace("scale: 16.0", "scales: 16.0"))
    with pytest.raises(SystemExit, match="loss has the unknown field 'scales'"):
        main(["check"])


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"source": "folder", "path": "gone"}, r"datasets\.mine\.path: the folder .*gone does not exist"),
        (
            {"source": "folder", "path": "here", "boxes": "megadetector", "results": "boxes.json"},
            r"results is 'boxes\.json', and",
        ),
        ({"source": "folder", "path": "here", "deployments": "when.csv"}, r"deployments is 'when\.csv', and there is"),
        ({"sources": [{"name": "a", "source": "folder", "path": "gone"}]}, r"mine\.sources\[0\]\.path: the folder"),
        ({"source": "folder", "path": "here"}, ""),
    ],
)
def test_check_says_which_folder_or_file_is_not_there_as_the_inventory_does(tmp_path, monkeypatch, capsys, entry, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("PELAGE_CACHE", raising=False)
    shutil.copy(ROOT / "dvc.yaml", ".")
    (tmp_path / "here").mkdir()
    params = read_yaml(ROOT / "params.yaml")
    params["ingest"]["dataset"], params["datasets"]["mine"] = "mine", {"boxes": "saliency", **entry}
    with open("params.yaml", "w") as file:
        YAML().dump(params, file)
    if told:
        with pytest.raises(SystemExit, match=told) as error:
            main(["check"])
        with pytest.raises(PelageError, match=told) as same:
            runpy.run_path(str(ROOT / "stages/inventory.py"))["main"]()
        assert str(same.value) in str(error.value)
    else:
        main(["check"])
        assert "params.yaml is right." in capsys.readouterr().out


def test_presets_are_listed_applied_and_taken_back(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path / "memory"))
    shutil.copytree(ROOT / "presets", "presets")
    shutil.copy(ROOT / "params.yaml", ".")
    main(["presets"])
    assert capsys.readouterr().out.count("\n") == len(list(Path("presets").iterdir()))
    main(["presets", "bears"])
    assert "+++ params.yaml" in capsys.readouterr().out
    main(["presets", "--undo"])
    assert Path("params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
    with pytest.raises(SystemExit, match="There is no preset 'bear'"):
        main(["presets", "bear"])
    with pytest.raises(SystemExit, match="The preset bears has no section sweep; these have: bears_search"):
        main(["sweeps", "queue", "bears"])


def test_the_last_cost_of_each_stage_counts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PELAGE_CACHE", str(tmp_path))
    (tmp_path / "params.yaml").touch()
    note(Cost("train@a", 9.0, 18.0))
    note(Cost("split", 2.0, 3.0, gib=0.25, done={"read": 3, "look": 640}, recalled=40, looked_up=1640))
    note(Cost("train@a", 5.5, 11.0))
    main(["times"])
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["train@a", "5.5", "2.0"],
        ["split", "2.0", "1.5", "0.25", "640", "look", "320", "40", "of", "1,640"],
        ["all", "together", "7.5"],
    ]  # fmt: skip


def test_a_copy_of_the_project_imports_its_own_code_though_another_is_installed(tmp_path):
    """As in DVC's temporary copies: the installed package is this checkout's, the stage's is the copy's."""
    (tmp_path / "src/pelage").mkdir(parents=True)
    (tmp_path / "src/pelage/__init__.py").touch()
    (tmp_path / "stages").mkdir()
    shutil.copy(ROOT / "stages/_path.py", tmp_path / "stages")
    (tmp_path / "stages/who.py").write_text("import _path, pelage\nprint(pelage.__file__)\n")
    path = {"PYTHONPATH": str(ROOT / "src"), "PATH": "", "SYSTEMROOT": "C:\\Windows"}
    told = subprocess.run([sys.executable, "stages/who.py"], cwd=tmp_path, env=path, capture_output=True, text=True)
    assert Path(told.stdout.strip()).parent == tmp_path / "src/pelage", told.stderr
