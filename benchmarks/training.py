"""How many photos a second does a network learn from, by our loop and by a plain one?

    PYTHONPATH=src python benchmarks/training.py --data data --variant adaptive_cosface_crop

The plain loop is the one of tutorials: a Dataset that opens each crop with PIL, torchvision's transforms of the same
kinds and strengths as ours, a DataLoader with worker processes, float32. Both ways train the same network with the same
loss and optimizer, on the same crops, in batches of the same size, each in a process of its own. They take turns, an
epoch each; what counts is the ratio, on a machine that does nothing else (seconds of CPU, of all threads and workers
together, depend less on that). Ours reads all crops once before the first epoch: a share of that time, as large as an
epoch's share of the whole training, is counted with each epoch.

On a GPU, where an epoch may take less than a second, `--epochs` of them make a turn, and `gpu_busy` is the mean of what
the driver tells of the time in which a kernel ran (NVML, ten times a second).
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.parallel import cores
from pelage.common.params import read_params
from pelage.common.tables import crop_file
from pelage.losses.registry import create_loss
from pelage.model.backbone import load_weights, read_weights, weights_file
from pelage.model.compute import prepare
from pelage.model.embedder import CHANNEL_MEAN, CHANNEL_STD, Embedder
from pelage.split.protocols import protocol_sets, read_split
from pelage.training.dataset import TrainingData, training_data
from pelage.training.loop import _Trainer
from pelage.training.sampler import epoch_batches
from pelage.training.variant import Variant, for_each_seed, read_variant

WAYS = ("pelage", "plain")


class Crops(Dataset):
    """Crops as a tutorial reads them."""

    def __init__(self, crops: Packs, files: list[str], labels: np.ndarray, transform: v2.Transform) -> None:
        self.crops, self.files, self.labels, self.transform = crops, files, labels, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        image = Image.open(BytesIO(self.crops.read(self.files[place]))).convert("RGB")
        return self.transform(image), int(self.labels[place])


def transforms(variant: Variant) -> v2.Transform:
    """Return torchvision's transforms that do what section `augment` asks for, but for swapped backgrounds."""
    config, size = variant.augment, (variant.model["height"], variant.model["width"])
    colour = config["colour"]
    return v2.Compose([
        v2.Resize(size),
        v2.RandomRotation(config["rotation"], v2.InterpolationMode.BILINEAR),
        v2.RandomPerspective(config["perspective"], p=1.0),
        v2.RandomResizedCrop(size, ((1 - config["crop"]) ** 2, 1.0), (1.8, 2.2)),
        v2.ColorJitter(colour, colour, colour),
        v2.RandomGrayscale(config["grey"]),
        v2.RandomApply([v2.GaussianBlur(7, (0.4, 1.6))], config["blur"]),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.RandomErasing(config["erase"]),
        v2.Normalize(CHANNEL_MEAN[:3], CHANNEL_STD[:3]),
    ])  # fmt: skip


