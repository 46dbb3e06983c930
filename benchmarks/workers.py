"""What do two workers gain over one? Detection and masks of photos, by dask, one thread each.

    PYTHONPATH=src python benchmarks/workers.py --photos FOLDER -n 60

FOLDER and the weights are read, never written. All photos are given to a cluster of one worker process and to one of
two, each with an empty memo, by the functions of the stages detect and background. The clock runs while workers work;
before, a cluster has looked at two other photos, so that what it imports does not count. The bytes of both memos, from
which the stages then take all they write, have to be the same.

The ratio of seconds means something on a machine that does nothing else. Beside it stands that of CPU seconds, of one
worker over the busier one of two: what two free cores would give.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
from distributed import Client

from pelage.common.errors import PelageError
from pelage.common.files import cache_root, sha256_file, write_json
from pelage.common.images import read_image
from pelage.common.packs import Packs, packed_folder
from pelage.common.parallel import cores
from pelage.common.params import read_params
from pelage.common.workers import own_cluster, workers
from pelage.preprocess.background import crop_places, opacities_ahead
from pelage.preprocess.crop import crop_photos
from pelage.preprocess.detect import Settings, animal_tables, detect, detect_ahead, read_settings
from pelage.preprocess.detectors.embedded import NETWORK_LEAST
from pelage.preprocess.detectors.onnx_network import OnnxDetector
from pelage.preprocess.saliency import Saliency
from pelage.preprocess.shared_bands import BAND_COLUMNS, SharedBands

WARMING = 2
BANDS = SharedBands(pd.DataFrame(columns=BAND_COLUMNS))


class Survey:
    """Photos of a folder, and what detects and masks their animals.

    Args:
        folder: Of photos.
        count: How many of them, evenly over those that can be read.
        weights: Folder of the networks.
    """

    def __init__(self, folder: Path, count: int, weights: Path) -> None:
        self.params, self.folder, self.u2netp = read_params(), folder, weights / "u2netp.onnx"
        self.settings: Settings = read_settings(self.params["detect"], {"boxes": "embedded"}, self.params["parts"])
        self.tools = Saliency(self.u2netp), OnnxDetector(weights / "megadetector_lite.onnx", NETWORK_LEAST)
        paths = [path for path in sorted(folder.rglob("*.*")) if cv2.haveImageReader(str(path))]
        paths = paths[:: max(len(paths) // (count + WARMING), 1)][: count + WARMING]
        self.photos = pd.DataFrame([row for path in paths for row in self._row(path)])

    def _row(self, path: Path) -> list[dict[str, Any]]:
        try:
            height, width = read_image(path).shape[:2]
        except PelageError:
            return []
        told = {"image_id": path.stem, "path": str(path.relative_to(self.folder)), "sha256": sha256_file(path)}
        told |= {"width": width, "height": height, "encounter": path.stem}
        return [told | dict.fromkeys(("camera", "place", "station"), "")]

    def asked(self, photos: pd.DataFrame) -> tuple:
        """Return the arguments of `detect`."""
        return photos, {}, self.folder, self.settings, *self.tools, None, BANDS

    def crops(self, photos: pd.DataFrame, data: Path) -> tuple[Packs, dict]:
        """Recall what was detected; cut the crops and return them and their places."""
        tables = animal_tables(photos, detect(*self.asked(photos)), {}, self.params["crop"]["padding"], 1.0)
        paths = dict(zip(photos["image_id"], photos["path"], strict=True))
        with packed_folder(data / "crop", data) as packer:
            crop_photos(tables.detections, paths, self.folder, packer, **self.params["crop"])
        padding = self.params["crop"]["padding"]
        return Packs(data / "crop", data), crop_places(tables.detections, tables.animals, photos, BANDS, padding)


def worked(survey: Survey, count: int, root: Path) -> dict[str, Any]:
    """Give the photos to `count` workers; return seconds, CPU seconds a worker and what is in the memo."""
    with own_cluster(count) as cluster:
        compute = {"backend": "dask", "scheduler": cluster.scheduler_address}
        seconds, used = {}, {}

        def clock(what: str, work, *arguments) -> None:
            with Client(cluster) as client, workers(compute) as ahead:
                before, start = client.run(cpu_seconds), time.perf_counter()
                work(ahead, *arguments)
                seconds[what] = time.perf_counter() - start
                used[what] = [after - before[one] for one, after in client.run(cpu_seconds).items()]

        os.environ["PELAGE_CACHE"] = str(root / "warm")
        with workers(compute) as ahead:
            detect_ahead(ahead, *survey.asked(survey.photos[:WARMING]))
        os.environ["PELAGE_CACHE"] = str(root / "cache")
        photos = survey.photos[WARMING:]
        clock("detect", detect_ahead, *survey.asked(photos))
        crops, places = survey.crops(photos, root)
        given = "u2netp", survey.u2netp, survey.params["background"], places, survey.folder
        clock("masks", opacities_ahead, crops, *given)
    print(count, seconds, used, flush=True)
    memo = {path.relative_to(root): path.read_bytes() for path in cache_root().rglob("*") if path.is_file()}
    return {"seconds": seconds, "cpu_seconds": used, "memo": memo, "crops": len(crops.names())}


def cpu_seconds() -> float:
    """Return the CPU seconds of this process so far."""
    return time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("-n", type=int, default=60, help="number of photos")
    parser.add_argument("--weights", type=Path, default=Path("data/weights"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/workers.json"))
    arguments = parser.parse_args()
    survey = Survey(arguments.photos.resolve(), arguments.n, arguments.weights.resolve())
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        one, two = (worked(survey, count, root / str(count)) for count in (1, 2))
        assert one["memo"] == two["memo"], "two workers have found something else than one"
    alone, shared = (sum(found["seconds"].values()) for found in (one, two))
    cpu_alone = sum(sum(used) for used in one["cpu_seconds"].values())
    busier = sum(max(used) for used in two["cpu_seconds"].values())
    both = sum(sum(used) for used in two["cpu_seconds"].values())
    result = {
        "photos": len(survey.photos) - WARMING,
        "crops": two["crops"],
        "cores": cores(),
        "load_before": round(os.getloadavg()[2], 1),
        "seconds_of_one": {what: round(value, 1) for what, value in one["seconds"].items()},
        "seconds_of_two": {what: round(value, 1) for what, value in two["seconds"].items()},
        "ratio": round(alone / shared, 3),
        "cpu_seconds_of_one": round(cpu_alone, 1),
        "cpu_seconds_of_two": round(both, 1),
        "ratio_of_cpu": round(cpu_alone / busier, 3),
    }
    write_json(arguments.out, result)
    print(result)


if __name__ == "__main__":
    main()
