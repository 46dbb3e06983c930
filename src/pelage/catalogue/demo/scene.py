"""What stands before one camera all survey long: ground, trail, trees, bushes and grass, with their distances.

Painted back to front from noise and leaves; the distances are kept, so that a flash falls off with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pelage.catalogue.demo.pattern import mix, noise, smoothstep
from pelage.catalogue.demo.render import HEIGHT, WIDTH, View
from pelage.common.seeds import generator

MARGIN = 8
"""Pixels around the frame, so that a camera can shake."""
_SHAPE = (HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN)

# Colours of ground, trail, leaves (two), dry grass and bark.
_HABITATS = {
    "forest": [(84, 74, 60), (112, 98, 80), (50, 74, 38), (84, 106, 54), (100, 106, 68), (72, 62, 52)],
    "savanna": [(118, 108, 88), (140, 128, 108), (92, 100, 62), (124, 124, 82), (148, 140, 104), (88, 80, 68)],
    "rocky": [(106, 100, 92), (128, 122, 110), (70, 82, 54), (104, 108, 78), (130, 126, 98), (80, 74, 68)],
}


@dataclass(frozen=True)
class Scene:
    """The view of one camera.

    Attributes:
        view: Its geometry.
        colour: `(3, 496, 656)` uint8, colours under white light.
        flash: `(496, 656)` float32, how much of a flash gets there: 1 at the trail, less farther away.
        front: `(3, 496, 656)` float32, colours of vegetation close to the lens, times its cover (0 to 1).
        clear: `(496, 656)` float32, the share of each pixel that it leaves free.
    """

    view: View
    colour: np.ndarray
    flash: np.ndarray
    front: np.ndarray
    clear: np.ndarray


class _Canvas:
    """Colours and distances that are painted together."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.colour = np.zeros((*_SHAPE, 3), np.float32)
        self.distance = np.full(_SHAPE, 30.0, np.float32)

    def fill(self, outlines: np.ndarray, colours: np.ndarray, distances: float | np.ndarray) -> None:
        """Paint N polygons `(N, K, 2)` in pixels, one after the other, each with its colour `(N, 3)` and distance."""
        points = np.round(outlines * 8).astype(np.int32)
        distances = np.broadcast_to(distances, len(points)).tolist()
        for outline, colour, distance in zip(points, np.asarray(colours).tolist(), distances, strict=True):
            cv2.fillPoly(self.colour, [outline], colour, shift=3)
            cv2.fillPoly(self.distance, [outline], distance, shift=3)

    def shades(self, colours: np.ndarray | tuple, count: int, spread: float = 0.22) -> np.ndarray:
        """Return `(count, 3)` colours close to `colours`, one `(3,)` or one each."""
        rng = self.rng
        bright = np.maximum(0.25, 1 + rng.normal(0, spread, (count, 1)))
        return np.asarray(colours) * bright + rng.normal(0, 5, (count, 3))

    def either(self, often: tuple, rare: tuple, share: float, count: int) -> np.ndarray:
        """Return `(count, 3)` shades of one colour, and of another for a share of them."""
        return self.shades(np.where(self.rng.random((count, 1)) < share, rare, often), count)


