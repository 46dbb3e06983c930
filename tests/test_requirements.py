"""pyproject.toml, uv.lock and requirements.txt say the same, and name no index but the public one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("name", ["uv.lock", "requirements.txt", "pyproject.toml"])
def test_only_the_public_index_is_named(name):
    hosts = set(re.findall(r"https?://([^/\"\s]+)", (ROOT / name).read_text(encoding="utf-8")))
    assert hosts <= {"pypi.org", "files.pythonhosted.org"}
