"""How much faster does the stage embed show crops to a network than a plain loop?

    PYTHONPATH=src python benchmarks/embedding.py --data data -n 400

The plain way is that of torchvision's tutorials: a `DataLoader`, Pillow, `Resize`, `ToTensor`, `Normalize`, and the
same network in float32 on batches of the same size, with as many threads. It is tried without workers and with one a
core, and the ratios are those to the faster. Each way has a process of its own, because ours sets torch up. They take
turns within one run; what counts are the ratios, on a machine that does nothing else. On a busy one, threads that wait
for each other burn time, so give `--threads 1` there and look at the seconds of CPU (of all threads and workers).
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from pelage.common.files import write_json
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.parallel import cores
from pelage.common.params import read_params
from pelage.model.compute import prepare
from pelage.model.embedder import CHANNEL_MEAN, CHANNEL_STD, Embedder
from pelage.model.export import embed_crops


class Crops(Dataset):
    """Crops as a tutorial reads them."""

    def __init__(self, crops: Packs, files: Sequence[str], width: int, height: int) -> None:
        self.crops, self.files = crops, files
        self.transform = transforms.Compose(
            [
                transforms.Resize((height, width)),
                transforms.ToTensor(),
                transforms.Normalize(CHANNEL_MEAN[:3], CHANNEL_STD[:3]),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> torch.Tensor:
        return self.transform(Image.open(BytesIO(self.crops.read(self.files[place]))).convert("RGB"))


def network(config: Mapping[str, Any]) -> Embedder:
    torch.manual_seed(1)
    return Embedder(config, 3).eval()


def plain(packs: Packs, files: Sequence[str], params: Mapping[str, Any], workers: int) -> np.ndarray:
    """Embed crops as one would in a notebook."""
    config = params["model"]
    torch.set_num_threads(params["compute"]["threads"])
    model = network(config)
    crops = Crops(packs, files, config["width"], config["height"])
    forked = "fork" if workers else None  # in a process that was spawned, workers would be too, and import all again
    loader = DataLoader(crops, params["embed"]["batch"], num_workers=workers, multiprocessing_context=forked)
    points = []
    with torch.no_grad():
        for images in loader:
            features = model.backbone.forward_features(images)
            points.append(normalize(model.head(model.pooling(features))).numpy())
    return np.concatenate(points)


def ours(packs: Packs, files: Sequence[str], params: Mapping[str, Any]) -> np.ndarray:
    """Embed crops as the stage does, memo on disk included."""
    device = prepare("cpu", params["compute"]["threads"])
    about = {"channels": 3, "part": "flank", "model": params["model"]}
    with tempfile.TemporaryDirectory() as cache:
        ids = [file.removesuffix(".png").replace("~", "#") for file in files]
        memo = Memo("embeddings", 1, [], Path(cache))
        return embed_crops(network(params["model"]), about, ids, packs, params["embed"], device, memo)


WAYS = {"ours": ours, "plain": partial(plain, workers=0), "plain_with_workers": partial(plain, workers=cores())}


def timed(
    way: str, packs: Packs, files: Sequence[str], params: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the points, the seconds of wall clock and of CPU, and the largest memory so far in MiB."""
    before = np.array([time.perf_counter(), sum(os.times()[:4])])
    points = WAYS[way](packs, files, params)
    seconds = np.array([time.perf_counter(), sum(os.times()[:4])]) - before
    return points, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a pipeline run")
    parser.add_argument("-n", type=int, default=400, help="number of crops")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch; by default those of params.yaml")
    parser.add_argument("--size", type=int, nargs=2, help="width and height; by default those of params.yaml")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/embedding.json"))
    arguments = parser.parse_args()
    params = read_params()
    if arguments.size:
        params["model"] |= dict(zip(("width", "height"), arguments.size, strict=True))
    params["compute"]["threads"] = arguments.threads or params["compute"]["threads"] or cores()
    packs = Packs(arguments.data / "views/crop/flank", arguments.data)
    files = packs.names()[: arguments.n]
    spent: dict[str, list] = {way: [] for way in WAYS}
    points, memory = {}, {}
    pools = {way: ProcessPoolExecutor(1, get_context("spawn")) for way in spent}
    for way, pool in pools.items():  # imports, and files into the cache of the system
        pool.submit(timed, way, packs, files, params).result()
    for _ in range(arguments.rounds):
        for way, pool in pools.items():
            points[way], seconds, memory[way] = pool.submit(timed, way, packs, files, params).result()
            spent[way].append(seconds / len(files))
    for pool in pools.values():
        pool.shutdown()
    best = {way: np.min(seconds, axis=0) for way, seconds in spent.items()}
    ratio = np.minimum(best["plain"], best["plain_with_workers"]) / best["ours"]
    model = params["model"]
    result = {
        "cores": cores(),
        "threads": params["compute"]["threads"],
        "crops": len(files),
        "backbone": model["backbone"],
        "width": model["width"],
        "height": model["height"],
        "batch": params["embed"]["batch"],
        **{f"{way}_images_per_second": round(1 / seconds[0], 1) for way, seconds in best.items()},
        **{f"{way}_cpu_seconds_per_image": round(seconds[1], 5) for way, seconds in best.items()},
        **{f"{way}_peak_memory_mib": round(memory[way]) for way in best},
        "ratio": round(ratio[0], 2),
        "ratio_of_cpu": round(ratio[1], 2),
        "median_cosine": round(float(np.median((points["ours"] * points["plain"]).sum(axis=1))), 4),
    }
    write_json(arguments.out, result)
    print(f"embed shows {result['ratio']} x as many crops a second as a plain loop ({result['ratio_of_cpu']} x in CPU)")


if __name__ == "__main__":
    main()
