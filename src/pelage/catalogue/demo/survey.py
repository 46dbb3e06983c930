"""Make the demo survey: photos as camera traps leave them, the tables as a researcher would have them, and the truth.

The truth (boxes, masks, sides, identities of every animal, and where each is at home) goes to a folder of its own, only
ever read to score.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from pelage.catalogue.demo.animal import body
from pelage.catalogue.demo.pattern import Coat, grow_coat
from pelage.catalogue.demo.photo import STRIP, Lens, Light, add_strip, encode_jpeg, expose
from pelage.catalogue.demo.render import HEIGHT, WIDTH, Layer, Place, render
from pelage.catalogue.demo.reserve import CRS, START, Reserve, degrees
from pelage.catalogue.demo.scene import Scene, build_scene
from pelage.catalogue.demo.schedule import (
    HALF_WAY,
    RESET,
    Actor,
    Shot,
    Survey,
    camera_name,
    plan_shots,
    wrong_clock_camera,
)
from pelage.common.files import write_bytes
from pelage.common.images import encode_png, write_png
from pelage.common.parallel import parallel_map
from pelage.common.progress import track
from pelage.common.seeds import generator
from pelage.common.tables import UNKNOWN, write_table

TRUTH_COLUMNS = [
    *("image_id", "animal", "identity", "orientation", "x", "y", "w", "h"),
    *("face_x", "face_y", "face_w", "face_h", "occluded", "mask", "true_date", "encounter"),
]
_COLUMNS = [
    *("image_id", "path", "identity", "date", "camera", "station", "orientation", "bbox", "species", "encounter"),
    "sequence",
]
_FEWEST_PIXELS = 400
"""Of an animal that somebody would notice in a photo."""


class Written(NamedTuple):
    """What a researcher has of a survey.

    Attributes:
        photos: A row a photo, sorted by `image_id`: who is on it (`unknown` where nobody is, and on all photos of the
            last days), the date of the camera's clock from EXIF (empty where there is none), camera, station, and
            `sequence`, the number of the file.
        deployments: A row a stretch in which a camera ran, in the columns of `data/deployments.csv` but `rests_on`.
    """

    photos: pd.DataFrame
    deployments: pd.DataFrame


def write_survey(entry: Mapping[str, Any], photos_folder: Path, truth_folder: Path) -> Written:
    """Make a survey; the same entry gives the same bytes, and more `photos` only add to fewer.

    Args:
        entry: `seed`, `individuals`, `stations`, `days` and `photos`; other keys are not looked at.
        photos_folder: Gets a folder a camera with its JPEG files (some of them damaged).
        truth_folder: Gets `truth.csv`, `masks/`, and `population.csv`: all individuals, photographed or not, with the
            middle of their home range (`x`, `y` in metres of `crs`, latitude, longitude).

    Raises:
        PelageError: A number of `entry` is missing or senseless, or there cannot be so many photos.
    """
    survey = Survey.of(entry)
    shots = plan_shots(survey)
    individuals = sorted({actor.individual for shot in shots for actor in shot.actors})
    cameras = sorted({(shot.station, shot.side) for shot in shots})
    coats = dict(zip(individuals, parallel_map(lambda i: grow_coat(survey.seed, i), individuals), strict=True))
    scenes = dict(zip(cameras, parallel_map(lambda c: build_scene(survey.seed, *c), cameras), strict=True))
    wrong_clock = wrong_clock_camera(survey)

    def make(shot: Shot) -> tuple[dict, list[dict]]:
        late = (shot.station, shot.side) == wrong_clock
        clock = shot.time - (START - RESET) if late else shot.time
        row, animals = _make_photo(survey.seed, shot, clock, coats, scenes, photos_folder, truth_folder)
        return (row if shot.time < reserve.unnamed_from else {**row, "identity": UNKNOWN}), animals

    reserve = survey.reserve
    rows, truth = [], []
    for row, animals in track(parallel_map(make, shots), "demo survey", len(shots)):
        rows.append(row)
        truth += animals
    table = pd.DataFrame(truth, columns=TRUTH_COLUMNS)
    write_table(truth_folder / "truth.csv", table.sort_values(["image_id", "animal"], kind="stable"))
    write_table(truth_folder / "population.csv", _population(reserve))
    photos = pd.DataFrame(rows, columns=_COLUMNS).sort_values("image_id", kind="stable", ignore_index=True)
    return Written(photos, _deployments(reserve))


def _population(reserve: Reserve) -> pd.DataFrame:
    names = [identity(individual) for individual in range(reserve.individuals)]
    places = pd.DataFrame(np.round(reserve.homes, 1), columns=["x", "y"]).assign(crs=CRS)
    places[["latitude", "longitude"]] = degrees(reserve.homes)
    return places.assign(identity=names)[["identity", "x", "y", "crs", "latitude", "longitude"]]


def _deployments(reserve: Reserve) -> pd.DataFrame:
    places = degrees(reserve.places)
    rows = [
        {
            "station": camera_name(*camera)[:-1],
            "camera": camera_name(*camera),
            "latitude": f"{places[camera[0]][0]:.6f}",
            "longitude": f"{places[camera[0]][1]:.6f}",
            "start": begin.isoformat(),
            "end": over.isoformat(),
        }
        for camera, running in sorted(reserve.operation.items())
        for begin, over in running
    ]
    return pd.DataFrame(rows)


def _make_photo(
    seed: int,
    shot: Shot,
    clock: datetime,
    coats: Mapping[int, Coat],
    scenes: Mapping[tuple[int, int], Scene],
    photos_folder: Path,
    truth_folder: Path,
) -> tuple[dict, list[dict]]:
    """Write one photo and its masks; return its row of the table and its rows of the truth."""
    picture, animals = _take(seed, shot, coats, scenes[shot.station, shot.side])
    rng = generator(seed, "demo", "file", shot.camera, shot.number)
    weather = generator(seed, "demo", "weather", shot.time.toordinal())
    hour = shot.time.hour + shot.time.minute / 60
    celsius = round(19 + weather.normal(0, 2) + 6 * np.cos((hour - 14.5) / 12 * np.pi))
    moon = ((shot.time - START) / timedelta(days=29.53)) % 1.0
    photo = add_strip(picture, clock, shot.camera, celsius, moon)
    has_exif = shot.dirt not in ("no_exif", "png", "zero_byte")
    data = encode_jpeg(photo, int(rng.integers(82, 93)), shot.camera, clock if has_exif else None)
    if shot.dirt == "truncated":
        data = data[: int(len(data) * rng.uniform(0.3, 0.7))]
    elif shot.dirt == "zero_byte":
        data, animals = b"", []
    elif shot.dirt == "png":
        data = encode_png(photo)
    elif shot.dirt == "near_duplicate":  # somebody opened the photo, made it lighter, and saved it again
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        data = encode_jpeg(cv2.convertScaleAbs(decoded, alpha=1.06), 68, shot.camera, clock)
    path = f"{shot.camera}/{shot.image_id}.JPG"
    write_bytes(photos_folder / path, data)
    truth = []
    for animal, (facts, mask) in enumerate(animals):
        name = f"{shot.image_id}_{animal}.png"
        write_png(truth_folder / "masks" / name, mask)
        truth.append({"image_id": shot.image_id, "animal": animal, **facts, "mask": name})
    row = {
        "image_id": shot.image_id,
        "path": path,
        "identity": truth[0]["identity"] if truth else UNKNOWN,
        "date": clock.isoformat() if has_exif else "",
        "camera": shot.camera,
        "station": shot.camera[:-1],
        "orientation": UNKNOWN,
        "bbox": "",
        "species": "Panthera pardus" if truth else "",
        "encounter": "",
        "sequence": shot.number,
    }
    return row, truth


def _take(
    seed: int, shot: Shot, coats: Mapping[int, Coat], scene: Scene
) -> tuple[np.ndarray, list[tuple[dict, np.ndarray]]]:
    """Return the photo `(456, 640, 3)` and facts and mask of every animal that can be seen on it."""
    rng = generator(seed, "demo", "frame", shot.camera, shot.number)
    light = _light(seed, shot)
    layers: list[tuple[Actor, Place, Layer]] = []
    for actor in shot.actors:
        place = before_camera(actor, shot.side)
        layer = render(body(actor.pose), coats[actor.individual], place, scene.view, light.direction)
        if layer is not None:
            layers.append((actor, place, layer))
    layers.sort(key=lambda item: -item[1].depth)
    moving = bool(shot.actors) and shot.actors[0].pose.stride > 0.06
    lens = Lens(
        blur=float(rng.uniform(2.2, 3.6)) if shot.dirt == "blurred" else float(rng.exponential(0.25)),
        motion=float(rng.uniform(2, 7)) if moving and rng.random() < 0.2 else 0.0,
        shake=(int(rng.integers(-3, 4)), int(rng.integers(-2, 3))),
    )
    gain = float(rng.uniform(2.4, 3.6)) if shot.dirt == "over_exposed" else float(rng.uniform(0.9, 1.12))
    light = Light(light.kind, light.direction, light.sun, light.exposure * gain, light.tint, light.dapple)
    picture, seen = expose(scene, [layer for _, _, layer in layers], light, lens, rng)
    animals = {}
    for (actor, place, layer), cover in zip(layers, seen, strict=True):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[: HEIGHT - STRIP][cover > 0.5] = 255
        if np.count_nonzero(mask) >= _FEWEST_PIXELS:
            facts = _facts(actor, place, layer, mask)
            animals[actor.individual] = (
                {**facts, "true_date": shot.time.isoformat(), "encounter": shot.encounter},
                mask,
            )
    return picture, [animals[actor.individual] for actor in shot.actors if actor.individual in animals]


def before_camera(actor: Actor, side: int) -> Place:
    """Return where an actor stands as seen by one of the two cameras."""
    if side == 0:
        return Place(actor.along, HALF_WAY + actor.across, actor.heading)
    return Place(-actor.along, HALF_WAY - actor.across, actor.heading + np.pi)


def _light(seed: int, shot: Shot) -> Light:
    """Return the light at a shot: the sun of its hour, or the flash that its station has."""
    rng = generator(shot.light, "light")
    hour = shot.time.hour + shot.time.minute / 60
    tint = 1 + rng.normal(0, 0.02, 3)
    if 6.3 < hour < 18:
        height = np.sin((hour - 6) / 12 * np.pi) * 0.9 + 0.25
        east = np.cos((hour - 6) / 12 * np.pi)
        facing = generator(seed, "demo", "station", shot.station, "bearing").uniform(0, 2 * np.pi)
        turn = facing + (np.pi if shot.side else 0.0)
        direction = np.array([east * np.cos(turn), height, east * np.sin(turn)])
        direction /= np.linalg.norm(direction)
        warm = np.array([1.06, 1.0, 0.90]) if abs(hour - 12) > 4.2 else np.array([1.0, 1.0, 0.98])
        sun = float(rng.choice([0.15, rng.uniform(0.4, 1.0)], p=[0.35, 0.65]))
        return Light("day", direction, sun, float(rng.uniform(0.85, 1.1)), np.float32(tint * warm), shot.light)
    white = generator(seed, "demo", "station", shot.station, "flash").random() < 0.4
    up = np.array([0.0, 1.0, -0.5])
    kind = "flash" if white else "infrared"
    return Light(kind, up, 0.6, float(rng.uniform(0.9, 1.15)), np.float32(tint if white else np.ones(3)), shot.light)


def _facts(actor: Actor, place: Place, layer: Layer, mask: np.ndarray) -> dict:
    """Return what is true of a visible animal: identity, side, box, box of the face, share that is hidden."""
    top, left = layer.top, layer.left
    height, width = layer.cover.shape
    whole = np.count_nonzero(layer.cover > 0.5)
    facts = {
        "identity": identity(actor.individual),
        "orientation": visible_side(place),
        **dict(zip("xywh", _box(mask > 0), strict=True)),
        **dict.fromkeys(("face_x", "face_y", "face_w", "face_h"), ""),
        "occluded": round(1 - np.count_nonzero(mask) / max(whole, 1), 4),
    }
    gaze = place.heading + actor.pose.head_yaw
    to_camera = -np.array([place.right, place.depth]) - 0.68 * np.array([np.cos(place.heading), np.sin(place.heading)])
    facing = (np.array([np.cos(gaze), np.sin(gaze)]) @ to_camera) / np.linalg.norm(to_camera)
    seen_head = np.zeros_like(mask, bool)
    seen_head[top : top + height, left : left + width] = layer.head
    head_pixels = np.count_nonzero(seen_head)
    seen_head &= mask > 0
    whole_head = not seen_head[:, [0, -1]].any()
    if facing > 0.45 and whole_head and np.count_nonzero(seen_head) > max(0.6 * head_pixels, 150):
        facts.update(zip(("face_x", "face_y", "face_w", "face_h"), _box(seen_head), strict=True))
    return facts


def identity(individual: int) -> str:
    """Return the name of an animal, such as `L07`."""
    return f"L{individual + 1:02d}"


def visible_side(place: Place) -> str:
    """Return which side of an animal a camera sees: front or back within 40 degrees, else the flank."""
    to_camera = -np.array([place.right, place.depth]) / np.hypot(place.right, place.depth)
    ahead = np.array([np.cos(place.heading), np.sin(place.heading)]) @ to_camera
    if abs(ahead) > np.cos(np.deg2rad(40)):
        return "front" if ahead > 0 else "back"
    left = np.array([-np.sin(place.heading), np.cos(place.heading)]) @ to_camera
    return "left" if left > 0 else "right"


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the box (x, y, w, h) around the true pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)
