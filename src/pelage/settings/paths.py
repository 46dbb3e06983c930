"""Paths: nothing of the user's may be, hold, or lie in what the pipeline writes, for that is removed and made anew.

What is written is read from dvc.yaml itself. A path is followed through every link by hand, for each place where it
stands on the way may be lost, and compared by its file, and by its name without case and Unicode form.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from configparser import ConfigParser, Error
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pelage.common.errors import PelageError
from pelage.common.files import cache_root, project_root
from pelage.common.params import read_yaml

LINKS = 64
"""More links than any path has; a circle of them is given up."""

KEPT = (".git", ".dvc")
"""Folders of the project that git and DVC write."""

WEIGHTS = (".safetensors", ".onnx", ".pt")
"""Suffixes of weights: such an output may be named as weights, for it is there to be used."""

WEIGHTS_FOLDER = "PELAGE_WEIGHTS"
"""The environment's name of a folder of the user's own weights."""

Identity = tuple[int, int]
Accepted = Collection[tuple[str, str]]


@dataclass(frozen=True)
class UserPath:
    """A path that parameters name.

    Attributes:
        key: Where it stands, such as `datasets.mine.path`.
        written: As it stands there.
        paths: What it may mean.
        photos: It is a folder (or a package) of photos.
        weights: It is a file of weights.
    """

    key: str
    written: str
    paths: list[Path]
    photos: bool = False
    weights: bool = False


@dataclass(frozen=True)
class Place:
    """A path as it is written, seen through links.

    Attributes:
        written: The path, absolute.
        end: Where it ends: absolute, without links.
        passed: Each link on the way, absolute, without links before its name.
    """

    written: str
    end: str
    passed: tuple[str, ...]

    @cached_property
    def folded(self) -> tuple[tuple[str, ...], ...]:
        """Return the parts of the path as written and of its end, without case and Unicode form."""
        return tuple(dict.fromkeys((_folded(self.written), _folded(self.end))))

    @cached_property
    def folded_links(self) -> tuple[tuple[str, ...], ...]:
        """Return the same of each link on the way."""
        return tuple(_folded(link) for link in self.passed)

    @cached_property
    def identity(self) -> Identity | None:
        """Return device and number of the file or folder, None where there is none."""
        return _identity(self.end)

    @cached_property
    def above(self) -> frozenset[Identity]:
        """Return the identities of what stands at the end and of every folder above it, links on the way included."""
        points = (self.end, *(os.path.dirname(link) for link in self.passed))
        return frozenset(found for point in points for path in _upwards(point) if (found := _identity(path)))


def find_place(path: Path | str) -> Place:
    """Follow a path through its links, one at a time; what does not exist ends where it would stand."""
    written = os.path.join(os.getcwd(), path)
    done, waiting, passed = os.sep, _parts(written), []
    while waiting:
        name = waiting.pop(0)
        if name == os.pardir:
            done = os.path.dirname(done)
            continue
        here = os.path.join(done, name)
        if len(passed) < LINKS and os.path.islink(here):
            passed.append(here)
            target = os.readlink(here)
            done = os.sep if os.path.isabs(target) else done
            waiting = _parts(target) + waiting
        else:
            done = here
    return Place(os.path.normpath(written), done, tuple(passed))


def written_paths(dvc: Mapping[str, Any]) -> list[str]:
    """Return what the stages of a dvc.yaml write: its outs, metrics and plots, sorted.

    A path with a template, such as `data/models/${key}`, counts as the folder before it.
    """
    found = set()
    for stage in dvc["stages"].values():
        stage = stage.get("do", stage)
        for kind in ("outs", "metrics", "plots"):
            for out in stage.get(kind, []):
                path = out if isinstance(out, str) else next(iter(out))
                found.add(os.path.dirname(path.partition("${")[0]) if "${" in path else path)
    return sorted(found)


def protected_places(dvc: Mapping[str, Any]) -> dict[str, list[Place]]:
    """Return by its name each thing that is written, with the places where it stands.

    Those are the stages' outputs, here and in the main checkout (an experiment may run in a copy), git's and DVC's
    folders, DVC's cache, and the folder of `cache_root`. A folder of outputs may hold links to other disks: where they
    lead counts, too.
    """
    roots = list(dict.fromkeys((Path.cwd(), project_root())))
    places: dict[str, list[Place]] = {}
    for path in (*written_paths(dvc), *KEPT):
        for root in roots:
            places.setdefault(path, []).append(find_place(root / path))
            places[path] += [find_place(link) for link in _links_in(root / path)]
    places[str(cache_root())] = [find_place(cache_root())]
    for root in roots:
        for folder in _dvc_caches(root):
            places[str(folder)] = [find_place(folder)]
    return places


def refuse_written(path: Path, said: str, places: Mapping[str, Iterable[Place]], accepted: Accepted = ()) -> None:
    """Refuse a path of the user's that is, holds, or lies in something that is written.

    Args:
        path: Absolute, or from the current folder.
        said: Where it stands and how it is written, such as `params.yaml: datasets.mine.path is 'data/photos'`.
        places: See `protected_places`.
        accepted: What it may be all the same: pairs of a relation (is, lies in, holds) and a name.

    Raises:
        PelageError: It is; names the key, the path, what is written there, and what to do.
    """
    own = find_place(path)
    for name, others in places.items():
        for other in others:
            relation = _relation(own, other)
            if relation and (relation, name) not in accepted:
                seen = "" if own.end == own.written else f"leads to {own.end} and "
                raise PelageError(
                    f"{said}, which {seen}{relation} {name}. The pipeline writes {name} and removes what is there "
                    "before, so that files of yours would be lost. Nothing was removed yet. Move them elsewhere, "
                    "such as photos to ../photos, beside the project's folder, and give that path."
                )


def user_paths(params: Mapping[str, Any]) -> Iterator[UserPath]:
    """Give each path that parameters name, also of data sets that are not in use: their files would be lost as well.

    Paths inside a git repository that is fetched are none. Malformed sections are passed over.
    """
    for name, dataset in _section(params, "datasets").items():
        results = dataset.get("results") if isinstance(dataset, Mapping) else None
        for path in [results] if isinstance(results, str) else results if isinstance(results, list) else []:
            if _named(path):
                yield UserPath(f"datasets.{name}.results", path, _meant(path))
        entries = [(f"datasets.{name}", dataset)]
        sources = dataset.get("sources") if isinstance(dataset, Mapping) else None
        if isinstance(sources, list):
            entries += [(f"datasets.{name}.sources[{number}]", entry) for number, entry in enumerate(sources)]
        for key, entry in entries:
            for kind in ("deployments", "habitat"):
                table = entry.get(kind) if isinstance(entry, Mapping) else None
                if _named(table):
                    yield UserPath(f"{key}.{kind}", table, _meant(table))
            path = entry.get("path") if isinstance(entry, Mapping) else None
            if not _named(path) or entry.get("source") == "git":
                continue
            yield UserPath(f"{key}.path", path, _meant(path), photos=True)
            table = entry.get("metadata")
            if _named(table):
                yield UserPath(f"{key}.metadata", table, [folder / _expanded(table) for folder in _meant(path)])
            else:
                yield UserPath(f"{key}.path", path, [folder / "metadata.csv" for folder in _meant(path)])
    found = [("background.reference", _section(params, "background").get("reference"), False)]
    model = _section(_section(params, "detect"), "megadetector").get("model")
    if _named(model) and os.path.dirname(model):  # a bare name is looked for among fetched weights
        found.append(("detect.megadetector.model", model, True))
    found.append(("model.weights", _section(params, "model").get("weights"), True))
    for name, variant in _section(params, "variants").items():
        found.append((f"variants.{name}.model.weights", _section(variant, "model").get("weights"), True))
    for key, path, weights in found:
        if _named(path) and not (weights and path in ("none", "pretrained")):
            yield UserPath(key, path, _meant(path), weights=weights)


def check_paths(params: Mapping[str, Any], dvc: Path = Path("dvc.yaml")) -> None:
    """Refuse parameters by which a file of the user's could be lost, before anything is removed.

    Args:
        params: All parameters, as they are read: this check comes before all others.
        dvc: The file that says what is written.

    Raises:
        PelageError: A path is, holds, or lies in what is written (see `refuse_written`), or a folder of photos has a
            link that leads there. Weights may be those that the pipeline fetches, or stand in `cache_root`.
    """
    described = read_yaml(dvc)
    places = protected_places(described)
    fetched = [("is", path) for path in written_paths(described) if Path(path).suffix in WEIGHTS]
    fetched += [("lies in", str(cache_root()))]
    if own := os.environ.get(WEIGHTS_FOLDER):
        refuse_written(Path(own), f"The environment's {WEIGHTS_FOLDER} is {own!r}", places, fetched)
    for named in user_paths(params):
        said = f"params.yaml: {named.key} is {named.written!r}"
        for path in named.paths:
            refuse_written(path, said, places, fetched if named.weights else ())
            if named.photos:
                for link in _far_links(path, places):
                    harmless = [("holds", name) for name in places]  # links to folders are not followed
                    refuse_written(link, f"{said}; in it is the link {os.path.relpath(link, path)!r}", places, harmless)


def _far_links(folder: Path, places: Mapping[str, Iterable[Place]]) -> Iterator[Path]:
    """Give the links below a folder, but only one of those that lead to files of one folder where nothing is written.

    The stages' outputs are made of whole folders and of files beside each other; only beside such a file it matters to
    which of them a link leads.
    """
    beside, seen = {os.path.dirname(place.end) for others in places.values() for place in others}, set()
    for here, folders, files in os.walk(folder):
        for path in (os.path.join(here, name) for name in (*folders, *files)):
            if os.path.islink(path):
                target = os.path.realpath(path)
                key = target if os.path.dirname(target) in beside else os.path.dirname(target)
                if key not in seen:
                    seen.add(key)
                    yield Path(path)


def _meant(path: str) -> list[Path]:
    """Return what a path of the parameters may mean: `~` is a home or, where a room does not know that, a name."""
    return list(dict.fromkeys(project_root() / name for name in (_expanded(path), Path(path))))


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # nobody of that name
        return Path(path)


def _relation(own: Place, other: Place) -> str | None:
    """Return how a path stands to something that is written, None where they have nothing to do with each other."""
    same_name = any(one == two for one in own.folded for two in other.folded)
    if same_name or (own.identity is not None and own.identity == other.identity):
        return "is"
    within = any(_begins(one, two) for one in (*own.folded, *own.folded_links) for two in other.folded)
    if within or (other.identity is not None and other.identity in own.above):
        return "lies in"
    over = any(_begins(two, one) for one in own.folded for two in (*other.folded, *other.folded_links))
    if over or (own.identity is not None and own.identity in other.above):
        return "holds"
    return None


def _begins(long: tuple[str, ...], short: tuple[str, ...]) -> bool:
    return long[: len(short)] == short


def _folded(path: str) -> tuple[str, ...]:
    """Return the parts of a path without case and Unicode form: what some file system takes for one is one."""
    return tuple(unicodedata.normalize("NFC", unicodedata.normalize("NFD", part).casefold()) for part in _parts(path))


def _parts(path: str) -> list[str]:
    return [part for part in path.split(os.sep) if part not in ("", os.curdir)]


def _upwards(path: str) -> list[str]:
    return [path, *map(str, Path(path).parents)]


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a zero byte is no part of a path
        return None
    return found.st_dev, found.st_ino


def _links_in(folder: Path) -> list[Path]:
    """Return the links that stand directly in a folder, none where there is no such folder."""
    try:
        with os.scandir(folder) as found:
            return [Path(entry.path) for entry in found if entry.is_symlink()]
    except OSError:
        return []


def _dvc_caches(root: Path) -> list[Path]:
    """Return the folders of DVC's cache that the project's configuration names."""
    found = []
    for name in ("config", "config.local"):
        parser = ConfigParser(interpolation=None)
        try:
            parser.read(root / ".dvc" / name, encoding="utf-8")
            found.append(root / ".dvc" / Path(parser["cache"]["dir"]).expanduser())
        except (Error, KeyError, OSError, UnicodeDecodeError):
            continue  # a file that is missing or none, or says nothing of it
    return found


def _section(params: Any, name: str) -> Mapping[str, Any]:
    section = params.get(name) if isinstance(params, Mapping) else None
    return section if isinstance(section, Mapping) else {}


def _named(path: Any) -> bool:
    return isinstance(path, str) and bool(path.strip())
