"""A software renderer: surfaces to pixels with depth, normals and coat.

Surfaces are diced into points finer than a pixel and sorted into a depth buffer, after the REYES renderer (Cook,
Carpenter and Catmull, SIGGRAPH 1987); no dependency on a graphics card, the same pixels everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pelage.catalogue.demo.animal import Surface
from pelage.catalogue.demo.pattern import Coat

WIDTH, HEIGHT = 640, 480


@dataclass(frozen=True)
class View:
    """A camera that looks along the ground: focal length and horizon in pixels, height above ground in metres."""

    focal: float
    horizon: float
    height: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points `(..., 3)` (right, up, depth in metres) to `(..., 3)` column, row and depth."""
        depth = np.maximum(points[..., 2], 0.05)
        column = WIDTH / 2 + self.focal * points[..., 0] / depth
        row = self.horizon + self.focal * (self.height - points[..., 1]) / depth
        return np.stack([column, row, depth], axis=-1)


@dataclass(frozen=True)
class Place:
    """Where an animal stands before a camera: metres to the right and away, heading in radians (0: to the right)."""

    right: float
    depth: float
    heading: float


@dataclass(frozen=True)
class Layer:
    """An animal as a camera sees it, in a window of the frame (`top`, `left`, and the arrays' `(H, W)`).

    Attributes:
        cover: Share of each pixel that the animal covers, float32.
        coat: Colour of the fur under white light, `(H, W, 3)` float32, 0 to 255.
        eye: Share of eye, float32.
        normal: `(3, H, W)` right, up and away, float32.
        head: True where head or ears are seen.
        depth: Metres from the camera, of the animal's middle.
        shadow: `(480, 640)` float32, share of the light that the animal takes from the ground.
    """

    top: int
    left: int
    cover: np.ndarray
    coat: np.ndarray
    eye: np.ndarray
    normal: np.ndarray
    head: np.ndarray
    depth: float
    shadow: np.ndarray


def render(surfaces: Sequence[Surface], coat: Coat, place: Place, view: View, light: np.ndarray) -> Layer | None:
    """Render an animal.

    Args:
        surfaces: The posed body (forward, up, left), in metres.
        coat: Its texture.
        place: Where it stands.
        view: The camera.
        light: Direction towards the light (right, up, away) that casts the shadow; its height is positive.

    Returns:
        The layer, or None when nothing of the animal is inside the frame.
    """
    cosine, sine = np.cos(place.heading), np.sin(place.heading)
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    move = np.array([place.right, 0.0, place.depth])
    fragments, shadows = [], []
    for surface in surfaces:
        diced, shadow = _dice(surface, (surface.points @ turn + move).astype(np.float32), view, light)
        fragments.append(diced)
        shadows.append(shadow)
    fragments = np.concatenate(fragments, axis=1)
    if fragments.shape[1] < 50:
        return None
    column, row = fragments[:2].astype(np.int32)
    left, top = max(int(column.min()) - 3, 0), max(int(row.min()) - 3, 0)
    width, height = min(int(column.max()) + 4, WIDTH) - left, min(int(row.max()) + 4, HEIGHT) - top
    nearest = _depth_buffer(fragments[2], (row - top) * width + column - left, (height, width))
    hit = nearest >= 0
    cover = cv2.GaussianBlur(hit.astype(np.float32), (3, 3), 0.7)
    normal = np.stack([cv2.GaussianBlur(plane[nearest] * hit, (0, 0), 1.8) for plane in fragments[3:6]])
    normal /= np.maximum(np.linalg.norm(normal, axis=0), 1e-3)
    colours = cv2.remap(coat.atlas, fragments[6][nearest], fragments[7][nearest], cv2.INTER_LINEAR)
    mask = hit.astype(np.uint8)
    colours = cv2.bitwise_and(colours, colours, mask=mask)
    # The soft edge has the colour of the nearest fur.
    grown = cv2.dilate(colours, np.ones((3, 3), np.uint8))
    colours = cv2.copyTo(colours, mask, grown).astype(np.float32)
    head = hit & (fragments[8][nearest] > 0.5)
    return Layer(top, left, cover, colours[..., :3], colours[..., 3] / 100, normal, head, place.depth, _shadow(shadows))


