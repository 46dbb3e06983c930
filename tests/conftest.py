"""What several tests share: where real photos may stand, and a scratch copy of the project to run DVC in."""

from __future__ import annotations

import fcntl
import gc
import importlib.util
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
for name, value in THREADS.items():  # a process of pytest has a core: more threads would wait, busily, for the other's
    os.environ.setdefault(name, value)
# dask forks its workers from a process that has imported it
os.environ.setdefault("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", "forkserver")
gc.set_threshold(50_000, 20)  # as in stages/_path.py

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from ruamel.yaml import YAML  # noqa: E402
from warm import warm_python  # noqa: E402

settings.register_profile("pelage", deadline=None, derandomize=True)  # no timed assertions, the same cases each run
settings.load_profile("pelage")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


LONGEST = [
    *("test_demo.py", "test_workers.py", "test_browser.py", "test_tune_stage.py", "test_sweeps.py", "test_world.py"),
    *("test_umap.py", "test_new_photos.py", "test_discovery.py", "test_paths.py", "test_loop.py", "test_export.py"),
]


def pytest_collection_modifyitems(items):
    """Start with the longest files, so that no process ends long before the other."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_unconfigure(config):
    """End a process of tests when it has told all: to tidy up gigabytes takes longer than it is waited for."""
    if hasattr(config, "workerinput"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


@pytest.fixture(scope="session")
def shared_photos():
    """Return the folder of a set of real photos by name; skip where they are not to be had."""

    def folder(name: str) -> Path:
        if not (SHARED / name).is_dir():
            pytest.skip(f"the real photos {name!r} are not beside this checkout")
        return SHARED / name

    return folder


@pytest.fixture(scope="session")
def oddity(shared_photos, tmp_path_factory):
    """Return a function that draws an odd input by its number and gives its entry of `datasets`."""
    spec = importlib.util.spec_from_file_location("oddities", shared_photos("oddities") / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)

    def draw(number: str) -> dict:
        name = next(name for name in make.CASES if name.startswith(number))
        function, _, dataset = make.CASES[name]
        root = tmp_path_factory.mktemp(name)
        function(root)
        return {"path": str(root / "photos"), **dataset}

    return draw


class Scratch:
    """A copy of the pipeline in a folder of its own, with its own parameters, git and DVC, run by a warm `python`."""

    def __init__(self, folder: Path, python: Path, **changes) -> None:
        self.folder, self._python = folder, python
        shutil.copytree(python / "start", folder, dirs_exist_ok=True)
        for name in ("src", "stages"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
            shutil.copy(ROOT / name, folder)
        (folder / "review").mkdir()
        (folder / "review/journal.jsonl").touch()  # nobody has decided anything
        yaml = YAML()
        self.params = yaml.load(ROOT / "params.yaml")
        self.set(**{"compute__threads": 1} | changes)

    def set(self, **changes) -> None:
        """Change parameters: `set(train__epochs=2)` is `train.epochs: 2`."""
        for key, value in changes.items():
            *path, last = key.split("__")
            section = self.params
            for name in path:
                section = section[name]
            section[last] = value
        YAML().dump(self.params, self.folder / "params.yaml")

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run DVC here; the memo is this folder's own, downloaded weights are those of the project."""
        return self.run("dvc", *arguments, check=check)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command here; `python` is the warm one."""
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(self._python), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PELAGE_CACHE": str(self.folder / ".pelage"),
            "PELAGE_WEIGHTS": os.environ.get("PELAGE_WEIGHTS") or str(ROOT / ".pelage" / "weights"),
            "DVC_NO_ANALYTICS": "1",
        }
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
        return done


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """Return the folder of a `python` and a `dvc` that start warm, and of an empty project to start from.

    All processes of tests share it: the first that asks makes it, and takes it away when the others are done.
    """
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder = root / "python"
    with (root / "making").open("a+") as making, (root / "using").open("a+") as using, ExitStack() as mine:
        fcntl.lockf(making, fcntl.LOCK_EX)  # not `flock`, which forked workers of a pool would hold on to
        fcntl.lockf(using, fcntl.LOCK_SH)
        if not folder.exists():
            folder.mkdir()
            mine.callback(shutil.rmtree, folder)
            mine.enter_context(warm_python(folder))
            (folder / "start").mkdir()
            for command in ("git", str(folder / "dvc")):
                subprocess.run([command, "init", "-q"], cwd=folder / "start", check=True, stdout=subprocess.DEVNULL)
            mine.callback(fcntl.lockf, using, fcntl.LOCK_EX)  # waits for the others
        fcntl.lockf(making, fcntl.LOCK_UN)
        yield folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory, warm):
    """Make a `Scratch` project with the given parameters."""

    def make(**changes) -> Scratch:
        return Scratch(tmp_path_factory.mktemp("project"), warm, **changes)

    return make
