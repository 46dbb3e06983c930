"""How well do our edge maps agree with those that the leopard study published, and what makes the difference?

    PYTHONPATH=src python benchmarks/edges_agreement.py --data FOLDER --weights data/weights/u2netp.onnx

FOLDER holds `images/<flank>/*.jpg` and `published_edges/<flank>/*.png` (36 flanks of acse-dc1823/spotID). An edge pixel
counts as found if the other map has one within 1 or 2 pixels (the tolerance of BSDS, without one-to-one matching). The
authors cut out with the large U^2-Net after matching each crop's histogram to one photo that is not among these; here
each of a few photos takes that part, and the best one shows how much the unknown photo may explain: it is picked
on the same 36 maps, so it is a bound and no score.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from pelage.common.files import write_json
from pelage.common.images import read_image, to_rgb
from pelage.common.parallel import parallel_map
from pelage.common.params import read_params
from pelage.preprocess.background import cut_out, judge, load_segmenter, match_histogram
from pelage.preprocess.crop import shrink
from pelage.preprocess.edges import canny_edges

REFERENCES = 9
EMPTY = 0.005


def distance_to(edges: np.ndarray) -> np.ndarray:
    """Return each pixel's distance to the nearest edge pixel (far away if there is none)."""
    return cv2.distanceTransform(np.where(edges, 0, 255).astype(np.uint8), cv2.DIST_L2, 5)


def agreement(ours: np.ndarray, theirs: np.ndarray) -> list[float]:
    """Return F1 at 1 pixel, and F1, precision and recall at 2 pixels, of two boolean edge maps."""
    if not ours.any() or not theirs.any():
        return [0.0] * 4
    to_theirs, to_ours = distance_to(theirs)[ours], distance_to(ours)[theirs]
    found = [((to_theirs <= limit).mean(), (to_ours <= limit).mean()) for limit in (1.01, 2.01)]
    f1 = [2 * p * r / (p + r) if p + r else 0.0 for p, r in found]
    return [float(value) for value in (*f1, *found[1])]


def canny(image: np.ndarray, low: float = 55, high: float = 160, mask: np.ndarray | None = None) -> np.ndarray:
    """Return our edges as booleans; with a mask, thresholds are automatic."""
    everywhere = np.ones(image.shape[:2], np.uint8)
    return canny_edges(image, everywhere if mask is None else mask, low, high, mask is not None) > 0


def variants(image: np.ndarray, alpha: np.ndarray) -> dict[str, np.ndarray]:
    """Return the edge maps of one crop by each way of drawing them that needs no reference."""
    nobg, mask = cut_out(image, alpha, "black"), alpha >= 128
    grey = cv2.cvtColor(nobg, cv2.COLOR_RGB2GRAY)
    small = shrink(nobg, 512)
    small_edges = canny(small).astype(np.uint8)
    return {
        "default": canny(nobg),
        "background kept": canny(image),
        "mask cut hard at 128": canny(np.where(mask[:, :, None], image, 0).astype(np.uint8)),
        "edges first, mask after (no outline)": canny(image) & mask,
        "no blur": cv2.Canny(grey, 55, 160) > 0,
        "thresholds 30/90": canny(nobg, 30, 90),
        "thresholds 80/230": canny(nobg, 80, 230),
        "thresholds automatic": canny(nobg, mask=mask),
        "crop scaled down to 512": cv2.resize(small_edges, grey.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=Path("data/weights/u2netp.onnx"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/edges_agreement.json"))
    arguments = parser.parse_args()
    params = read_params()["background"]
    segmenter = load_segmenter("u2netp", arguments.weights)

    def alpha(image: np.ndarray) -> np.ndarray:
        opacity = segmenter.alpha(image)
        whole = np.ones(opacity.shape, bool)
        fallback = judge(opacity >= 128, whole, ~whole, False, params)[1]
        return np.full_like(opacity, 255) if fallback else opacity

    names = sorted(
        str(path.relative_to(arguments.data / "published_edges").with_suffix(""))
        for path in (arguments.data / "published_edges").glob("*/*.png")
    )
    images = {name: to_rgb(read_image(arguments.data / "images" / f"{name}.jpg")) for name in names}
    theirs = {name: read_image(arguments.data / "published_edges" / f"{name}.png") > 0 for name in names}
    alphas = dict(zip(names, parallel_map(alpha, images.values()), strict=True))

    def score_plain(name: str) -> dict[str, list[float]]:
        found = variants(images[name], alphas[name]).items()
        return {variant: agreement(edges, theirs[name]) for variant, edges in found}

    scores = dict(zip(names, parallel_map(score_plain, names), strict=True))

    def score_reference(pair: tuple[str, str]) -> list[float]:
        matched = match_histogram(images[pair[1]], images[pair[0]])
        return agreement(canny(cut_out(matched, alphas[pair[1]], "black")), theirs[pair[1]])

    references = names[:: -(-len(names) // REFERENCES)]
    pairs = [(reference, name) for reference in references for name in names]
    matched = np.array(list(parallel_map(score_reference, pairs))).reshape(len(references), len(names), -1)
    means = matched[:, :, 1].mean(1)
    best = references[int(means.argmax())]

    def score_best(name: str) -> list[float]:
        image = match_histogram(images[name], images[best])
        return agreement(canny(cut_out(image, alpha(image), "black")), theirs[name])

    for name, row, full in zip(names, matched[means.argmax()], parallel_map(score_best, names), strict=True):
        scores[name]["histogram matched to the best of the photos, mask of the unmatched crop"] = row.tolist()
        scores[name]["histogram matched to the best of the photos, as the authors do"] = full

    drawn = [name for name in names if theirs[name].mean() >= EMPTY]
    keys = ["f1_1px", "f1_2px", "precision_2px", "recall_2px"]
    table = {
        variant: {
            **dict(zip(keys, np.mean([scores[name][variant] for name in names], 0).round(4).tolist(), strict=True)),
            "median_f1_2px": round(float(np.median([scores[name][variant][1] for name in names])), 4),
            "f1_2px_of_others": round(float(np.mean([scores[name][variant][1] for name in drawn])), 4),
        }
        for variant in scores[names[0]]
    }
    chosen = {"default": "default", "matched": "histogram matched to the best of the photos, as the authors do"}
    result = {
        "photos": len(names),
        "published_empty": sorted(set(names) - set(drawn)),
        "mean": table,
        "f1_2px_by_reference": dict(zip(references, means.round(4).tolist(), strict=True)),
        "f1_2px_by_photo": {
            name: {key: round(scores[name][variant][1], 4) for key, variant in chosen.items()} for name in names
        },
    }
    write_json(arguments.out, result)
    for variant, row in table.items():
        print(f"{variant:75s}", *(f"{key} {value:.3f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
