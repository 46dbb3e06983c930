"""How much faster is LightGlue on batches of pairs than pair by pair?

    PYTHONPATH=src python benchmarks/lightglue.py --photos PHOTOS --weights data/match_weights/aliked_lightglue

Both ways match the same pairs of the same keypoints with the same network. Pair by pair is how kornia's `LightGlue` is
called, with its own early stopping and pruning (`adaptive`) or with neither (`full`); batches are also matched in half
precision, with pairs given up (`give_up`), and with kornia's layers as they are (`kornia_layers`), by which pairs are
given up as they once were: by five of all keypoints after two layers. The ways take turns within one run; what counts
are the ratios, on a machine that does nothing else (seconds of CPU, of all threads together, depend less on that).
`agreement` is the share of matches above the confidence that both ways find.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from pelage.common.files import write_json
from pelage.common.images import read_image, to_rgb
from pelage.matching.learned import lightglue
from pelage.matching.learned.features import SPARE, LearnedFeatures, extract, load_detector
from pelage.matching.learned.lightglue import Effort, PairMatches, load_lightglue, match_pairs, rounded_count
from pelage.matching.learned.rematchers import DEFAULTS
from pelage.model.compute import prepare

CONFIDENCE = 0.5


def timed(way: Callable) -> tuple[object, np.ndarray]:
    """Return the result of `way()`, and its seconds of wall clock and of CPU."""
    before = np.array([time.perf_counter(), time.process_time()])
    result = way()
    return result, np.array([time.perf_counter(), time.process_time()]) - before


def one_by_one(network: torch.nn.Module, pairs: list[tuple[LearnedFeatures, LearnedFeatures]]) -> list[PairMatches]:
    """Match each pair by kornia's own `forward`."""
    device, results = next(network.parameters()).device, []
    with torch.inference_mode():
        for pair in pairs:
            data = {}
            for name, features in zip(("image0", "image1"), pair, strict=True):
                count = rounded_count(len(features))
                data[name] = {
                    "keypoints": torch.from_numpy(features.xy[:count])[None].to(device),
                    "descriptors": torch.from_numpy(features.descriptors[:count].astype(np.float32))[None].to(device),
                    "image_size": torch.tensor([features.size]).to(device),
                }
            found = network(data)
            places = found["matches"][0].cpu().numpy()
            results.append(PairMatches(places[:, 0], places[:, 1], found["scores"][0].cpu().numpy()))
    return results


