"""Boxes that other programs have found: results files of MegaDetector, AddaxAI, Timelapse and SpeciesNet.

MegaDetector's format (https://lila.science/megadetector-output-format) is what MegaDetector writes, what AddaxAI
(formerly EcoAssist) writes with classes of its own, and what Timelapse reads; SpeciesNet's `predictions` are described
in the README of google/cameratrapai. Every entry is used or is a row of the rejected table.
"""

from __future__ import annotations

import json
import math
import posixpath
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pelage.catalogue.inventory import kind_of, nameable
from pelage.catalogue.schema import Rejected
from pelage.catalogue.words import SPECIES_SCORE, detector_category, is_nothing, spelling
from pelage.common.errors import PelageError

COLUMNS = ("image_id", "category", "species", "species_score", "score", "x", "y", "w", "h", "row")
"""Columns of `data/boxes.csv`; a photo in which nothing was found has one row, `none`, without numbers."""

CATEGORIES = ("animal", "person", "vehicle", "none")

VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6")
"""Versions of MegaDetector's format that are read."""

READ = (
    "Read are results of MegaDetector, AddaxAI and Timelapse (`images`, format_version "
    f"{VERSIONS[0]} to {VERSIONS[-1]}) and SpeciesNet's (`predictions`)."
)

EXCESS = 0.05
"""Share of the photo's side by which a box may leave the photo, and is cut to it; one that leaves it more is none."""

DIGITS = 6

_MEGADETECTOR = {"1": "animal", "2": "person", "3": "vehicle"}
_EMPTY = frozenset(("blank", "empty", "no cv result", "no animal", "background"))
_SOME = 3


class Detection(NamedTuple):
    """One row of `data/boxes.csv` without the photo's id; `told` is its place in the entry."""

    category: str
    species: str
    species_score: float
    score: float
    x: float
    y: float
    w: float
    h: float
    told: str


@dataclass
class Entry:
    """What a results file says of one photo.

    Attributes:
        row: Where it stands, such as `images[12]`, with the file's name where there are several.
        path: The photo's path as it is written there.
        fault: Reason and words if nothing of it can be used.
        detections: What was seen and can be used.
        rejected: Reason and words of what cannot.
        unusable: Something was seen of which nobody can say where.
    """

    row: str
    path: str
    fault: tuple[str, str] | None = None
    detections: list[Detection] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    unusable: bool = False


@dataclass(frozen=True)
class Results:
    """Boxes of the photos of a data set.

    Attributes:
        boxes: `COLUMNS`, sorted by image_id and, within a photo, as the file has them.
        rejected: Entries and detections that are not used.
        without: How many photos have no entry that can be used.
    """

    boxes: pd.DataFrame
    rejected: list[Rejected]
    without: int


def read_results(
    files: Mapping[str, Path],
    photos: pd.DataFrame,
    origins: Sequence[str],
    originals: Sequence[Path],
) -> Results:
    """Read results files and find the photos that their entries are of.

    An entry is of the photo whose path ends as its own does. One of both has to be the other's end as a whole, so that
    `D:\\2026\\S01\\a.jpg` is `S01/a.jpg`, but `S02/a.jpg` is not; case and Unicode form do not matter unless they have
    to. Of several entries that end as one photo does, the one that agrees with more of its full path is of it. Entries
    that say the same of a photo count once; of those that contradict each other none is used.

    Args:
        files: Results files by the names that messages give them.
        photos: N photos, with `image_id` and `path` (within the project).
        origins: N paths below their sources' roots.
        originals: N full paths.

    Raises:
        PelageError: A file is no results file, or of a version that is not read, or none of its entries is of a photo.
    """
    entries: list[Entry] = []
    meant: list[int | tuple[str, str]] = []
    finder = _Finder(origins, originals, photos["path"].tolist())
    for name, file in files.items():
        told = list(read_entries(file, f"{name}: " if len(files) > 1 else ""))
        if not told:
            raise PelageError(
                f"{file} has no entries: it says nothing of any photo. Give the file that holds the results."
            )
        found = finder.find([entry.path for entry in told])
        if not any(isinstance(one, int) for one in found):
            raise PelageError(
                f"{file}: none of its {len(told)} entries is of a photo of the data set. The first is of "
                f"{told[0].path!r}, photos are called {origins[0]!r}. Give the results of these photos."
            )
        entries += told
        meant += found
    ids = photos["image_id"].tolist()
    rejected: list[Rejected] = []
    usable: dict[int, list[int]] = {}
    for number, (entry, photo) in enumerate(zip(entries, meant, strict=True)):
        image_id = ids[photo] if isinstance(photo, int) else ""
        if entry.fault or not isinstance(photo, int):
            reason, said = entry.fault or photo
            rejected.append((image_id, entry.path, reason, f"{entry.row}: {said}"))
            continue
        rejected += [(image_id, entry.path, reason, said) for reason, said in entry.rejected]
        usable.setdefault(photo, []).append(number)
    rows = []
    for photo in sorted(usable, key=lambda photo: ids[photo]):
        entry = _one(ids[photo], [entries[number] for number in usable[photo]], rejected)
        if entry is None:
            continue
        rows += [(ids[photo], *seen[:-1], f"{entry.row}{seen.told}") for seen in entry.detections]
        if not entry.detections and not entry.unusable:
            rows.append((ids[photo], "none", "", *[math.nan] * 6, entry.row))
    boxes = pd.DataFrame(rows, columns=list(COLUMNS))
    return Results(boxes, rejected, len(ids) - boxes["image_id"].nunique())


