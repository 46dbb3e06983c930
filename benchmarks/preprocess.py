"""How much faster is our preprocessing than a plain loop over rembg's `remove()`?

    PYTHONPATH=src python benchmarks/preprocess.py --photos FOLDER -n 40

Both ways read photos, scale them to `crop.max_side`, cut out the animal, draw Canny's edges, and write the same five
PNGs a photo, ours into packs: crop, mask, view without background, and both with edges. The plain way goes photo by
photo, with rembg's u2netp session as rembg makes it (its network uses all cores) and with a session of one thread. The
ways take turns within one run, on the same photos; what counts are the ratios, on a machine that does nothing else
(seconds of CPU, of all threads together, depend less on that).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pandas as pd
from PIL import Image

from pelage.common.files import write_json
from pelage.common.packs import Packer, Packs, packed_folder
from pelage.common.parallel import cores
from pelage.common.params import read_params
from pelage.common.tables import crop_file
from pelage.preprocess.background import load_segmenter, mask_iou, remove_backgrounds
from pelage.preprocess.crop import crop_photos
from pelage.preprocess.edges import draw_edges

FOLDERS = ["crop", "masks", "nobg", "crop_edge", "nobg_edge"]


def plain(paths: list[Path], folder: Path, session, max_side: int) -> None:
    """Write the five images of each photo with rembg and OpenCV, as one would write it in a notebook."""
    import rembg

    for number, path in enumerate(paths):
        crop = cv2.imread(str(path))
        scale = max_side / max(crop.shape[:2])
        if scale < 1:
            crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cutout = rembg.remove(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), session=session)
        nobg = cv2.cvtColor(cutout[:, :, :3], cv2.COLOR_RGB2BGR)
        edges = cv2.Canny(cv2.GaussianBlur(cv2.cvtColor(nobg, cv2.COLOR_BGR2GRAY), (5, 5), 0), 55, 160)
        mask = np.where(cutout[:, :, 3] >= 128, 255, 0).astype(np.uint8)
        images = [crop, mask, nobg, np.dstack([crop, edges]), np.dstack([nobg, edges])]
        for name, image in zip(FOLDERS, images, strict=True):
            cv2.imwrite(str(folder / name / f"{number}.png"), image)


def ours(paths: list[Path], root: Path, folder: Path, segmenter, params: dict) -> None:
    """Write the same images by the functions that the stages crop, background and edges call, nothing memoised yet."""
    boxes = [(str(number), str(number), 0, 0, 1e6, 1e6) for number in range(len(paths))]  # clipped to the photo
    detections = pd.DataFrame(boxes, columns=["crop_id", "image_id", "x", "y", "w", "h"])
    names = {str(number): str(path.relative_to(root)) for number, path in enumerate(paths)}
    with packed(folder, "crop") as crops:
        crop_photos(detections, names, root, crops, 0.0, params["crop"]["max_side"])
    crops = Packs(folder / "crop", folder)
    with packed(folder, "masks") as masks, packed(folder, "nobg") as views:
        remove_backgrounds(crops, masks, views, segmenter, params["background"], folder / "memo")
    masks, views = Packs(folder / "masks", folder), Packs(folder / "nobg", folder)
    with packed(folder, "crop_edge") as crop_edge, packed(folder, "nobg_edge") as nobg_edge:
        draw_edges(crops, views, masks, crop_edge, nobg_edge, params["edges"], Path("unused"), folder / "memo")


def packed(folder: Path, name: str) -> AbstractContextManager[Packer]:
    return packed_folder(folder / name, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("-n", type=int, default=40, help="number of photos")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", type=Path, default=Path("data/weights/u2netp.onnx"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/preprocess.json"))
    arguments = parser.parse_args()
    params = read_params()
    params["background"] |= {"min_cover": 0, "max_cover": 1}  # rembg has no fall-back
    readable = [path for path in sorted(arguments.photos.rglob("*.*")) if whole(path)]
    paths = readable[:: max(len(readable) // arguments.n, 1)][: arguments.n]

    os.environ["U2NET_HOME"] = str(arguments.weights.parent)
    from rembg import new_session

    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = one_thread.inter_op_num_threads = 1
    sessions = {"rembg": new_session("u2netp"), "rembg_one_thread": new_session("u2netp", sess_opts=one_thread)}
    segmenter = load_segmenter("u2netp", arguments.weights)
    side = params["crop"]["max_side"]
    ways = {name: lambda paths, folder, s=s: plain(paths, folder, s, side) for name, s in sessions.items()}
    ways["ours"] = lambda paths, folder: ours(paths, arguments.photos, folder, segmenter, params)

    seconds: dict[str, list[float]] = {name: [] for name in ways}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(-1, arguments.rounds):  # the first one only warms up
        with tempfile.TemporaryDirectory() as temporary:
            for name, way in ways.items():
                for folder in FOLDERS:
                    (Path(temporary) / name / folder).mkdir(parents=True)
                start, cpu_start = time.perf_counter(), time.process_time()
                way(paths if round_number >= 0 else paths[:2], Path(temporary) / name)
                if round_number >= 0:
                    seconds[name].append((time.perf_counter() - start) / len(paths))
                    cpu_seconds[name].append((time.process_time() - cpu_start) / len(paths))
            mine = Packs(Path(temporary) / "ours/masks", Path(temporary) / "ours")
            masks = [
                (cv2.imread(f"{temporary}/rembg/masks/{n}.png", 0) > 0, mine.image(crop_file(str(n))) > 0)
                for n in range(2 if round_number < 0 else len(paths))
            ]
    result = {
        "photos": len(paths),
        "cores": cores(),
        "rounds": arguments.rounds,
        "seconds_a_photo": {name: round(float(np.median(values)), 4) for name, values in seconds.items()},
        "cpu_seconds_a_photo": {name: round(float(np.median(values)), 4) for name, values in cpu_seconds.items()},
        "speed_over_rembg": ratio(seconds["rembg"], seconds["ours"]),
        "speed_over_rembg_one_thread": ratio(seconds["rembg_one_thread"], seconds["ours"]),
        "least_mask_iou": round(float(min(mask_iou(left, right) for left, right in masks if left.any())), 4),
    }
    write_json(arguments.out, result)
    print(result)


def whole(path: Path) -> bool:
    """Return whether a photo can be read to its end."""
    try:
        Image.open(path).load()
    except OSError:
        return False
    return True


def ratio(plain_seconds: list[float], our_seconds: list[float]) -> float:
    """Return the median over rounds of how many times longer the plain way took."""
    return round(float(np.median(np.divide(plain_seconds, our_seconds))), 3)


if __name__ == "__main__":
    main()