def build_scene(seed: int, station: int, side: int) -> Scene:
    """Paint what one camera sees; it depends on `seed`, `station` and `side` (0 or 1) only."""
    place = generator(seed, "demo", "station", station)
    habitat = sorted(_HABITATS)[int(place.integers(len(_HABITATS)))]
    rng = generator(seed, "demo", "scene", station, side)
    ground, trail, leaf, leaf_light, grass, bark = _HABITATS[habitat]
    view = View(float(rng.uniform(560, 610)), float(rng.uniform(165, 205)), float(rng.uniform(0.5, 0.65)))
    canvas = _Canvas(rng)
    _paint_far(canvas, leaf, leaf_light, view)
    _paint_ground(canvas, view, np.array(ground, np.float32), np.array(trail, np.float32), np.array(grass, np.float32))
    things = []
    for _ in range(int(rng.integers(3, 8))):
        things.append((float(rng.uniform(4.5, 12)), "tree"))
    for _ in range(int(rng.integers(9, 16))):
        things.append((float(rng.uniform(4.2, 11)), "bush"))
    for _ in range({"forest": 25, "savanna": 90, "rocky": 40}[habitat]):
        things.append((float(rng.uniform(1.4, 9)), "grass"))
    for _ in range({"forest": 3, "savanna": 2, "rocky": 14}[habitat]):
        things.append((float(rng.choice([rng.uniform(4, 9), rng.uniform(1.3, 1.6)], p=[0.8, 0.2])), "stone"))
    for distance, kind in sorted(things, reverse=True):
        across = float(rng.uniform(-0.62, 0.62)) * distance * WIDTH / view.focal
        if kind == "tree":
            _tree(canvas, view, across, distance, bark)
        elif kind == "bush":
            _bush(canvas, view, across, distance, leaf, leaf_light)
        elif kind == "stone":
            _stone(canvas, view, across, distance)
        elif not 2.0 < distance < 3.4:  # the trail is trodden bare
            _tuft(canvas, view, across, distance, grass if rng.random() < 0.6 else leaf_light)
    haze = smoothstep(4, 16, canvas.distance)[..., None] * 0.35
    colour = canvas.colour * (1 - haze) + np.array([150, 158, 146], np.float32) * haze
    soft = cv2.GaussianBlur(colour, (0, 0), 1.6)
    colour = mix(colour, soft, smoothstep(3.5, 7, canvas.distance))
    colour = colour * (1 + 0.05 * noise(_SHAPE, 3, rng) + 0.05 * noise(_SHAPE, 120, rng))[..., None]
    flash = np.minimum((2.7 / np.maximum(canvas.distance, 1.0)) ** 1.7, 1.25)
    front, clear = _paint_front(rng, grass, leaf, leaf_light)
    return Scene(view, _planes(np.clip(colour, 0, 255).astype(np.uint8)), flash, _planes(front), clear)


def _planes(colour: np.ndarray) -> np.ndarray:
    return np.stack(cv2.split(colour))


def _paint_far(canvas: _Canvas, leaf: tuple, leaf_light: tuple, view: View) -> None:
    rng = canvas.rng
    texture = 0.5 * noise(_SHAPE, 60, rng) + 0.35 * noise(_SHAPE, 18, rng) + 0.3 * noise(_SHAPE, 6, rng)
    far = mix(np.array(leaf, np.float32) * 0.75, np.array(leaf_light, np.float32) * 1.05, smoothstep(-1, 1, texture))
    row = np.arange(_SHAPE[0], dtype=np.float32)[:, None] - MARGIN
    light = smoothstep(0.7, 1.3, noise(_SHAPE, 26, rng)) * smoothstep(view.horizon, 0, row)
    canvas.colour[:] = mix(far, np.array([196, 204, 200], np.float32), light * 0.7)


def _paint_ground(canvas: _Canvas, view: View, ground: np.ndarray, trail: np.ndarray, grass: np.ndarray) -> None:
    rng = canvas.rng
    row = np.arange(_SHAPE[0], dtype=np.float32)[:, None] - MARGIN
    below = np.maximum(row - view.horizon, 1.0)
    depth = view.focal * view.height / below
    column = np.arange(_SHAPE[1], dtype=np.float32)[None, :] - MARGIN - WIDTH / 2
    across = column * depth / view.focal
    away = np.broadcast_to(depth, across.shape)

    def texture(scale: float) -> np.ndarray:
        tile = noise((256, 256), 4, rng)
        return cv2.remap(
            tile, (across / scale * 8) % 256, (away / scale * 8) % 256, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )

    coarse, middle, fine = texture(1.2), texture(0.3), texture(0.09)
    colour = mix(ground, grass, smoothstep(0.0, 1.2, coarse))
    track = smoothstep(0.75, 0.45, np.abs(away - 2.7 + 0.15 * coarse))
    colour = mix(colour, trail, track * 0.8)
    close = smoothstep(9, 2, depth) * np.ones_like(across)
    colour = colour * (1 + 0.07 * coarse + 0.12 * middle * close + 0.14 * fine * close * (1 - 0.4 * track))[..., None]
    is_ground = (row > view.horizon + 12 + 6 * noise((1, _SHAPE[1]), 30, rng)) * np.ones_like(across)
    soft = cv2.GaussianBlur(is_ground.astype(np.float32), (0, 0), 1.5)
    canvas.colour[:] = mix(canvas.colour, colour, soft)
    canvas.distance[:] = np.where(is_ground > 0, np.minimum(away, 25), canvas.distance)
    distance = rng.uniform(1.3, 5.5, 500)  # of leaf litter
    size = rng.uniform(0.015, 0.05, 500) * view.focal / distance
    ring = np.linspace(0, 2 * np.pi, 7)
    turn = rng.uniform(0, np.pi, (500, 1))
    litter = size[:, None, None] * np.stack(
        [np.broadcast_to(np.cos(ring), (500, 7)), 0.3 * np.sin(ring + turn)], axis=2
    )
    x = rng.uniform(-0.6, 0.6, 500) * WIDTH + WIDTH / 2
    litter += np.stack([x, view.horizon + view.focal * view.height / distance], axis=1)[:, None] + MARGIN
    canvas.fill(litter, canvas.shades(ground * rng.uniform(0.6, 1.25, (500, 1)), 500), distance)