def no_results() -> Results:
    """Return what a data set without a results file has: nothing, and no photo lacks it."""
    return Results(pd.DataFrame(columns=list(COLUMNS)), [], 0)


def results_counts(results: Results) -> dict[str, int]:
    """Return the metrics: rows of each category, and photos without an entry that can be used."""
    number = results.boxes["category"].value_counts()
    return {category: int(number.get(category, 0)) for category in CATEGORIES} | {"no_result": results.without}


def _one(image_id: str, told: Sequence[Entry], rejected: list[Rejected]) -> Entry | None:
    """Return the entry that counts for a photo, None if its entries contradict each other."""
    first, *more = told
    if not more:
        return first
    same = [[seen[:-1] for seen in one.detections] == [seen[:-1] for seen in first.detections] for one in more]
    if all(same):
        for one in more:
            rejected.append((image_id, one.path, "repeated", f"{one.row}: it says of the photo what {first.row} says"))
        return first
    rows = " and ".join([one.row for one in told][:_SOME])
    for one in told:
        rejected.append((image_id, one.path, "conflict", f"{one.row}: {rows} contradict each other, so none is used"))
    return None


def read_entries(file: Path, begins: str = "") -> Iterator[Entry]:
    """Give what a results file says of each photo; what it says is checked, not which photo it is.

    Args:
        file: Results file.
        begins: What each entry's `row` begins with.

    Raises:
        PelageError: It is no results file, or of a version that is not read.
    """
    told = _load(file)
    if isinstance(told, list):
        raise PelageError(
            f"{file} is a list, as PyTorch-Wildlife's own output is, and no results file. {READ} PyTorch-Wildlife "
            "writes the former as its Timelapse JSON."
        )
    if not isinstance(told, Mapping) or not any(isinstance(told.get(key), list) for key in ("images", "predictions")):
        raise PelageError(f"{file} is no results file: it has neither a list `images` nor `predictions`. {READ}")
    if isinstance(told.get("predictions"), list):
        kind, entries, read = "predictions", told["predictions"], _speciesnet_entry
        reading: tuple = ()
    else:
        kind, entries, read = "images", told["images"], _megadetector_entry
        reading = _categories(told, file)
    for number, one in enumerate(entries):
        entries[number] = None  # what was read need not stay in memory
        yield read(one, f"{begins}{kind}[{number}]", *reading)


def _load(file: Path) -> Any:
    try:
        with open(file, encoding="utf-8-sig") as text:
            return json.load(text)
    except OSError as error:
        raise PelageError(f"{file} cannot be read: {error.strerror}. Give the path of a results file.") from error
    except UnicodeDecodeError as error:
        raise PelageError(
            f"{file} is no results file in UTF-8: {error.reason} at byte {error.start}. {READ}"
        ) from error
    except ValueError as error:
        raise PelageError(f"{file} is no whole JSON file: {error}. Write or copy it again. {READ}") from error
    except RecursionError as error:
        raise PelageError(f"{file} is nested deeper than any results file. {READ}") from error


