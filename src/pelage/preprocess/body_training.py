"""Body training: makes `bodies.yaml`, the judge of `bodies.py`, from surveys with known animals. Run by hand, seldom.

    python -m pelage.preprocess.body_training data/weights surveys/101 surveys/102 ...

learns from `photos.csv`, `photos` and `truth` of each procedural survey (never of the demo's own seed, 7), looking at
all photos of several animals or of an end and at every sixth other one. Prints what cross-validation over encounters
says: `detect.shared_score` of params.yaml is chosen from that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from pelage.common.files import write_text
from pelage.common.images import read_image
from pelage.common.tables import read_table
from pelage.preprocess.animals import pooled_scores
from pelage.preprocess.bodies import JUDGE, TWO, measure_body
from pelage.preprocess.boxes import HIT, cut, pad_box, pair_boxes
from pelage.preprocess.detectors.animal import Animal
from pelage.preprocess.detectors.embedded import choose_animals
from pelage.preprocess.detectors.scorer import Scorer, read_scorer
from pelage.preprocess.detectors.scorer_training import Eyes, Lesson
from pelage.preprocess.judge import Judge, fit_judge

LEAST = 0.5  # of an animal's score, as detect.min_score
PADDING = 0.08  # room around a crop, as crop.padding
EVERY = 6  # of the photos of one animal from the side, one is looked at
SHARED = (0.02, 0.04)  # share of a crop, and of a silhouette, that another animal has at least where there are two
SINGLE = 0.004  # share of a crop that it has at most where there is one; what lies between teaches nothing
COST = 3.0
KNOTS = 5  # of its curves
FOLDS = 6


@dataclass(frozen=True)
class Case:
    """A silhouette: its measures, encounter, true side, and whether it holds two animals (None: hard to say)."""

    measures: dict[str, float]
    encounter: str
    side: str
    two: bool | None


def cases_of(survey: Path, eyes: Eyes, scorer: Scorer) -> Iterator[Case]:
    """Yield the silhouettes that detection finds in the photos of a survey that are looked at."""
    truth = read_table(survey / "truth" / "truth.csv", dict.fromkeys("xywh", float))
    rows = dict(list(truth.groupby("image_id")))
    telling = set(truth["image_id"][truth["image_id"].duplicated() | truth["orientation"].isin(["front", "back"])])
    photos = read_table(survey / "photos.csv")
    for number, (image_id, path) in enumerate(zip(photos["image_id"], photos["path"], strict=True)):
        if image_id not in rows or not (image_id in telling or number % EVERY == 0):
            continue
        seen = eyes.look(Lesson(survey / "photos" / path, np.zeros((0, 4)), image_id))
        if seen is None:
            continue
        proposals, size = seen
        animals = choose_animals(proposals, scorer(proposals.features), LEAST, *size)
        animals = [animal for animal in animals if animal.mask is not None]
        masks = [read_image(survey / "truth" / "masks" / name) > 0 for name in rows[image_id]["mask"]]
        yield from judged(animals, rows[image_id], masks, size, survey.name)


def judged(
    animals: Sequence[Animal], truth: pd.DataFrame, masks: Sequence[np.ndarray], size: tuple[int, int], survey: str
) -> Iterator[Case]:
    """Yield a case for each found animal that is a true one; rows of the truth and their masks `(H, W)` bool."""
    boxes = [animal.box for animal in animals]
    for i, j, overlap in pair_boxes(boxes, truth[["x", "y", "w", "h"]].to_numpy(float)):
        animal, window = animals[i], pad_box(boxes[i], PADDING, *size)
        held = np.array([cut(mask, window).mean() for mask in masks])
        within = np.array([(cut(mask, boxes[i]) & animal.mask).sum() / animal.mask.sum() for mask in masks])
        held[j] = within[j] = 0
        two = None if held.max() > SINGLE else False
        if held.max() > SHARED[0] and within.max() > SHARED[1]:
            two = True
        side = truth["orientation"].iloc[j] if overlap >= HIT else ""
        encounter = f"{survey}/{truth['encounter'].iloc[j]}"
        yield Case(measure_body(animal.mask, animal.box, size), encounter, side, two)


def train(cases: Sequence[Case]) -> tuple[Judge, list[str]]:
    """Return the judge, and lines on what cross-validation says of them."""
    known = [case for case in cases if case.two is not None]
    two = np.array([case.two for case in known])
    scores = cross_validated(known, two)
    pooled = pooled_scores(scores, [case.encounter for case in known])
    flanks = np.array([case.side in ("left", "right") for case in known])
    lines = [f"{len(known)} silhouettes, {two.sum()} of two animals; alone and with its encounter:"]
    for lost in (0.02, 0.03, 0.05):
        for name, values in (("alone", scores), ("pooled", pooled)):
            least = float(np.quantile(values[~two & flanks], 1 - lost))
            found = float((values[two] > least).mean())
            lines.append(f"two, {name}: from {least:.3f} on {found:.3f} found, {lost} of single flanks marked")
    return fit_judge([case.measures for case in known], TWO, two, COST, KNOTS), lines


def cross_validated(cases: Sequence[Case], two: np.ndarray) -> np.ndarray:
    """Return the probability of each case by a judge that has not seen its encounter."""
    scores = np.zeros(len(cases))
    groups = [case.encounter for case in cases]
    for learn, ask in GroupKFold(FOLDS).split(groups, groups=groups):
        judge = fit_judge([cases[i].measures for i in learn], TWO, two[learn], COST, KNOTS)
        scores[ask] = [judge(cases[i].measures) for i in ask]
    return scores


def main() -> None:
    """Write `bodies.yaml`."""
    eyes, scorer = Eyes(Path(sys.argv[1])), read_scorer()
    judge, lines = train([case for survey in sys.argv[2:] for case in cases_of(Path(survey), eyes, scorer)])
    write(judge)
    print("\n".join(lines))


def write(judge: Judge) -> None:
    """Write the judge."""
    write_text(
        JUDGE,
        "# What tells two animals in one silhouette: for each measure of bodies.py, the log odds that it adds at\n"
        "# the knots of a curve. Made by body_training.py from procedural surveys of other seeds than the demo's: no\n"
        f"# photo in it.\n{judge.as_yaml('two')}",
    )


if __name__ == "__main__":
    main()