def _tree(canvas: _Canvas, view: View, across: float, distance: float, bark: tuple) -> None:
    rng = canvas.rng
    width = float(rng.uniform(0.12, 0.42))
    lean = rng.normal(0, 0.06)
    height = np.linspace(-0.05, 4, 14)
    middle = across + lean * height + 0.03 * rng.standard_normal(14)
    half = width / 2 * (1 - 0.1 * height) + 0.12 * width * np.exp(-height * 4)
    edge = np.concatenate([np.stack([middle - half, height], 1), np.stack([middle + half, height], 1)[::-1]])
    canvas.fill(_on_screen(edge[None], distance, view), canvas.shades(bark, 1), distance)
    place = rng.uniform([-0.45, 0.0], [0.45, 2.5], (26, 2))  # of strips of bark
    strips = np.array([[-0.008, 0], [0.008, 0.02], [0.004, 0.35], [-0.004, 0.3]]) * rng.uniform(0.6, 1.6, (26, 1, 1))
    strips += np.stack([across + lean * place[:, 1] + place[:, 0] * width, place[:, 1]], axis=1)[:, None]
    colours = canvas.shades(bark, 26, 0.3) * (1.15 - 0.6 * np.maximum(place[:, :1], 0))
    canvas.fill(_on_screen(strips, distance, view), colours, distance)


def _bush(canvas: _Canvas, view: View, across: float, distance: float, leaf: tuple, leaf_light: tuple) -> None:
    rng = canvas.rng
    size = rng.uniform(0.5, 1.4)
    count = 130
    around = rng.standard_normal((count, 2)) * [0.4 * size, 0.28 * size] + [across, 0.40 * size]
    around[:, 1] = np.abs(around[:, 1])
    around = around[np.argsort(rng.random(count) + 0.3 * around[:, 1])]
    ovals = _leaves(rng, 0.05, 0.12, count) + around[:, None]
    colours = canvas.either(leaf, leaf_light, 0.35, count) * (0.65 + 0.5 * np.minimum(around[:, 1:] / size, 1))
    canvas.fill(_on_screen(ovals, distance, view), colours, distance)


def _stone(canvas: _Canvas, view: View, across: float, distance: float) -> None:
    rng = canvas.rng
    size = rng.uniform(0.15, 0.5) if distance > 3 else rng.uniform(0.08, 0.16)
    ring = np.linspace(0, 2 * np.pi, 12)[:-1]
    radius = size * rng.uniform(0.75, 1.1, 11)
    outline = np.stack([across + radius * np.cos(ring), np.maximum(radius * np.sin(ring) * 0.7, -0.02)], axis=1)
    colours = canvas.shades((128, 122, 112), 1, 0.12) * np.array([[0.8], [1.08]])
    top = (outline - [across, 0]) * [0.8, 0.8] + [across - 0.05 * size, 0.12 * size]
    canvas.fill(_on_screen(np.stack([outline, top]), distance, view), colours, distance)