def _categories(told: Mapping[str, Any], file: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of detection and classification categories by their ids, and refuse what is not read."""
    info = told.get("info")
    info = info if isinstance(info, Mapping) else {}
    version = info.get("format_version")
    if version is None and not isinstance(told.get("detection_categories"), Mapping):
        raise PelageError(
            f"{file} is no results file: it has `images`, but neither info.format_version nor detection_categories, as "
            f"data sets in COCO's format. {READ}"
        )
    if version is not None and _plain_version(version) not in VERSIONS:
        raise PelageError(f"{file} is of format_version {str(version)[:40]!r}, which is not read. {READ}")
    found = []
    for key, default in (("detection_categories", _MEGADETECTOR), ("classification_categories", {})):
        names = told.get(key)
        if names is not None and not isinstance(names, Mapping):
            raise PelageError(f"{file}: {key} is {str(names)[:80]!r}; it must be names by their ids. {READ}")
        found.append(default if names is None else {str(key): str(name) for key, name in names.items()})
    return found[0], found[1]


def _plain_version(told: Any) -> str:
    """Return a version, which some programs write as a number, as `1.4`."""
    try:
        return str(float(told))
    except (TypeError, ValueError, OverflowError):
        return ""


def _megadetector_entry(told: Any, row: str, detects: Mapping[str, str], classifies: Mapping[str, str]) -> Entry:
    entry = _begun(told, row, "file")
    if entry.fault:
        return entry
    if told.get("failure"):
        entry.fault = "failure", f"the detector failed: {_plain(str(told['failure'])[:200])}"
    elif kind_of(entry.path.replace("\\", "/"), b"") == "video" or "frame_rate" in told:
        entry.fault = "video", "it is a film, which is not read. Take frames out of it, as JPEG, and detect in these"
    elif not isinstance(told.get("detections"), list):
        entry.fault = "entry", "it has no list `detections`, and no `failure` says why"
    else:
        for number, one in enumerate(told["detections"]):
            place = f".detections[{number}]"
            id_ = one.get("category") if isinstance(one, Mapping) else None
            category = detects.get(str(id_), "")
            if isinstance(one, Mapping) and not category:
                entry.rejected.append(("category", f"{row}{place}: no category {id_!r} is in detection_categories"))
                continue
            species, score = _best(one, classifies, entry, place) if isinstance(one, Mapping) else ("", math.nan)
            _add(entry, one, place, category, species, score)
    return entry


def _speciesnet_entry(told: Any, row: str) -> Entry:
    entry = _begun(told, row, "filepath")
    if entry.fault:
        return entry
    failures = told.get("failures")
    failed = [str(one) for one in failures] if isinstance(failures, list) else [str(failures)] if failures else []
    if "DETECTOR" in failed or (failed and "detections" not in told):
        entry.fault = "failure", f"SpeciesNet failed: {_plain(', '.join(failed)[:200])}"
    elif kind_of(entry.path.replace("\\", "/"), b"") == "video":
        entry.fault = "video", "it is a film, which is not read. Take frames out of it, as JPEG, and detect in these"
    elif not isinstance(told.get("detections"), list):
        entry.fault = "entry", "it has no list `detections`: SpeciesNet was run without its detector"
    else:
        species, score = _prediction(told)
        for number, one in enumerate(told["detections"]):
            place = f".detections[{number}]"
            label, id_ = (one.get("label"), one.get("category")) if isinstance(one, Mapping) else ("", None)
            category = label if isinstance(label, str) and label else _MEGADETECTOR.get(str(id_), "")
            if isinstance(one, Mapping) and not category:
                entry.rejected.append(("category", f"{row}{place}: category {id_!r} is none of SpeciesNet's"))
                continue
            _add(entry, one, place, category, species, score)
    return entry


def _begun(told: Any, row: str, key: str) -> Entry:
    path = told.get(key) if isinstance(told, Mapping) else None
    if isinstance(path, str) and path.strip():
        return Entry(row, _plain(path))
    return Entry(row, "", ("entry", f"it has no text `{key}`, so that nobody can say of which photo it is"))


def _add(entry: Entry, told: Any, place: str, category: str, species: str, species_score: float) -> None:
    """Add a detection to its entry, or what is wrong with it."""
    if not isinstance(told, Mapping):
        entry.rejected.append(("entry", f"{entry.row}{place}: {str(told)[:80]!r} is no detection"))
        entry.unusable = True
        return
    kind = detector_category(category)
    if not kind and (is_nothing(category) or category.strip().casefold() in _EMPTY):
        entry.rejected.append(("category", f"{entry.row}{place}: its category {category!r} says that nothing is there"))
        return
    if not kind:  # a detector of one's own, which knows species
        kind, species = "animal", species or _plain(spelling(category))
    if kind == "animal" and detector_category(species) in ("person", "vehicle"):
        if not species_score < SPECIES_SCORE:
            kind = detector_category(species)
        species, species_score = "", math.nan
    score, box = _share(told.get("conf")), _box(told.get("bbox"))
    if score is None:
        entry.rejected.append(
            ("score", f"{entry.row}{place}: conf {str(told.get('conf'))[:80]!r} is no number from 0 to 1")
        )
    if isinstance(box, str):
        entry.rejected.append(("box", f"{entry.row}{place}: bbox {str(told.get('bbox'))[:80]} {box}"))
    if kind == "person":  # that there is one counts, wherever and however sure
        score, box = 1.0 if score is None else score, (0.0, 0.0, 1.0, 1.0) if isinstance(box, str) else box
    if score is None or isinstance(box, str):
        entry.unusable = True
        return
    if kind != "animal":
        species, species_score = "", math.nan
    entry.detections.append(Detection(kind, species, species_score, score, *box, place))


def _best(told: Mapping[str, Any], names: Mapping[str, str], entry: Entry, place: str) -> tuple[str, float]:
    """Return the word and score of the surest classification of a detection."""
    listed = told.get("classifications")
    surest, best = None, -1.0
    for one in listed if isinstance(listed, list) else []:
        score = _share(one[1]) if isinstance(one, list) and len(one) == 2 else None
        if score is None or (name := names.get(str(one[0]))) is None:
            said = f"{entry.row}{place}: classification {str(one)[:80]} is no known category with a score"
            entry.rejected.append(("category", said))
        elif score > best:
            surest, best = name, score
    return _told(surest, best) if surest is not None else ("", math.nan)


def _prediction(told: Mapping[str, Any]) -> tuple[str, float]:
    """Return the word and score of what SpeciesNet takes a photo's animals for."""
    label, score = told.get("prediction"), _share(told.get("prediction_score"))
    if not isinstance(label, str):
        classes = told.get("classifications")
        classes = classes if isinstance(classes, Mapping) else {}
        pairs = zip(classes.get("classes") or [], classes.get("scores") or [], strict=False)
        scored = [(_share(number) or 0.0, name) for name, number in pairs if isinstance(name, str)]
        score, label = max(scored, key=lambda pair: pair[0], default=(None, None))
    return _told(label, math.nan if score is None else score) if isinstance(label, str) else ("", math.nan)


def _told(label: str, score: float) -> tuple[str, float]:
    """Return a classifier's word for the species, empty if its label names none, and the score."""
    word = _named(label)
    return (word, score) if word else ("", math.nan)


@lru_cache(4096)
def _named(label: str) -> str:
    word = species_word(label)
    empty = is_nothing(word) or word.casefold() in _EMPTY or detector_category(word) == "animal"
    return "" if empty else word


def species_word(label: str) -> str:
    """Return the last word of a label that people read.

    Of SpeciesNet's `uuid;class;order;family;genus;species;common name` that is the common name, or else genus and
    species, or else the lowest taxon that is told.
    """
    parts = [_plain(spelling(part)) for part in label.split(";")]
    if len(parts) == 7 and not parts[6] and parts[5]:
        return f"{parts[4]} {parts[5]}".strip()
    return next((part for part in reversed(parts[1:] if len(parts) == 7 else parts) if part), "")


def _plain(text: str) -> str:
    """Return a text in which characters that no table can hold are written with escapes."""
    if nameable(text):
        return text
    return "".join(c if nameable(c) else c.encode("unicode_escape").decode() for c in text)


def _share(told: Any) -> float | None:
    """Return a number from 0 to 1, None if it is none."""
    value = _finite(told)
    return None if value is None or not -1e-6 <= value <= 1 + 1e-6 else round(min(max(value, 0.0), 1.0), DIGITS)


def _finite(told: Any) -> float | None:
    if isinstance(told, bool) or not isinstance(told, (int, float)):
        return None
    try:
        value = float(told)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _box(told: Any) -> tuple[float, float, float, float] | str:
    """Return x, y, width and height of a box cut to the photo, as shares; or what is wrong with it."""
    values = [_finite(one) for one in told] if isinstance(told, list) else []
    if len(values) != 4 or None in values:
        return "is not four finite numbers"
    x, y, w, h = values
    if w <= 0 or h <= 0:
        return "has no area"
    if x >= 1 or y >= 1 or x + w <= 0 or y + h <= 0:
        return "lies outside the photo, whose sides are 1"
    if min(x, y, 1 - x - w, 1 - y - h) < -EXCESS:
        return "leaves the photo, whose sides are 1, by more than a little"
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + w, 1.0), min(y + h, 1.0)
    box = tuple(round(value, DIGITS) for value in (left, top, right - left, bottom - top))
    return box if min(box[2:]) > 0 else "has no area"


