"""The coat of one leopard: two flanks and a face, grown by reaction-diffusion and stable over its life.

Spots are a Gray-Scott system (Pearson, Science 1993); a rosette is the rim of a spot, broken by a second, shorter
wave, after the two-stage model of Liu, Liaw and Maini (Phys. Rev. E 2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pelage.common.seeds import generator

FLANK_WINDOW = (-0.62, 0.80, 0.0, 0.80)
"""Side view of the animal at rest that a flank texture covers: x from, x to, height from, height to, in metres."""
CELL = 0.008
"""Side of a cell of the reaction-diffusion grid on the flank, in metres."""
TEXELS = 2
"""Texture pixels a cell."""
FACE_SIZE = 320
"""Side of the face texture: the directions of a head around its forward axis, with the front enlarged."""

_FACE_ZOOM = 0.65  # power of the angle from the forward axis; 1 would be azimuthal equidistant
_LAPLACE = np.array([[0.05, 0.2, 0.05], [0.2, -1.0, 0.2], [0.05, 0.2, 0.05]], np.float32)
_FEED, _KILL = np.float32(0.0367), np.float32(0.0640)


FLANK_HEIGHT, FLANK_WIDTH = 200, 356
ATLAS_SHAPE = (FLANK_HEIGHT + 8 + FACE_SIZE, 2 * FLANK_WIDTH + 8)
_RIGHT_COLUMN = FLANK_WIDTH + 8
_FACE_ROW = FLANK_HEIGHT + 8
_TAIL = (_FACE_ROW, FACE_SIZE + 8, 48, 240)  # row, column, height, width
_EAR = (_FACE_ROW + 60, FACE_SIZE + 8, 64, 128)


@dataclass(frozen=True)
class Coat:
    """The coat of one animal as one texture.

    Attributes:
        atlas: `(528, 720, 4)` uint8: RGB of left flank, right flank, face, tail and ears; the fourth channel is the
            share of eye (it shines at night) in percent.
    """

    atlas: np.ndarray

    def flank(self, side: str) -> np.ndarray:
        """Return the flank `left` or `right`, `(200, 356, 3)`.

        Both have the head towards the last column, so the left one is mirrored when seen on the animal.
        """
        start = {"left": 0, "right": _RIGHT_COLUMN}[side]
        return self.atlas[:FLANK_HEIGHT, start : start + FLANK_WIDTH, :3]

    @property
    def face(self) -> np.ndarray:
        """The face, `(320, 320, 3)`."""
        return self.atlas[_FACE_ROW:, :FACE_SIZE, :3]


def gray_scott(diffusion: np.ndarray, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Grow spots from noise with the Gray-Scott system (Pearson 1993, spots that divide).

    Args:
        diffusion: `(H, W)` diffusion rate of the substrate (0.2 to 0.8); the spacing of spots grows with its root.
        steps: Explicit Euler steps of length 1.
        rng: Start of the growth, and so of the pattern.

    Returns:
        `(H, W)` float32 concentration of the activator, about 0 between spots and 0.3 to 0.4 at their middle.
    """
    height, width = diffusion.shape
    start = cv2.GaussianBlur(rng.standard_normal((height, width), np.float32), (0, 0), 2.2)
    seeded = start > np.quantile(start, 0.65)
    u = np.where(seeded, np.float32(0.5), np.float32(1.0))
    v = np.where(seeded, np.float32(0.3), np.float32(0.0))
    rate_u = diffusion.astype(np.float32)
    rate_v = rate_u * np.float32(0.5)
    kept_u, kept_v = 1 - _FEED, 1 - _FEED - _KILL
    reaction, change = np.empty_like(u), np.empty_like(u)
    for _ in range(steps):
        np.multiply(v, v, out=reaction)
        reaction *= u
        cv2.filter2D(u, -1, _LAPLACE, dst=change, borderType=cv2.BORDER_REFLECT_101)
        change *= rate_u
        u *= kept_u
        u += change
        u -= reaction
        u += _FEED
        cv2.filter2D(v, -1, _LAPLACE, dst=change, borderType=cv2.BORDER_REFLECT_101)
        change *= rate_v
        v *= kept_v
        v += change
        v += reaction
    return v


