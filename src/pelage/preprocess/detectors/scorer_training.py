"""Scorer training: makes `scorer.yaml`, the trees of `scorer.py`, from photos with true boxes. Run by hand, seldom.

    python -m pelage.preprocess.detectors.scorer_training BOXES SURVEY [SURVEY ...]

BOXES is a folder with `metadata.csv` (path, bbox, blank, sequence, licence, source); only photos whose licence allows
it teach. SURVEY holds `photos.csv`, `photos` and `truth` of a procedural survey of another seed than the demo's. Pieces
of real photos without an animal, and pieces around one, teach as well: blanks are rare, and most surveys are full of
them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from pelage.common.errors import PelageError
from pelage.common.files import sha256_bytes, write_text
from pelage.common.images import decode_image, encode_png, read_image, to_rgb
from pelage.common.memo import Memo
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.common.seeds import generator
from pelage.common.tables import read_table
from pelage.preprocess.boxes import HIT, covered, cut, iou
from pelage.preprocess.detectors.embedded import NETWORK_LEAST, Proposals, propose, shrunk
from pelage.preprocess.detectors.onnx_network import Found, OnnxDetector
from pelage.preprocess.detectors.scorer import TREES, Scorer, write_scorer
from pelage.preprocess.saliency import Saliency

LICENCES = ("MIT", "Apache-2.0")
"""What a licence begins with that allows to learn from a photo and to pass on what was learnt."""

NOT_THEIRS = ("repository; photos from",)
"""Words of a licence that is not the photos'."""

EMPTY_PIECES, TRIES = 3, 60  # of a photo
SIDES, CLOSER_SIDES = (0.4, 0.75), (0.45, 0.8)  # of a piece, in the photo's
SURVEY_STEP = 3  # every third photo of a survey: its animals are many and alike
SURVEY_WEIGHT, PIECE_WEIGHT = 0.3, 0.3  # of a proposal, in that of one of a real photo
TREES_GROWN, DEPTH, RATE, LEAF, SMOOTHING = 80, 3, 0.08, 15, 1.0


@dataclass(frozen=True)
class Lesson:
    """One picture with its true boxes `(N, 4)`.

    `group` are pictures that belong together, `box` is the piece of the photo that it shows (None: all), `weight` that
    of its proposals.
    """

    path: Path
    true: np.ndarray
    group: str
    weight: float = 1.0
    box: tuple[int, int, int, int] | None = None


class Eyes:
    """Both networks; what they see of a picture is remembered."""

    def __init__(self, weights: Path) -> None:
        self.network = OnnxDetector(weights / "megadetector_lite.onnx", NETWORK_LEAST)
        self.saliency = Saliency(weights / "u2netp.onnx")
        self._memo = Memo("lesson", 1, [self.network.sha256, self.saliency.sha256])

    def __call__(self, lesson: Lesson) -> Proposals | None:
        """Return the proposals of a picture, or None if it cannot be read."""
        seen = self.look(lesson)
        return seen and seen[0]

    def look(self, lesson: Lesson) -> tuple[Proposals, tuple[int, int]] | None:
        """Return the proposals of a picture and its width and height, or None if it cannot be read."""
        try:
            image = to_rgb(read_image(lesson.path))
        except PelageError:
            return None
        if lesson.box is not None:
            image = np.ascontiguousarray(cut(image, lesson.box))
        small = shrunk(image)
        key = self._memo.key(sha256_bytes(image.tobytes()), str(image.shape))
        known = self._memo.get(key)
        if known is None:
            saliency = np.round(self.saliency(image) * 255).astype(np.uint8)
            self._memo.put(key, known := encode_png(saliency))
        found: Sequence[Found] = self.network(small)
        saliency = decode_image(known).astype(np.float32) / 255
        size = image.shape[1], image.shape[0]
        return propose(found, (small.shape[1], small.shape[0]), saliency, *size), size


def box_lessons(folder: Path) -> tuple[list[Lesson], pd.DataFrame]:
    """Return the photos of a folder of boxes, and its table with one row a photo."""
    rows = read_table(folder / "metadata.csv")
    photos = rows.drop_duplicates("image_id")
    boxes = {
        image_id: np.array([box.split() for box in mine["bbox"] if box], float).reshape(-1, 4)
        for image_id, mine in rows.groupby("image_id")
    }
    lessons = [
        Lesson(folder / row.path, boxes[row.image_id], row.sequence or row.image_id)
        for row in photos.itertuples(index=False)
    ]
    return lessons, photos


def may_teach(licence: str) -> bool:
    """Tell whether a licence allows to learn from its photos."""
    return licence.startswith(LICENCES) and not any(words in licence for words in NOT_THEIRS)


