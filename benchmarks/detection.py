"""How well does the embedded detector find animals on real photos, and what does it cost?

    PYTHONPATH=src python benchmarks/detection.py BOXES SURVEY [SURVEY ...] [--sheet FILE]

BOXES and SURVEYs are as in `scorer_training.py`. The scorer is cross-validated: photos of one sequence are all in one
fold, judged by trees that saw none of them, and only photos whose licence allows it teach. Beside it stand each of its
two networks alone: saliency by the rule that was the default before (components of saliency .5 and of mean .6), and
MegadetectorLite's own score. Of MegadetectorLite nobody can say which of these photos it was taught with.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pelage.common.files import write_json, write_text
from pelage.common.images import read_image, to_rgb
from pelage.common.seeds import generator
from pelage.preprocess.boxes import HIT, pair_boxes
from pelage.preprocess.detectors import scorer_training as training
from pelage.preprocess.detectors.embedded import FEATURES, Proposals, choose_animals, propose, shrunk
from pelage.report.detection_sheet import Found, Photo, draw_sheet

FOLDS, DRAWS = 5, 3
LEAST = 0.5  # of the scorer, as in params.yaml
LITE_LEAST = 0.4  # of MegadetectorLite alone, chosen here: the best of .3, .4 and .5 for camera traps
NETWORK, MEAN, AREA = (FEATURES.index(name) for name in ("from_network", "component_saliency", "log_area"))

Rule = Callable[[Proposals], np.ndarray]


def lite_alone(proposals: Proposals) -> np.ndarray:
    """Score the network's boxes by its own word; 0.5 is `LITE_LEAST`."""
    return np.where(proposals.features[:, NETWORK] > 0, proposals.network / (2 * LITE_LEAST), 0.0)


def saliency_alone(proposals: Proposals) -> np.ndarray:
    """Score components of saliency by the former rule; 0.5 is where it said yes."""
    solid = (proposals.features[:, NETWORK] == 0) & (np.exp(proposals.features[:, AREA]) >= 0.01)
    return np.where(solid & (proposals.features[:, MEAN] >= 0.6), proposals.features[:, MEAN], 0.0)


def cross_validated(
    seen: Sequence[tuple[training.Lesson, Proposals]], teach: Sequence[bool], draw: int
) -> list[np.ndarray | None]:
    """Return the scores of the proposals of each picture, by trees that saw nothing of its group."""
    groups = sorted({lesson.group for lesson, _ in seen})
    folds = dict(zip(groups, generator(draw, "folds").permutation(len(groups)) % FOLDS, strict=True))
    scores: list[np.ndarray | None] = [None] * len(seen)
    for fold in range(FOLDS):
        scorer = training.train_scorer(
            pair for pair, may in zip(seen, teach, strict=True) if may and folds[pair[0].group] != fold
        )
        for n, (lesson, proposals) in enumerate(seen):
            if folds[lesson.group] == fold:
                scores[n] = scorer(proposals.features)
    return scores


def judge(found: Sequence[Sequence], true: Sequence[np.ndarray]) -> dict[str, float | int | None]:
    """Return counts and rates over pictures."""
    hits = animals = boxes = blanks = alarms = 0
    for mine, boxes_of in zip(found, true, strict=True):
        animals, boxes = animals + len(boxes_of), boxes + len(mine)
        blanks, alarms = blanks + (len(boxes_of) == 0), alarms + (len(boxes_of) == 0 and len(mine) > 0)
        hits += sum(overlap >= HIT for _, _, overlap in pair_boxes([one.box for one in mine], boxes_of))
    return {
        "photos": len(true),
        "animals": animals,
        "recall": round(hits / animals, 3) if animals else None,
        "precision": round(hits / boxes, 3) if boxes else None,
        "blanks": blanks,
        "blanks_with_detection": alarms,
    }


def over_draws(scores: Sequence[dict]) -> dict[str, float | int | None]:
    """Return the mean rates over several ways to fold, and the most blanks with a detection."""
    alarms = max(score["blanks_with_detection"] for score in scores)
    means = {
        name: None if scores[0][name] is None else round(float(np.mean([score[name] for score in scores])), 3)
        for name in ("recall", "precision")
    }
    return {**scores[0], **means, "blanks_with_detection": alarms}