class Plain:
    """The plain loop."""

    def __init__(
        self, variant: Variant, data: TrainingData, crops: Packs, weights: dict | None, device: torch.device
    ) -> None:
        config = variant.train
        self.device, self.size = device, config["identities_per_batch"] * config["photos_per_identity"]
        files = [crop_file(data.ids[place]) for place in data.train]
        self.loader = DataLoader(
            Crops(crops, files, data.labels, transforms(variant)),
            batch_size=self.size,
            shuffle=True,
            drop_last=True,
            num_workers=config["workers"] or cores(),
            multiprocessing_context="fork",  # as in a script; in a spawned process each worker would import torch anew
            pin_memory=device.type == "cuda",
        )
        network = Embedder(variant.model, 3)
        if weights is not None:
            load_weights(network.backbone, weights)
        network.mean.zero_(), network.std.fill_(1)  # torchvision has normalised
        self.network = network.to(device)
        self.loss = create_loss(variant.loss, int(data.labels.max()) + 1, variant.model["dim"]).to(device)
        learnt = [*self.network.parameters(), *self.loss.parameters()]
        self.optimizer = torch.optim.AdamW(learnt, config["lr"], weight_decay=config["weight_decay"])

    def run_epoch(self) -> int:
        """Learn from each crop once, and return how many that were."""
        self.network.train()
        for images, labels in self.loader:
            loss = self.loss(self.network(images.to(self.device)), labels.to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()
        return len(self.loader) * self.size


class Ours:
    """Our loop, without validation."""

    def __init__(self, variant: Variant, data: TrainingData, weights: dict | None, device: torch.device) -> None:
        config, self.data = variant.train, data
        self.batches = [config[key] for key in ("identities_per_batch", "photos_per_identity", "seed")]
        self.sampler = config["sampler"]
        self.trainer = _Trainer(variant, dataclasses.replace(data, validation=None), weights, device, 0)

    def run_epoch(self) -> int:
        """Learn for one epoch, and return of how many crops."""
        batches = epoch_batches(self.sampler, self.data.labels, self.data.encounters, *self.batches, self.trainer.epoch)
        self.trainer.run_epoch()
        return sum(map(len, batches))


def spent() -> np.ndarray:
    """Return seconds of wall clock, and of CPU of this process and of its workers that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)])


class Busy:
    """Within it the GPU is asked again and again in how much of the time it worked; `share` is the mean."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.told, self.done = device, [], threading.Event()

    def __enter__(self) -> Busy:
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.thread.join()

    def _watch(self) -> None:
        while self.device.type == "cuda" and not self.done.wait(0.1):
            self.told.append(torch.cuda.utilization())

    @property
    def share(self) -> float | None:
        return round(float(np.mean(self.told[3:])) / 100, 3) if self.told[3:] else None  # the first tell of before


def learn(way: str, folder: Path, name: str, size: tuple[int, int], epochs: int) -> Iterator[dict]:
    """Set up one way to train, then yield what each turn of some epochs cost a photo."""
    params = read_params()
    device = prepare(params["compute"]["device"], params["compute"]["threads"])
    variant = next(iter(for_each_seed(read_variant(params, name)).values()))
    model = variant.model | dict(zip(("width", "height"), size, strict=True))
    variant = dataclasses.replace(variant, model=model, augment=variant.augment | {"background": 0.0})
    file = weights_file(variant.model)
    weights = None if file is None else read_weights(file)
    crops, masks = (Packs(folder / kind / variant.part, folder) for kind in (f"views/{variant.view}", "masks"))
    split = protocol_sets(read_split(folder / "split.csv"), variant.part)["validation"]
    before = spent()
    data, _ = training_data(variant, split, crops, masks)
    reading = (spent() - before) / variant.train["epochs"] if way == "pelage" else np.zeros(2)
    loop = Ours(variant, data, weights, device) if way == "pelage" else Plain(variant, data, crops, weights, device)
    while True:
        before = spent()
        with Busy(device) as busy:
            photos = sum(loop.run_epoch() for _ in range(epochs))
        seconds = (spent() - before + epochs * reading) / photos
        memory = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
        if way == "plain":
            memory["largest_worker"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        if device.type == "cuda":
            memory["gpu"] = torch.cuda.max_memory_allocated() // 2**20
        name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
        yield {"seconds": seconds, "photos": photos // epochs, "device": name, "memory": memory, "busy": busy.share}


_epochs: Iterator[dict]


def _begin(*arguments: object) -> None:
    global _epochs
    _epochs = learn(*arguments)


def _epoch() -> dict:
    return next(_epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a pipeline run")
    parser.add_argument("--variant", default="adaptive_cosface_crop", help="a variant of three channels")
    parser.add_argument("--size", type=int, nargs=2, help="width and height in place of the variant's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1, help="of a turn")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/training.json"))
    arguments = parser.parse_args()
    model = read_variant(read_params(), arguments.variant).model
    size = tuple(arguments.size or (model["width"], model["height"]))
    told: dict[str, list[dict]] = {way: [] for way in WAYS}
    arguments_of_all = arguments.data, arguments.variant, size, arguments.epochs
    pools = {way: ProcessPoolExecutor(1, get_context("spawn"), _begin, (way, *arguments_of_all)) for way in WAYS}
    for _ in range(arguments.rounds + 1):
        for way, pool in pools.items():
            told[way].append(pool.submit(_epoch).result())
    for pool in pools.values():
        pool.shutdown()
    seconds = {way: np.median([epoch["seconds"] for epoch in told[way][1:]], axis=0) for way in WAYS}  # first: warms up
    ratio = seconds["plain"] / seconds["pelage"]
    result = {
        "device": told["pelage"][0]["device"],
        "cores": cores(),
        "backbone": model["backbone"],
        "size": list(size),
        "photos_an_epoch": {way: told[way][-1]["photos"] for way in WAYS},
        "rounds": arguments.rounds,
        "photos_a_second": {way: round(1 / spent[0], 1) for way, spent in seconds.items()},
        "cpu_seconds_a_photo": {way: round(spent[1], 5) for way, spent in seconds.items()},
        "ratio": round(ratio[0], 2),
        "ratio_of_cpu": round(ratio[1], 2),
        "gpu_busy": {way: told[way][-1]["busy"] for way in WAYS},
        "peak_memory_mib": {way: told[way][-1]["memory"] for way in WAYS},
    }
    write_json(arguments.out, result)
    print(f"our loop learns from {result['ratio']} x as many photos a second ({result['ratio_of_cpu']} x in CPU)")


if __name__ == "__main__":
    main()