class KorniaLayer:
    """A layer of kornia's under autocast, with the methods of `layers.Layer`."""

    def __init__(self, layer: torch.nn.Module, dtype: torch.dtype) -> None:
        self.layer, self.dtype = layer, dtype

    def __call__(self, points: tuple, encodings: tuple) -> tuple:
        return self.between(*map(self.within, points, encodings))

    def within(self, points: torch.Tensor, encoding: torch.Tensor) -> torch.Tensor:
        with torch.autocast(points.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.layer.self_attn(points, encoding)

    def between(self, first: torch.Tensor, second: torch.Tensor) -> tuple:
        with torch.autocast(first.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return tuple(side.float() for side in self.layer.cross_attn(first, second))


@contextmanager
def kornia_layers() -> Iterator[None]:
    """Have `match_pairs` run kornia's layers, look at a crop anew in each pair, and judge pairs once."""

    def prepare(network: torch.nn.Module, dtype: torch.dtype) -> list[KorniaLayer]:
        return [KorniaLayer(layer, dtype) for layer in network.transformers]

    with (
        patch.object(lightglue, "prepare_layers", prepare),
        patch.object(lightglue, "KEPT", 0),
        patch.object(lightglue, "JUDGED", ()),
    ):
        yield


def agreement(first: list[PairMatches], second: list[PairMatches]) -> float:
    """Return the matches above `CONFIDENCE` that both lists have, as a share of those that either has."""
    both = either = 0
    for pair in zip(first, second, strict=True):
        left, right = (
            set(zip(sure.query.tolist(), sure.candidate.tolist(), strict=True))
            for sure in (found.only(found.confidence > CONFIDENCE) for found in pair)
        )
        both, either = both + len(left & right), either + len(left | right)
    return both / max(either, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of crops, searched through")
    parser.add_argument("--weights", type=Path, required=True, help="folder that match_weights made")
    parser.add_argument("--features", default="aliked")
    parser.add_argument("-q", type=int, default=4, help="number of queries")
    parser.add_argument("-g", type=int, default=8, help="number of candidates of each")
    parser.add_argument("--keypoints", type=int, default=512)
    parser.add_argument("--side", type=int, default=600)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/lightglue.json"))
    arguments = parser.parse_args()
    device = prepare("auto", arguments.threads)
    files = sorted(path for path in arguments.photos.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    files = files[:: max(len(files) // (arguments.q + arguments.g), 1)][: arguments.q + arguments.g]
    detector = load_detector(arguments.features, arguments.weights, SPARE * arguments.keypoints, device)

    def find() -> list[LearnedFeatures]:
        images = [to_rgb(read_image(file)) for file in files]
        masks = [np.full(image.shape[:2], 255, np.uint8) for image in images]
        sizes = arguments.side, arguments.keypoints
        return [extract(image, mask, detector, *sizes, device) for image, mask in zip(images, masks, strict=True)]

    crops, finding = timed(find)
    pairs = [(query, candidate) for query in crops[: arguments.q] for candidate in crops[arguments.q :]]
    sides = [[pair[side] for pair in pairs] for side in (0, 1)]
    network = load_lightglue(arguments.features, arguments.weights, device)
    full = copy.deepcopy(network)
    full.conf.depth_confidence = full.conf.width_confidence = -1

    def batched(adaptive: bool, half: bool, give_up: int = 0) -> list[PairMatches]:
        return match_pairs(network, *sides, Effort(arguments.batch, adaptive, give_up, DEFAULTS["glance"], half))

    def by_kornia(adaptive: bool, half: bool, give_up: int = 0) -> list[PairMatches]:
        with kornia_layers():
            return match_pairs(network, *sides, Effort(arguments.batch, adaptive, give_up, arguments.keypoints, half))

    ways = {
        "adaptive_one_by_one": lambda: one_by_one(network, pairs),
        "adaptive_batched": lambda: batched(adaptive=True, half=False),
        "adaptive_batched_half": lambda: batched(adaptive=True, half=True),
        "adaptive_batched_half_give_up": lambda: batched(adaptive=True, half=True, give_up=DEFAULTS["give_up"]),
        "adaptive_batched_half_kornia_layers": lambda: by_kornia(adaptive=True, half=True),
        "adaptive_batched_half_give_up_kornia_layers": lambda: by_kornia(adaptive=True, half=True, give_up=5),
        "full_one_by_one": lambda: one_by_one(full, pairs),
        "full_batched": lambda: batched(adaptive=False, half=False),
        "full_batched_half": lambda: batched(adaptive=False, half=True),
        "full_batched_half_kornia_layers": lambda: by_kornia(adaptive=False, half=True),
    }
    found, seconds = {}, {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way, run in ways.items():
            found[way], spent = timed(run)
            seconds[way].append(spent / len(pairs))
    best = {way: np.min(spent, axis=0) for way, spent in seconds.items()}
    result = {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "features": arguments.features,
        "keypoints": round(float(np.mean([len(features) for features in crops])), 1),
        "pairs": len(pairs),
        "batch": arguments.batch,
        "seconds_per_crop_for_keypoints": np.round(finding / len(crops), 4).tolist(),
        **{f"{way}_pairs_per_second": round(1 / spent[0], 2) for way, spent in best.items()},
        **{f"{way}_cpu_seconds_per_pair": round(spent[1], 4) for way, spent in best.items()},
    }
    for kind in ("adaptive", "full"):
        one = f"{kind}_one_by_one"
        for many in (way for way in ways if way.startswith(f"{kind}_batched")):
            ratio = np.round(best[one] / best[many], 2)
            result |= {f"{many}_ratio": ratio[0], f"{many}_ratio_of_cpu": ratio[1]}
            result[f"{many}_agreement"] = round(agreement(found[one], found[many]), 4)
    write_json(arguments.out, result)
    told = ", ".join(f"{way} {result[f'{way}_ratio']} x" for way in ways if f"{way}_ratio" in result)
    print(f"as fast as pair by pair: {told}")


if __name__ == "__main__":
    main()
