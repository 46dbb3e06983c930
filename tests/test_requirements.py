"""pyproject.toml, uv.lock and requirements.txt say the same; no mirror of an index gets into them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXPORT = ["--format", "requirements-txt", "--no-hashes", "--no-emit-project", "--no-header"]


def uv(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    """Run uv without network and without settings of this machine."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    command = [Path(sys.executable).with_name("uv"), "--offline", "--no-config", *arguments]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)


def test_the_lock_file_is_that_of_the_dependencies():
    checked = uv("lock", "--check", "--python", sys.executable)
    assert checked.returncode == 0, f"run `make lock`: {checked.stderr}"


def test_requirements_are_exported_from_the_lock_file():
    exported = uv("export", "--quiet", "--frozen", *EXPORT, "--python", sys.executable)
    assert exported.stdout == (ROOT / "requirements.txt").read_text(encoding="utf-8"), "run `make lock`"


def test_a_dependency_that_is_not_locked_is_noticed(tmp_path):
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    text = (tmp_path / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(text.replace('"tqdm",', '"tqdm<4",'))
    assert uv("lock", "--check", "--python", sys.executable, folder=tmp_path).returncode != 0


def test_no_index_of_a_machine_is_named():
    locked = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert len(set(re.findall(r'registry = "([^"]+)"', locked))) == 1
    hosts = set(re.findall(r"(\w+)://([^/\"\s]+)", locked))
    assert len(hosts) == 2 and all(how == "https" and re.fullmatch(r"[a-z.]+", host) for how, host in hosts)
    assert "://" not in (ROOT / "requirements.txt").read_text(encoding="utf-8")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"].get("uv", {})
    assert not {"index", "index-url", "find-links"} & set(settings)