def pieces(lesson: Lesson, width: int, height: int) -> list[Lesson]:
    """Return pieces of a photo: up to `EMPTY_PIECES` without an animal, and one that holds some of them whole."""
    rng = generator(1, "pieces", lesson.path.name)

    def draw(sides: tuple[float, float]) -> tuple[int, int, int, int]:
        share = rng.uniform(*sides)
        w, h = int(width * share), int(height * share)
        return int(rng.uniform(0, width - w)), int(rng.uniform(0, height - h)), w, h

    drawn, found = [], 0
    for _ in range(TRIES):
        box = draw(SIDES)
        if found < EMPTY_PIECES and covered(lesson.true, np.array([box])).max(initial=0.0) <= 0.02:
            drawn.append(Lesson(lesson.path, np.zeros((0, 4)), lesson.group, PIECE_WEIGHT, box))
            found += 1
    for _ in range(TRIES if len(lesson.true) else 0):
        box = draw(CLOSER_SIDES)
        held = covered(lesson.true, np.array([box]))[:, 0]
        if (held > 0.98).any() and ((held > 0.98) | (held < 0.02)).all():
            true = lesson.true[held > 0.98] - [box[0], box[1], 0, 0]
            drawn.append(Lesson(lesson.path, true, lesson.group, PIECE_WEIGHT, box))
            break
    return drawn


def survey_lessons(survey: Path) -> list[Lesson]:
    """Return every `SURVEY_STEP`-th photo of a procedural survey."""
    numbers = dict.fromkeys(["x", "y", "w", "h"], float)
    truth = dict(list(read_table(survey / "truth" / "truth.csv", numbers).groupby("image_id")))
    photos = read_table(survey / "photos.csv")[::SURVEY_STEP]
    none = np.zeros((0, 4))
    return [
        Lesson(
            survey / "photos" / row.path,
            truth[row.image_id][["x", "y", "w", "h"]].to_numpy() if row.image_id in truth else none,
            f"{survey.name}/{row.image_id}",
            SURVEY_WEIGHT,
        )
        for row in photos.itertuples(index=False)
    ]


def observe(lessons: Sequence[Lesson], eyes: Eyes) -> list[tuple[Lesson, Proposals]]:
    """Return each picture that can be read with its proposals."""
    seen = track(zip(lessons, parallel_map(eyes, lessons), strict=True), "observe", len(lessons))
    return [(lesson, proposals) for lesson, proposals in seen if proposals is not None]


def train_scorer(taught: Iterable[tuple[Lesson, Proposals]]) -> Scorer:
    """Grow the trees: a proposal is an animal if it overlaps a true box by `HIT`."""
    features, right, weights = [], [], []
    for lesson, proposals in taught:
        features.append(proposals.features)
        right.append(iou(proposals.boxes, lesson.true).max(axis=1, initial=0.0) >= HIT)
        weights.append(np.full(len(proposals.boxes), lesson.weight))
    grown = HistGradientBoostingClassifier(
        max_iter=TREES_GROWN, max_depth=DEPTH, learning_rate=RATE, min_samples_leaf=LEAF, l2_regularization=SMOOTHING,
        early_stopping=False, random_state=0,
    ).fit(np.concatenate(features), np.concatenate(right), np.concatenate(weights))  # fmt: skip
    return Scorer(*as_nodes(grown), DEPTH)


def as_nodes(grown: HistGradientBoostingClassifier) -> tuple[np.ndarray, float]:
    """Return nodes and base, as `Scorer` has them, of scikit-learn's trees."""
    trees = [stage[0].nodes for stage in grown._predictors]
    nodes = np.zeros((len(trees), max(map(len, trees)), 5), np.float32)
    for tree, rows in zip(nodes, trees, strict=True):
        leaf, own = rows["is_leaf"].astype(bool), np.arange(len(rows))
        tree[: len(rows), 0] = np.where(leaf, 0, rows["feature_idx"])
        tree[: len(rows), 1] = np.where(leaf, 0, rows["num_threshold"])
        tree[: len(rows), 2] = np.where(leaf, own, rows["left"])
        tree[: len(rows), 3] = np.where(leaf, own, rows["right"])
        tree[: len(rows), 4] = np.where(leaf, rows["value"], 0)
    return nodes, float(np.ravel(grown._baseline_prediction)[0])


def main() -> None:
    """Write `scorer.yaml`."""
    boxes, surveys = Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]]
    lessons, photos = box_lessons(boxes)
    allowed = [
        (lesson, int(row.width), int(row.height))
        for lesson, row in zip(lessons, photos.itertuples(index=False), strict=True)
        if may_teach(row.licence)
    ]
    real = [lesson for lesson, _, _ in allowed]
    real += [piece for lesson, width, height in allowed for piece in pieces(lesson, width, height)]
    drawn = [lesson for survey in surveys for lesson in survey_lessons(survey)]
    taught = observe([*real, *drawn], Eyes(Path("data/weights")))
    sources = ", ".join(sorted({row.source for row in photos.itertuples() if may_teach(row.licence)}))
    write_text(
        TREES,
        write_scorer(
            train_scorer(taught),
            "Trees that tell animals among proposals, float32 in base64. Made by scorer_training.py; no photo in it.\n"
            f"From {len(allowed)} photos with boxes ({sources})\n"
            f"and {len(drawn)} of procedural surveys ({', '.join(survey.name for survey in surveys)}).",
        ),
    )


if __name__ == "__main__":
    main()
