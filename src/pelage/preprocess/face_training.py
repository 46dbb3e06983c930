"""Face training: makes `face.yaml`, template and judge of `face.py`, from surveys with known faces. Run by hand.

    python -m pelage.preprocess.face_training 101 surveys/101 surveys/102 surveys/103

learns the template from `photos.csv`, `photos` and `truth` of the first survey and, from windows that it takes for
faces in the others, the judge; the number is a seed. The surveys are procedural and of other seeds than the demo's, so
that its own animals stay unseen. Silhouettes are the true masks, made as coarse as those of saliency.

Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, with their second round of training
on the windows that the first round takes for faces.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold
from sklearn.svm import LinearSVC

from pelage.common.errors import PelageError
from pelage.common.files import write_text
from pelage.common.images import read_image, to_rgb
from pelage.common.seeds import generator
from pelage.common.tables import read_table
from pelage.preprocess.boxes import Box, clip_box, cut, iou, pad_box
from pelage.preprocess.face import MEASURES, TEMPLATE, WINDOW, FaceFinder, new_hog
from pelage.preprocess.judge import Judge, fit_judge

NUMBERS = ["x", "y", "w", "h", "face_x", "face_y", "face_w", "face_h", "occluded"]
VISIBLE = 0.15  # an animal of which more is hidden teaches nothing
JITTER = 0.06  # of a face's side, by which its window is moved and scaled
COST = 0.01  # of the support vector machine
JUDGE_COST = 0.3  # of the judge
KNOTS = 7  # of its curves
COARSE = 320  # pixels of the side to which saliency squeezes a photo
FACE_HIT = 0.3  # overlap with a true face from which on a window is one
PRECISION = 0.96  # of the judged faces that cross-validation must show
FOLDS = 6
NO_JUDGE = Judge({}, 0.0, 0.0)  # while there is none
Window = tuple[str, bool, dict[str, float]]
"""Its animal (survey, encounter, photo, number; by slashes), whether it is a face, and what it is judged by."""


def train_face_template(survey: Path, seed: int) -> np.ndarray:
    """Learn the template from a survey's photos and truth.

    Returns:
        Coefficients of the window's HOG features and, last, the bias, float32.
    """
    rng = generator(seed, "face")
    truth = read_table(survey / "truth" / "truth.csv", dict.fromkeys(NUMBERS, float))
    photos = read_table(survey / "photos.csv").set_index("image_id")
    animals = [
        (to_grey(survey / "photos" / photos["path"][row.image_id]), row)
        for row in truth[truth["occluded"] <= VISIBLE].itertuples(index=False)
    ]
    animals = [(grey, row) for grey, row in animals if grey is not None]
    faces, others = [], []
    for grey, row in animals:
        for _ in range(4):
            if (face := face_of(row)) is not None:
                faces.append(window(grey, jittered(face, rng)))
            others += random_windows(grey, row, rng)
    faces += [face[:, ::-1].copy() for face in faces]
    first = fit(faces, others)
    others += [patch for grey, row in animals[::2] for patch in mistaken_windows(grey, row, first)]
    return fit(faces, others)


def fit(faces: list[np.ndarray], others: list[np.ndarray]) -> np.ndarray:
    """Return weights and bias of the linear machine that tells faces from other windows."""
    features = np.array([describe(patch) for patch in [*faces, *others]])
    machine = LinearSVC(C=COST, class_weight="balanced", dual=False)
    machine.fit(features, [1] * len(faces) + [0] * len(others))
    return np.append(machine.coef_[0], machine.intercept_[0]).astype(np.float32)


def to_grey(path: Path) -> np.ndarray | None:
    """Read a photo as grey, or None if it cannot be read."""
    try:
        return cv2.cvtColor(to_rgb(read_image(path)), cv2.COLOR_RGB2GRAY)
    except PelageError:
        return None


def face_of(row: tuple) -> Box | None:
    """Return the true face of a row of the truth, if it can be seen."""
    return None if pd.isna(row.face_x) else (int(row.face_x), int(row.face_y), int(row.face_w), int(row.face_h))


def jittered(box: Box, rng: np.random.Generator) -> Box:
    """Return a square window about a box, moved and scaled a little."""
    x, y, w, h = box
    side = max(w, h) * np.exp(rng.normal(0, JITTER))
    across, down = rng.normal(0, JITTER, 2) * side
    return round(x + w / 2 - side / 2 + across), round(y + h / 2 - side / 2 + down), round(side), round(side)


def window(grey: np.ndarray, box: Box) -> np.ndarray:
    """Return a square of a grey photo as a window of the template's size, the photo's edge repeated beyond it."""
    x, y, w, h = box
    margin = max(w, h)
    padded = cv2.copyMakeBorder(grey, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    return cv2.resize(cut(padded, (x + margin, y + margin, w, h)), (WINDOW, WINDOW), interpolation=cv2.INTER_AREA)


def describe(patch: np.ndarray) -> np.ndarray:
    """Return the HOG features of a window."""
    return new_hog().compute(patch).ravel()


def random_windows(grey: np.ndarray, row: tuple, rng: np.random.Generator) -> list[np.ndarray]:
    """Return a window within an animal that is not its face, if the draw gives one."""
    height, width = grey.shape
    x, y, w, h = pad_box((int(row.x), int(row.y), int(row.w), int(row.h)), 0.1, width, height)
    side = round(float(rng.uniform(0.25, 0.6)) * min(w, h))
    box = clip_box(x + rng.uniform(0, w - side), y + rng.uniform(0, h - side), side, side, width, height)
    return [window(grey, box)] if box and side >= 16 and not is_face(box, row) else []


def mistaken_windows(grey: np.ndarray, row: tuple, template: np.ndarray) -> list[np.ndarray]:
    """Return the windows of an animal that a template takes for a face and that are none."""
    box = pad_box((int(row.x), int(row.y), int(row.w), int(row.h)), 0.1, grey.shape[1], grey.shape[0])
    found = FaceFinder(template, NO_JUDGE).windows(cv2.cvtColor(cut(grey, box).copy(), cv2.COLOR_GRAY2RGB), -0.5)
    moved = [((box[0] + x, box[1] + y, w, h), weight) for (x, y, w, h), weight in found]
    wrong = sorted((weight, place) for place, weight in moved if not is_face(place, row))
    return [window(grey, place) for _, place in wrong[-5:]]


def is_face(box: Box, row: tuple, least: float = 0.2) -> bool:
    """Return whether a window overlaps the true face of a row."""
    face = face_of(row)
    return face is not None and float(iou(np.array(box), np.array(face))[0, 0]) > least


def judged_windows(survey: Path, finder: FaceFinder) -> Iterator[Window]:
    """Yield the windows in the silhouettes of a survey, and for each animal with a visible face a line without any."""
    truth = read_table(survey / "truth" / "truth.csv", dict.fromkeys(NUMBERS, float))
    photos = read_table(survey / "photos.csv").set_index("image_id")
    for row in truth.itertuples(index=False):
        try:
            image = to_rgb(read_image(survey / "photos" / photos["path"][row.image_id]))
        except PelageError:
            continue
        height, width = image.shape[:2]
        box = pad_box((int(row.x), int(row.y), int(row.w), int(row.h)), 0.1, width, height)
        mask = read_image(survey / "truth" / "masks" / row.mask).astype(np.float32) / 255
        squeezed = cv2.resize(mask, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
        mask = cut(cv2.resize(squeezed, (width, height)) >= 0.5, box)
        name = f"{survey.name}/{row.encounter}/{row.image_id}/{row.animal}"
        if face_of(row) is not None:
            yield name, True, {}
        for (x, y, w, h), measures in finder.candidates(cut(image, box).copy(), mask) if mask.any() else ():
            yield name, is_face((box[0] + x, box[1] + y, w, h), row, FACE_HIT), measures


def train_judge(windows: Sequence[Window]) -> tuple[Judge, str]:
    """Return the judge of windows, and a line on what cross-validation over encounters says of it.

    A window is taken from the probability on at which `PRECISION` of the faces taken, one an animal, are faces.
    """
    faces = sum(not measures for _, _, measures in windows)
    seen = [window for window in windows if window[2]]
    yes = np.array([face for _, face, _ in seen])
    groups = [name.rsplit("/", 2)[0] for name, _, _ in seen]
    scores = np.zeros(len(seen))
    for learn, ask in GroupKFold(FOLDS).split(groups, groups=groups):
        judge = fit_judge([seen[i][2] for i in learn], MEASURES, yes[learn], JUDGE_COST, KNOTS)
        scores[ask] = [judge(seen[i][2]) for i in ask]
    table = pd.DataFrame({"name": [name for name, _, _ in seen], "face": yes, "score": scores})
    best = table.sort_values("score", ascending=False, kind="stable").drop_duplicates("name")
    hits = best["face"].cumsum().to_numpy()
    precise = np.flatnonzero(hits / np.arange(1, len(best) + 1) >= PRECISION)
    last = int(precise[-1]) if len(precise) else 0
    least = float(best["score"].iloc[last])
    text = f"judge: from {least:.3f} on, {hits[last]} of {faces} faces at a precision of {hits[last] / (last + 1):.3f}"
    return replace(fit_judge([window[2] for window in seen], MEASURES, yes, JUDGE_COST, KNOTS), least=least), text


def main() -> None:
    """Write `face.yaml`."""
    seed, first, *others = int(sys.argv[1]), *map(Path, sys.argv[2:])
    template = train_face_template(first, seed).astype("<f2")
    finder = FaceFinder(template.astype(np.float32), NO_JUDGE)
    judge, text = train_judge([window for survey in others for window in judged_windows(survey, finder)])
    write(template, judge)
    print(text)


def write(template: np.ndarray, judge: Judge) -> None:
    """Write template (float16) and judge."""
    text = base64.b64encode(template.tobytes()).decode()
    lines = "\n".join(f"  {text[i : i + 100]}" for i in range(0, len(text), 100))
    write_text(
        TEMPLATE,
        "# What faces that look at the camera have in common: weights of a histogram of oriented gradients and a\n"
        "# bias, float16 in base64; and the judge of windows: for each measure of face.py, the log odds that it adds\n"
        "# at the knots of a curve. Made by face_training.py from procedural surveys of other seeds than the\n"
        f"# demo's: no photo in it.\ntemplate: >-\n{lines}\n{judge.as_yaml('judge')}",
    )


if __name__ == "__main__":
    main()