def noise(shape: tuple[int, int], wavelength: float, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise `(H, W)` float32 of mean 0 and deviation 1 whose features are `wavelength` pixels apart."""
    height, width = shape
    small = (max(2, round(height / wavelength * 2)), max(2, round(width / wavelength * 2)))
    field = cv2.resize(rng.standard_normal(small, np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return (field - field.mean()) / max(float(field.std()), 1e-6)


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """Return 0 below `low`, 1 above `high` and a smooth rise between (either order of the bounds)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return `a` where `weight` `(H, W)` is 0 and `b` where it is 1; `a` and `b` broadcast to `(H, W, C)`."""
    return a + (b - a) * weight[..., None]


def flank_coordinates(x: np.ndarray, y: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Return column and row in the atlas of points of a flank at rest.

    Args:
        x: Metres along the body.
        y: Metres above ground.
        side: 1 for the left flank, -1 for the right one.
    """
    x0, _, _, y1 = FLANK_WINDOW
    column = np.clip((x - x0) / CELL * TEXELS - 0.5, 0, FLANK_WIDTH - 1)
    return column + (0 if side > 0 else _RIGHT_COLUMN), np.clip((y1 - y) / CELL * TEXELS - 0.5, 0, FLANK_HEIGHT - 1)


def tail_coordinates(along: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Return columns and rows in the atlas `(..., 2)` for places on the tail, both from 0 to 1."""
    row, column, height, width = _TAIL
    return np.stack([column + along * (width - 1), row + around * (height - 1)], axis=-1)


def ear_coordinates(across: np.ndarray, height: np.ndarray, inside: bool) -> np.ndarray:
    """Return columns and rows in the atlas `(..., 2)` on the inner or outer face of an ear (-1 to 1, and 0 to 1)."""
    row, column, rows, columns = _EAR
    half = columns // 2
    return np.stack(
        [column + (0 if inside else half) + (across + 1) / 2 * (half - 2), row + (1 - height) * (rows - 1)], -1
    )


def flank_spots(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Grow the spots of one flank.

    Returns:
        The activator at texture resolution, `(200, 356)` float32, and how far a place carries rosettes instead of
        solid spots (0 to 1): the trunk does; legs, belly and neck do not.
    """
    x0, x1, y0, y1 = FLANK_WINDOW
    columns, rows = round((x1 - x0) / CELL), round((y1 - y0) / CELL)
    x = np.linspace(x0, x1, columns, dtype=np.float32)[None, :]
    y = np.linspace(y1, y0, rows, dtype=np.float32)[:, None]
    rosettes = smoothstep(0.27, 0.37, y) * smoothstep(0.58, 0.44, x)
    size = 0.15 + 0.34 * rosettes + 0.05 * noise((rows, columns), 40, rng)
    activator = gray_scott(np.clip(size, 0.12, 0.75), 1700, rng)
    texture = (columns * TEXELS, rows * TEXELS)
    activator = cv2.resize(activator, texture, interpolation=cv2.INTER_CUBIC)
    bend = [3.0 * noise(activator.shape, 26, rng) for _ in range(2)]
    column, row = np.meshgrid(np.arange(texture[0], dtype=np.float32), np.arange(texture[1], dtype=np.float32))
    activator = cv2.remap(activator, column + bend[0], row + bend[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return activator, cv2.resize(rosettes, texture)


def paint_flank(activator: np.ndarray, rosettes: np.ndarray, fur: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint a flank: ochre above, pale below, dark rims around a darker ochre, solid spots on legs, belly and neck.

    Args:
        activator: `(H, W)` from `flank_spots`.
        rosettes: `(H, W)` from `flank_spots`.
        fur: Three colours `(3, 3)`: back, belly, middle of a rosette.
        rng: Breaks of the rims.

    Returns:
        `(H, W, 3)` uint8 RGB.
    """
    height, width = activator.shape
    level = activator / np.quantile(activator, 0.985)
    breaks = noise((height, width), 11, rng)
    inside = smoothstep(0.14, 0.26, level + 0.05 * noise((height, width), 7, rng))
    middle = smoothstep(0.68, 0.80, level + 0.06 * breaks) * rosettes
    gap = smoothstep(0.5, 0.9, breaks) * rosettes
    rim = inside * (1 - middle) * (1 - gap)
    y = np.linspace(1, 0, height, dtype=np.float32)[:, None] * FLANK_WINDOW[3]
    x = np.linspace(FLANK_WINDOW[0], FLANK_WINDOW[1], width, dtype=np.float32)[None, :]
    ragged = y + 0.02 * noise((height, width), 60, rng)
    belly = smoothstep(0.38, 0.32, ragged) * smoothstep(-0.30, -0.2, x) * smoothstep(0.22, 0.12, x)
    pale = np.maximum(0.85 * belly, 0.35 * smoothstep(0.34, 0.15, ragged))
    coat = mix(fur[0], fur[1], pale)
    coat = mix(coat, fur[2], inside * rosettes * 0.8)
    coat = coat * (1 + 0.05 * noise((height, width), 5, rng) + 0.05 * noise((height, width), 90, rng))[..., None]
    coat = mix(coat, np.array([30.0, 22.0, 17.0], np.float32), rim * (0.8 + 0.16 * rosettes))
    return np.clip(coat, 0, 255).astype(np.uint8)


def face_axes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return forward, up and right of the direction that each texel of a face shows, each `(S, S)` float32."""
    axis = (np.arange(FACE_SIZE, dtype=np.float32) + 0.5) / FACE_SIZE * 2 - 1
    right, up = np.meshgrid(axis, -axis)
    radius = np.hypot(right, up)
    angle = np.minimum(radius, 1.0) ** (1 / _FACE_ZOOM) * np.pi
    scale = np.sin(angle) / np.maximum(radius, 1e-6)
    return np.cos(angle), up * scale, right * scale


def face_coordinates(forward: np.ndarray, up: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return column and row in the atlas of directions on the head (unit vectors)."""
    angle = np.arccos(np.clip(forward, -1, 1)) / np.pi
    length = angle**_FACE_ZOOM / np.maximum(np.hypot(up, right), 1e-6)
    column = np.clip((right * length + 1) * FACE_SIZE / 2 - 0.5, 0, FACE_SIZE - 1)
    return column, np.clip((1 - up * length) * FACE_SIZE / 2 - 0.5, 0, FACE_SIZE - 1) + _FACE_ROW


def paint_face(fur: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paint a face: solid spots on forehead and cheeks (grown), rows of whisker spots, eyes, nose and a pale muzzle.

    Returns:
        The texture `(S, S, 3)` uint8 RGB and the share of eye in each texel `(S, S)` float32 (it shines at night).
    """
    forward, up, right = face_axes()
    spots = gray_scott(np.full((FACE_SIZE // 4, FACE_SIZE // 4), 0.17, np.float32), 1300, rng)
    spots = cv2.resize(spots, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_CUBIC)
    level = spots / np.quantile(spots, 0.985) + 0.08 * noise(spots.shape, 9, rng)
    side = np.abs(right)

    def blob(f_up: float, f_side: float, radius_up: float, radius_side: float, soft: float = 0.35) -> np.ndarray:
        distance = np.hypot((up - f_up) / radius_up, (side - f_side) / radius_side)
        return smoothstep(1 + soft, 1 - soft, distance) * (forward > -0.1)

    coat = np.broadcast_to(fur[0], (FACE_SIZE, FACE_SIZE, 3)).astype(np.float32)
    coat = mix(coat, fur[1], smoothstep(-0.15, -0.55, up) * 0.9)
    coat = mix(coat, fur[2], blob(0.12, 0.0, 0.5, 0.13) * 0.55)
    coat = coat * (1 + 0.06 * noise(spots.shape, 6, rng))[..., None]
    free = np.maximum.reduce([blob(0.32, 0.40, 0.2, 0.25), blob(-0.1, 0.0, 0.55, 0.22), blob(-0.45, 0.1, 0.4, 0.36)])
    dark = np.array([28.0, 21.0, 17.0], np.float32)
    coat = mix(coat, dark, smoothstep(0.30, 0.46, level) * (1 - free) * 0.95)
    white = np.array([238.0, 230.0, 214.0], np.float32)
    coat = mix(coat, white, blob(-0.36, 0.17, 0.20, 0.22) * 0.9)
    coat = mix(coat, white, blob(-0.60, 0.0, 0.22, 0.28, 0.6) * 0.85)
    coat = mix(coat, white, np.maximum(blob(0.16, 0.36, 0.07, 0.2), blob(0.48, 0.36, 0.06, 0.14)) * 0.75)
    for row, count in ((-0.28, 4), (-0.36, 5), (-0.44, 4)):
        for one_side in (-1, 1):
            for place in range(count):  # rows of whisker spots
                jitter = rng.normal(0, 0.014, 2)
                spot = (row + jitter[0], one_side * (0.13 + 0.055 * place) + jitter[1])
                coat = mix(coat, dark, smoothstep(0.028, 0.012, np.hypot(up - spot[0], right - spot[1])) * 0.85)
    coat = mix(coat, dark, smoothstep(0.02, 0.0, side) * smoothstep(-0.5, -0.44, up) * smoothstep(-0.22, -0.3, up))
    mouth = np.abs(up + 0.5 - 0.35 * side) + np.where(side > 0.24, 1.0, 0.0)
    coat = mix(coat, dark, smoothstep(0.035, 0.01, mouth) * (forward > 0))
    coat = mix(coat, dark, blob(0.32, 0.40, 0.135, 0.19, 0.15))
    tear = np.hypot(side - 0.27 + 0.25 * (up - 0.2), np.maximum(np.abs(up - 0.14) - 0.14, 0))
    coat = mix(coat, dark, smoothstep(0.045, 0.015, tear) * 0.8)
    eyes = blob(0.32, 0.40, 0.095, 0.125, 0.12)
    coat = mix(coat, np.array([214.0, 184.0, 84.0], np.float32), eyes)
    coat = mix(coat, np.array([12.0, 10.0, 8.0], np.float32), blob(0.32, 0.40, 0.055, 0.05, 0.2))
    coat = mix(coat, np.array([250.0, 250.0, 245.0], np.float32), blob(0.36, 0.37, 0.02, 0.02, 0.4))
    nose = blob(-0.17, 0.0, 0.075, 0.125, 0.15)
    coat = mix(coat, np.array([176.0, 112.0, 98.0], np.float32), nose)
    coat = mix(coat, dark, np.maximum(nose * smoothstep(-0.2, -0.25, up), blob(-0.2, 0.07, 0.022, 0.03)))
    return np.clip(coat, 0, 255).astype(np.uint8), eyes.astype(np.float32)


def paint_tail(fur: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint a tail: spots that become rings towards a dark tip. `(48, 240, 3)` float32."""
    _, _, height, width = _TAIL
    along = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    ring = np.sin(2 * np.pi * (11 * along + 0.25 * noise((height, width), 40, rng)))
    spots = noise((height, width), 16, rng)
    level = ring * smoothstep(0.35, 0.75, along) + spots * smoothstep(0.75, 0.35, along)
    coat = mix(fur[0], fur[1], smoothstep(0.5, 1.0, along) * np.ones((height, 1), np.float32) * 0.6)
    dark = smoothstep(0.25, 0.6, level)
    return mix(coat, np.array([30.0, 22.0, 17.0], np.float32), np.maximum(dark, smoothstep(0.95, 0.97, along)))


def paint_ears(fur: np.ndarray) -> np.ndarray:
    """Paint an ear's inside (pale, dark rim) and outside (black with a pale spot), side by side. `(64, 128, 3)`."""
    _, _, height, width = _EAR
    across, up = np.meshgrid(
        np.linspace(-1, 1, width // 2, dtype=np.float32), np.linspace(1, 0, height, dtype=np.float32)
    )
    rim = np.hypot(across, up)
    inside = mix(fur[1] * 0.9, fur[2] * 0.55, smoothstep(0.75, 0.2, rim))
    inside = mix(inside, np.array([40.0, 30.0, 24.0], np.float32), smoothstep(0.84, 0.95, rim))
    outside = np.broadcast_to(np.array([30.0, 23.0, 19.0], np.float32), inside.shape)
    outside = mix(outside, fur[1], smoothstep(0.42, 0.3, np.hypot(across, up - 0.5)))
    outside = mix(outside, fur[0], smoothstep(0.2, 0.0, up))
    return np.hstack([inside, outside])


def grow_coat(seed: int, individual: int) -> Coat:
    """Grow the coat of one individual; it depends on `seed` and `individual` only."""
    rng = generator(seed, "demo", "fur", individual)
    fur = np.array([[206, 158, 96], [232, 214, 184], [176, 124, 66]], np.float32)
    fur = fur * np.float32(rng.uniform(0.9, 1.06)) * (1 + rng.uniform(-0.04, 0.04, 3).astype(np.float32))
    atlas = np.zeros((*ATLAS_SHAPE, 4), np.uint8)
    atlas[..., :3] = fur[0]
    for side, start in (("left", 0), ("right", _RIGHT_COLUMN)):
        rng = generator(seed, "demo", "flank", individual, side)
        activator, rosettes = flank_spots(rng)
        atlas[:FLANK_HEIGHT, start : start + FLANK_WIDTH, :3] = paint_flank(activator, rosettes, fur, rng)
    face, eyes = paint_face(fur, generator(seed, "demo", "face", individual))
    atlas[_FACE_ROW:, :FACE_SIZE, :3] = face
    atlas[_FACE_ROW:, :FACE_SIZE, 3] = np.round(eyes * 100)
    for (row, column, height, width), picture in (
        (_TAIL, paint_tail(fur, generator(seed, "demo", "tail", individual))),
        (_EAR, paint_ears(fur)),
    ):
        atlas[row : row + height, column : column + width, :3] = np.clip(picture, 0, 255)
    return Coat(atlas)