def _dice(surface: Surface, points: np.ndarray, view: View, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dice a surface of points `(N, M, 3)` float32.

    Returns:
        Its fragments inside the frame, `(9, P)` float32: column, row, depth, normal, texture place, head; and the
        places `(N * M, 2)` on the screen of its shadow.
    """
    screen = view.project(points)
    normal = _cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-12)
    outward = points - points.mean(axis=1, keepdims=True)
    if (normal * outward).sum() < 0:
        normal = -normal
    facing = (normal * (points - np.array([0, view.height, 0], np.float32))).sum(axis=2)
    if surface.two_sided:
        normal = np.where(facing[..., None] > 0, -normal, normal)
        facing = -np.abs(facing)
    fallen = points - points[..., 1:2] * (light / light[1]).astype(np.float32)
    shadow = view.project(fallen)[..., :2].reshape(-1, 2)
    if not (facing < 0).any():
        return np.empty((9, 0), np.float32), shadow
    counts = []
    for axis in (0, 1):
        step = np.diff(screen[..., :2], axis=axis)
        length = np.hypot(step[..., 0], step[..., 1]).ravel()
        place = int(0.95 * len(length))
        counts.append(int(np.clip(np.ceil(np.partition(length, place)[place] * 1.08), 1, 60)))
    size = (facing.shape[1] * counts[1], facing.shape[0] * counts[0])

    def dice(plane: np.ndarray) -> np.ndarray:
        return cv2.resize(plane.astype(np.float32, order="C"), size, interpolation=cv2.INTER_LINEAR).ravel()

    column, row = dice(screen[..., 0]), dice(screen[..., 1])
    seen = (dice(facing) < 0) & (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
    seen = np.flatnonzero(seen)
    grid = [screen[..., 2], *np.moveaxis(normal, 2, 0), *np.moveaxis(surface.texture, 2, 0)]
    planes = [column, row, *map(dice, grid)]
    return np.stack([*(plane[seen] for plane in planes), np.full(len(seen), surface.head, np.float32)]), shadow


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cross product of vectors `(..., 3)`; NumPy's own copies more."""
    x, y, z = np.moveaxis(a, -1, 0)
    u, v, w = np.moveaxis(b, -1, 0)
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)


def _depth_buffer(depth: np.ndarray, pixel: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return `(H, W)` the index of the nearest fragment of each pixel, -1 for none; pinholes are closed."""
    near, far = float(depth.min()), float(depth.max())
    levels = ((far - depth) * (65535 / max(far - near, 1e-6))).astype(np.uint16)
    order = np.argsort(levels, kind="stable")
    index = np.full(shape[0] * shape[1], -1, np.float32)
    index[pixel[order]] = order
    index = index.reshape(shape)
    closed = cv2.morphologyEx((index >= 0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0
    filled = cv2.dilate(index, np.ones((3, 3), np.uint8))
    return np.where(closed & (index < 0), filled, index).astype(np.int64)


def _shadow(places: list[np.ndarray]) -> np.ndarray:
    """Return the darkening `(480, 640)` of the ground under shadow places, soft-edged."""
    quarter = (HEIGHT // 4, WIDTH // 4)
    mask = np.zeros(quarter, np.float32)
    places = np.floor(np.concatenate(places) / 4).astype(np.int32)
    inside = (places >= 0).all(axis=1) & (places[:, 0] < quarter[1]) & (places[:, 1] < quarter[0])
    mask[places[inside, 1], places[inside, 0]] = 1.0
    mask = cv2.GaussianBlur(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), (0, 0), 1.6)
    return cv2.resize(mask, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