class _Finder:
    """Finds the photos that paths of another computer are of.

    Args:
        origins: N paths below their sources' roots.
        originals: N full paths.
        paths: N paths within the project.
    """

    def __init__(self, origins: Sequence[str], originals: Sequence[Path], paths: Sequence[str]) -> None:
        self._origins, self._full = origins, [(str(one), two) for one, two in zip(originals, paths, strict=True)]
        self._whole: dict[str, list[int]] = {}
        for photo, origin in enumerate(origins):
            self._whole.setdefault("/".join(_parts(origin)), []).append(photo)
        self._ends: dict[str, int] = {}

    def find(self, paths: Sequence[str]) -> list[int | tuple[str, str]]:
        """Return for each path the photo that it is of, or the reason and words why there is none."""
        found: list[int | tuple[str, str]] = []
        for path in paths:
            found.append(self._photo(path))
        ranks = [self._rank(paths[i], one) if isinstance(one, int) else -1 for i, one in enumerate(found)]
        best: dict[int, int] = {}
        for i, photo in enumerate(found):
            if isinstance(photo, int) and (photo not in best or ranks[i] > ranks[best[photo]]):
                best[photo] = i
        for i, photo in enumerate(found):
            if isinstance(photo, int) and ranks[i] < ranks[best[photo]]:
                other = paths[best[photo]]
                found[i] = (
                    "missing",
                    f"{paths[i]!r} ends as {self._origins[photo]!r} does, but {other!r} fits that better",
                )
        return found

    def _photo(self, path: str) -> int | tuple[str, str]:
        parts = _parts(path)
        for start in range(len(parts)):
            photos = self._whole.get("/".join(parts[start:]))
            if photos is not None:
                return photos[0] if len(photos) == 1 else self._of_several(path, photos)
        end = self._inner_ends().get("/".join(parts)) if parts else None
        if end is not None and end >= 0:
            return end
        if end is not None:
            return "ambiguous", f"several photos end in {path!r}. Write more of their path"
        same = self._inner_ends().get(parts[-1]) if parts else None
        more = " (photos of that file name lie in other folders)" if same is not None else ""
        return "missing", f"no photo is called {path!r}{more}"

    def _of_several(self, path: str, photos: Sequence[int]) -> int | tuple[str, str]:
        """Return which of the photos that a path ends in it is of: the one that it shares most with, or its case."""
        ranks = [self._rank(path, photo) for photo in photos]
        likely = [photo for photo, rank in zip(photos, ranks, strict=True) if rank == max(ranks)]
        exact = [photo for photo in likely if path.replace("\\", "/").endswith(self._origins[photo])]
        for some in (likely, exact):
            if len(some) == 1:
                return some[0]
        said = ", ".join(repr(self._full[photo][1]) for photo in photos[:_SOME])
        return (
            "ambiguous",
            f"{path!r} may be any of {len(photos)} photos: {said}{', ...' if len(photos) > _SOME else ''}",
        )

    def _rank(self, path: str, photo: int) -> int:
        """Return how many parts of a path and of a photo's own agree, from the end."""
        parts = _parts(path)
        return max(_common_end(parts, _parts(full)) for full in self._full[photo])

    def _inner_ends(self) -> dict[str, int]:
        """Return photos by the ends of their paths; -1 where several end so."""
        if not self._ends:
            for photo, origin in enumerate(self._origins):
                parts = _parts(origin)
                for start in range(1, len(parts)):
                    end = "/".join(parts[start:])
                    self._ends[end] = -1 if end in self._ends else photo
            for end, photos in self._whole.items():
                if end in self._ends:
                    self._ends[end] = -1
                else:
                    self._ends[end] = photos[0] if len(photos) == 1 else -1
        return self._ends


def _parts(path: str) -> list[str]:
    """Return the parts of a path of any system, without case and Unicode form."""
    text = path.strip().replace("\\", "/").removeprefix("file://")
    if not text.isascii():
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
    return [part for part in posixpath.normpath(text.casefold()).split("/") if part not in ("", ".", "..")]


def _common_end(one: Sequence[str], two: Sequence[str]) -> int:
    length = 0
    while length < min(len(one), len(two)) and one[-1 - length] == two[-1 - length]:
        length += 1
    return length
