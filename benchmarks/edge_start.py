"""Does an edge channel that starts as the red filters teach more than one that starts at nothing?

    PYTHONPATH=src python benchmarks/edge_start.py --data data

The leopard study widens the first convolution by a copy of its red filters (`model.edge_filters: red`); zeros start the
network as the pretrained one, and on few photos the edge channel stays nearly unused. One variant is trained both ways,
and without the channel, with the seeds that are asked for, all else equal. Told are top-1 and mAP by flank on each
protocol, and how much a network looks at the channel: the mean cosine between embeddings of crops with their edges and
with none. About a minute a training on two CPU cores that do nothing else.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reflections import searched

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.matching.search.cosine import read_rules
from pelage.model.backbone import EDGE_FILTERS, read_weights, weights_file
from pelage.model.compute import prepare
from pelage.model.crops import VIEWS, present, read_crops
from pelage.model.embedder import Embedder
from pelage.model.embeddings import embed_images
from pelage.split.protocols import ProtocolSet, protocol_sets, read_split
from pelage.training.dataset import training_data
from pelage.training.loop import train
from pelage.training.variant import Variant, for_each_seed, read_variant

NO_EDGES = "no edges"


def started(variant: Variant, start: str) -> Variant:
    """Return the variant with edge filters that start so, or on the same crops without an edge channel."""
    if start == NO_EDGES:
        view = variant.view.removesuffix("_edge")
        return replace(variant, view=view, channels=VIEWS[view])
    return replace(variant, model={**variant.model, "edge_filters": start})


def learn(
    variant: Variant, protocol: ProtocolSet, data: Path, params: dict[str, Any]
) -> tuple[Embedder, torch.device, dict[str, Any]]:
    """Train once, and return the network, where it is, and how long that took.

    Args:
        variant: One training.
        protocol: Its gallery is learnt, its queries choose the epoch.
        data: Folder of a pipeline run.
        params: Parameters.
    """
    device = prepare(params["compute"]["device"], params["compute"]["threads"])
    crops, masks = (Packs(data / kind / variant.part, data) for kind in (f"views/{variant.view}", "masks"))
    learnt, _ = training_data(variant, protocol, crops, masks)
    weights, before = weights_file(variant.model), time.perf_counter()
    tensors = None if weights is None else read_weights(weights, variant.model["rename"])
    result = train(variant, learnt, tensors, device, params["embed"]["batch"], None)
    told = {"seconds": round(time.perf_counter() - before, 1), "best_epoch": result.best_epoch}
    network = Embedder(variant.model, variant.channels)
    network.load_state_dict(result.state)
    return network.to(device), device, told


def trained(variant: Variant, data: Path, params: dict[str, Any]) -> dict[str, Any]:
    """Train once; return scores and what the edge channel does."""
    split = read_split(data / "split.csv")
    network, device, told = learn(variant, protocol_sets(split, variant.part)["validation"], data, params)
    crops = Packs(data / "views" / variant.view / variant.part, data)
    wanted = split.loc[(split["part"] == variant.part) & (split["subset"] != "none"), "crop_id"]
    ids = present(wanted, crops)
    images, _ = read_crops(ids, crops, variant.channels, variant.model["width"], variant.model["height"])
    points = embed_images(network, images, params["embed"]["batch"], device)
    told["scores"] = searched(split, ids, points, read_rules(params))
    if variant.channels == 4:
        images[..., 3] = 0
        without = embed_images(network, images, params["embed"]["batch"], device)
        told["cosine_without_edges"] = round(float((points * without).sum(axis=1).mean()), 4)
        told["scores_without_edges"] = searched(split, ids, without, read_rules(params))
    return told


def means(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return top-1 and mAP of each start and protocol, over seeds, with their standard deviations."""
    told: dict[str, Any] = {}
    for start, seeds in runs.items():
        told[start] = {}
        for protocol in next(iter(seeds.values()))["scores"]:
            for name in ("top1", "map"):
                values = [run["scores"][protocol][name] for run in seeds.values()]
                spread = np.std(values, ddof=min(1, len(values) - 1))
                own = {name: round(float(np.mean(values)), 4), f"{name}_sd": round(float(spread), 4)}
                told[start].setdefault(protocol, {}).update(own)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a pipeline run")
    parser.add_argument("--variant", default="adaptive_cosface", help="a variant of a view with edges")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, help="by default those of params.yaml")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/edge_start.json"))
    arguments = parser.parse_args()
    params = read_params()
    variant = read_variant(params, arguments.variant)
    settings = {**variant.train, "seeds": arguments.seeds, "epochs": arguments.epochs or variant.train["epochs"]}
    runs: dict[str, dict[str, Any]] = {start: {} for start in (*EDGE_FILTERS, NO_EDGES)}
    for seed, training in for_each_seed(replace(variant, train=settings)).items():
        for start in runs:
            runs[start][str(seed)] = told = trained(started(training, start), arguments.data, params)
            print(f"seed {seed}, {start}: {told}", flush=True)
        result = {"variant": arguments.variant, "epochs": settings["epochs"], "runs": runs, "mean": means(runs)}
        write_json(arguments.out, result)
    for start, scores in result["mean"].items():
        print(f"{start}: closed mAP {scores['closed']['map']} +- {scores['closed']['map_sd']}")


if __name__ == "__main__":
    main()