def _tuft(canvas: _Canvas, view: View, across: float, distance: float, colour: tuple) -> None:
    rng = canvas.rng
    tall = rng.uniform(0.12, 0.5) if distance > 3.4 else rng.uniform(0.08, 0.2)
    blades = _blades(rng, np.full(14, tall))
    blades[..., 0] += across + rng.normal(0, 0.08, (14, 1))
    canvas.fill(_on_screen(blades, distance, view), canvas.shades(colour, 14), distance)


def _leaves(rng: np.random.Generator, shortest: float, longest: float, count: int) -> np.ndarray:
    """Return outlines `(count, 8, 2)` of leaves around the origin, turned at random; half lengths as given."""
    length, turn = rng.uniform(shortest, longest, count), rng.uniform(0, np.pi, count)
    ring = np.linspace(0, 2 * np.pi, 9)[:-1]
    oval = np.stack([np.cos(ring), 0.38 * np.sin(ring)], axis=1)
    turns = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * length
    return oval @ np.moveaxis(turns, 2, 0)


def _blades(rng: np.random.Generator, tall: np.ndarray) -> np.ndarray:
    """Return outlines `(N, 10, 2)` of blades of grass `(N,)` metres tall that stand at the origin."""
    along = np.linspace(0, 1, 5)
    bend = rng.normal(0, 0.45, (len(tall), 1)) * tall[:, None]
    x, y = bend * along**2, tall[:, None] * rng.uniform(0.6, 1.1, (len(tall), 1)) * along
    half = 0.006 * (1.05 - along)
    return np.concatenate([np.stack([x - half, y], 2), np.stack([x + half, y], 2)[:, ::-1]], axis=1)


def _on_screen(points: np.ndarray, distance: float, view: View) -> np.ndarray:
    """Project points `(..., 2)` (right, up) that all stand at `distance`."""
    column = WIDTH / 2 + view.focal * points[..., 0] / distance
    row = view.horizon + view.focal * (view.height - points[..., 1]) / distance
    return np.stack([column, row], axis=-1) + MARGIN


def _paint_front(
    rng: np.random.Generator, grass: tuple, leaf: tuple, leaf_light: tuple
) -> tuple[np.ndarray, np.ndarray]:
    """Paint blades and leaves before the trail, which hide parts of animals: `front` and `clear` of a scene."""
    canvas = _Canvas(rng)
    canvas.distance[:] = 0
    dense = rng.random()
    places = rng.uniform(0, _SHAPE[1], 4)
    count = int(12 + 85 * dense)
    blades = _blades(rng, rng.uniform(0.2, 0.7, count)) * rng.uniform(250, 420, (count, 1, 1)) * [1.1, -1]
    blades += np.stack([rng.choice(places, count) + rng.normal(0, 55, count), np.full(count, _SHAPE[0] - 24)], 1)[
        :, None
    ]
    canvas.fill(blades, canvas.either(grass, leaf_light, 0.3, count), 1.0)
    if rng.random() < 0.4:  # a shrub before the trail
        middle = np.array([rng.choice([0.2, 0.8]) * _SHAPE[1] + rng.normal(0, 30), rng.uniform(330, 400)])
        around = middle + rng.standard_normal((90, 2)) * [48, 38]
        canvas.fill(_leaves(rng, 7, 14, 90) + around[:, None], canvas.either(leaf, leaf_light, 0.3, 90), 1.0)
    if rng.random() < 0.5:  # a twig with leaves reaches in from a side
        side = float(rng.choice([-1, 1]))
        start = np.array([_SHAPE[1] / 2 * (1 + side), rng.uniform(120, 330)])
        reach = np.array([-side * rng.uniform(110, 210), rng.normal(0, 50)])
        along = start + reach * np.sort(rng.random((22, 1)), axis=0) + rng.normal(0, 12, (22, 2))
        canvas.fill(_leaves(rng, 13, 26, 22) + along[:, None], canvas.shades(leaf, 22), 1.0)
    cover = cv2.GaussianBlur(canvas.distance, (0, 0), 1.2)
    colour = cv2.GaussianBlur(canvas.colour, (0, 0), 1.2)
    return np.clip(colour, 0, 255 * cover[..., None]), 1 - cover