def kinds(photos: pd.DataFrame, true: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return which photos are of each kind."""
    trap = (photos["kind"] == "camera_trap").to_numpy()
    grey, count = (photos["grey"] == "true").to_numpy(), np.array([len(boxes) for boxes in true])
    return {
        "camera traps": trap,
        "camera traps, day or flash": trap & ~grey,
        "camera traps, infrared": trap & grey,
        "camera traps, several animals": trap & (count > 1),
        "camera traps, blank": trap & (count == 0),
        "web": ~trap,
    }


def cost(eyes: training.Eyes, paths: Sequence[Path]) -> dict[str, float]:
    """Return seconds a photo, on one core, of reading it and of what each network takes, in one run."""
    spent = dict.fromkeys(("read", "network", "saliency", "proposals"), 0.0)
    for path in paths:
        marks = [time.perf_counter()]
        image = to_rgb(read_image(path))
        marks.append(time.perf_counter())
        small = shrunk(image)
        found = eyes.network(small)
        marks.append(time.perf_counter())
        saliency = eyes.saliency(image)
        marks.append(time.perf_counter())
        propose(found, (small.shape[1], small.shape[0]), saliency, image.shape[1], image.shape[0])
        marks.append(time.perf_counter())
        for name, seconds in zip(spent, np.diff(marks), strict=True):
            spent[name] += seconds
    each = {name: round(float(seconds) / len(paths), 4) for name, seconds in spent.items()}
    return each | {"all_in_saliency_alone": round(sum(each.values()) / (each["read"] + each["saliency"]), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("boxes", type=Path)
    parser.add_argument("surveys", type=Path, nargs="+")
    parser.add_argument("--sheet", type=Path, help="page of the photos, misses first")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/detection.json"))
    arguments = parser.parse_args()

    eyes = training.Eyes(Path("data/weights"))
    lessons, photos = training.box_lessons(arguments.boxes)
    sizes = photos[["width", "height"]].astype(int).to_numpy().tolist()
    allowed = [training.may_teach(licence) for licence in photos["licence"]]
    more = [
        piece
        for lesson, (width, height), may in zip(lessons, sizes, allowed, strict=True)
        if may
        for piece in training.pieces(lesson, width, height)
    ]
    more += [lesson for survey in arguments.surveys for lesson in training.survey_lessons(survey)]
    seen = training.observe([*lessons, *more], eyes)
    assert len(seen) >= len(lessons) and all(a is b for (a, _), b in zip(seen, lessons, strict=False))
    teach = [*allowed, *[True] * (len(seen) - len(lessons))]
    true = [lesson.true for lesson in lessons]

    def animals(scores: Sequence[np.ndarray]) -> list[list]:
        return [
            choose_animals(proposals, score, LEAST, *size)
            for (_, proposals), score, size in zip(seen, scores, sizes, strict=False)
        ]

    found = {
        "saliency": animals([saliency_alone(proposals) for _, proposals in seen[: len(lessons)]]),
        "megadetector_lite": animals([lite_alone(proposals) for _, proposals in seen[: len(lessons)]]),
    }
    for draw in range(DRAWS):
        found[f"embedded, folds {draw}"] = animals(cross_validated(seen, teach, draw)[: len(lessons)])
    rows = {
        name: {
            kind: judge([mine[n] for n in np.flatnonzero(which)], [true[n] for n in np.flatnonzero(which)])
            for kind, which in kinds(photos, true).items()
        }
        for name, mine in found.items()
    }
    drawn = [rows.pop(f"embedded, folds {draw}") for draw in range(DRAWS)]
    rows["embedded"] = {kind: over_draws([row[kind] for row in drawn]) for kind in drawn[0]}
    result = {
        "photos": len(lessons),
        "sources": int(photos["source"].nunique()),
        "teaching": {"photos": sum(allowed), "pieces_and_drawn": len(seen) - len(lessons)},
        "seconds_a_photo_and_core": cost(eyes, [lesson.path for lesson in lessons[::8]]),
        "rows": rows,
    }
    write_json(arguments.output, result)
    for name, mine in rows.items():
        for kind, score in mine.items():
            print(f"{name:22} {kind:32} {score}")
    print(result["seconds_a_photo_and_core"])
    if arguments.sheet:
        page = [
            Photo(
                title=f"{row.source}: {row.image_id}",
                load=partial(load, lesson.path),
                found=[Found(tuple(animal.box), animal.score) for animal in mine],
                true=[tuple(box) for box in lesson.true.tolist()],
                note=row.species,
                group=lesson.group,
            )
            for lesson, mine, row in zip(lessons, found["embedded, folds 0"], photos.itertuples(), strict=True)
        ]
        write_text(arguments.sheet, draw_sheet("boxes", page, "Cross-validated by sequence."))


def load(path: Path) -> np.ndarray:
    return to_rgb(read_image(path))


if __name__ == "__main__":
    main()
