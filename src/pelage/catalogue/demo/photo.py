"""From a scene and animals to a photo file: light, lens, sensor, information strip, JPEG with EXIF.

Three kinds of light, as camera traps have them: daylight, a white flash, and an infrared flash (a grey photo).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from pelage.catalogue.demo.pattern import noise, smoothstep
from pelage.catalogue.demo.render import HEIGHT, WIDTH, Layer
from pelage.catalogue.demo.scene import MARGIN, Scene
from pelage.common.seeds import generator

STRIP = 24
"""Height in pixels of the black strip with date, time and temperature at the bottom of a photo."""


@dataclass(frozen=True)
class Light:
    """How a photo is lit.

    Attributes:
        kind: `day`, `flash` or `infrared`.
        direction: Towards the sun, or up for a flash: right, up, away.
        sun: Strength of direct light, 0 to 1 (day only).
        exposure: Gain of the sensor; above about 1.6 the photo is over-exposed.
        tint: `(3,)` colour of the light.
        dapple: Seed of the shadows that leaves cast, the same for a burst.
    """

    kind: str
    direction: np.ndarray
    sun: float
    exposure: float
    tint: np.ndarray
    dapple: int


@dataclass(frozen=True)
class Lens:
    """What goes wrong before the sensor: pixels of blur, of motion (along the row) and of shake (columns, rows)."""

    blur: float = 0.0
    motion: float = 0.0
    shake: tuple[int, int] = (0, 0)


def expose(
    scene: Scene, layers: Sequence[Layer], light: Light, lens: Lens, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Take a photo.

    Args:
        scene: What the camera sees.
        layers: Animals, farthest first.
        light: The light.
        lens: Blur and shake.
        rng: Sensor noise.

    Returns:
        The photo `(456, 640, 3)` uint8 RGB without its strip, and for each layer the share of each pixel in which it
        is seen, `(456, 640)` float32.
    """
    x, y = MARGIN + lens.shake[0], MARGIN + lens.shake[1]
    window = np.s_[:, y : y + HEIGHT, x : x + WIDTH]
    grey = light.kind == "infrared"
    tint = np.ones((1, 1, 1), np.float32) if grey else light.tint[:, None, None]
    dapple = _dapple(light.dapple) if light.kind == "day" else np.ones((HEIGHT, WIDTH), np.float32)
    picture = _film(scene.colour[window], grey)
    picture *= _light_on_ground(scene.flash[window[1:]], light, dapple)
    picture *= tint
    seen: list[np.ndarray] = []
    for layer in layers:
        darkening = 0.3 + 0.4 * light.sun if light.kind == "day" else 0.25
        picture *= 1 - darkening * layer.shadow
        rows = slice(layer.top, layer.top + layer.cover.shape[0])
        columns = slice(layer.left, layer.left + layer.cover.shape[1])
        fur = _film(np.stack(cv2.split(layer.coat)), grey)
        fur *= _light_on_fur(layer, light, dapple[rows, columns])
        fur *= tint
        if light.kind != "day":  # the eyes of a cat throw a flash back
            shine = np.array([228.0] if grey else [240.0, 306.0, 228.0], np.float32)
            fur += shine[:, None, None] * (layer.eye * np.maximum(-layer.normal[2], 0) ** 2)
        planes = [*(fur * layer.cover), layer.cover]
        if lens.motion >= 2:
            length = round(lens.motion)
            left, right = min(length, columns.start), min(length, WIDTH - columns.stop)
            kernel = np.ones((1, length), np.float32) / length
            planes = [cv2.copyMakeBorder(plane, 0, 0, left, right, cv2.BORDER_CONSTANT, value=0) for plane in planes]
            planes = [cv2.filter2D(plane, -1, kernel) for plane in planes]
            columns = slice(columns.start - left, columns.stop + right)
        cover = np.zeros((HEIGHT, WIDTH), np.float32)
        cover[rows, columns] = planes[-1]
        picture[:, rows, columns] *= 1 - planes[-1]
        picture[:, rows, columns] += planes[:-1]
        seen = [s * (1 - cover) for s in seen] + [cover]
    clear = scene.clear[window[1:]]
    picture *= clear
    front = _film(scene.front[window], grey)
    front *= 0.7 * light.exposure * tint
    picture += front
    return _sense(picture[:, : HEIGHT - STRIP], light, lens, rng), [(s * clear)[: HEIGHT - STRIP] for s in seen]


def _film(colour: np.ndarray, grey: bool) -> np.ndarray:
    """Return colours `(3, H, W)` as the sensor takes them, `(C, H, W)` float32: as they are, or near infrared alone."""
    if not grey:
        return colour.astype(np.float32)
    red, green, blue = colour
    return (np.float32(0.42) * red + np.float32(0.40) * green + np.float32(0.18) * blue)[None]


@lru_cache(64)
def _dapple(seed: int) -> np.ndarray:
    """Return `(480, 640)` the share of direct sun that leaves let through, the same for a burst."""
    field = noise((HEIGHT, WIDTH), 90, generator(seed, "dapple"))
    return 0.25 + 0.75 * smoothstep(-0.4, 0.6, field)


def _light_on_ground(flash: np.ndarray, light: Light, dapple: np.ndarray) -> np.ndarray:
    """Return the strength of light `(480, 640)` on the scene."""
    if light.kind == "day":
        return (0.60 + 0.40 * light.sun * dapple) * light.exposure
    return flash * (0.60 * light.exposure * _fall_off(1.3, 0.55))


def _light_on_fur(layer: Layer, light: Light, dapple: np.ndarray) -> np.ndarray:
    """Return the strength of light `(H, W)` on an animal."""
    normal = layer.normal
    if light.kind == "day":
        direct = np.maximum(np.tensordot(light.direction.astype(np.float32), normal, 1), 0) * light.sun * dapple
        strength = 0.60 + 0.18 * normal[1] + 0.55 * direct
    else:
        facing = np.maximum(-normal[2], 0.0)
        strength = (0.30 + 0.66 * facing) * min((2.7 / max(layer.depth, 1.2)) ** 1.2, 1.5)
    grain = generator(light.dapple, "grain").standard_normal(normal.shape[1:], np.float32)
    return strength * light.exposure * (1 + 0.06 * grain)


@lru_cache
def _fall_off(rows: float, columns: float) -> np.ndarray:
    """Return `(480, 640)` 1 in the middle, less towards the edges by the two rates."""
    row = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None]
    column = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :]
    return np.exp(-rows * np.maximum(np.abs(row) - 0.25, 0) ** 2 - columns * column**2)


def _sense(picture: np.ndarray, light: Light, lens: Lens, rng: np.random.Generator) -> np.ndarray:
    """Apply lens blur, vignette, a shoulder that clips softly, and noise; `(C, H, W)` to `(H, W, 3)` uint8."""
    channels, height, width = picture.shape
    picture = np.stack([cv2.GaussianBlur(plane, (0, 0), 0.55 + lens.blur) for plane in picture])
    # The sensor's response is 255 (1 - exp(-1.35 v)) / (1 - exp(-1.35)), of which v = 1 is white paper in full light.
    white, dark = 255 / (1 - np.exp(-1.35)), 8 / 255 if light.kind == "infrared" else 0.0
    picture *= _fall_off(0.25, 0.22)[:height] * np.float32(-1.35 / 255)
    response = cv2.exp(picture.reshape(-1, width)).reshape(picture.shape)
    response *= np.float32(-white * np.exp(-1.35 * dark))
    amount = {"day": 2.2, "flash": 4.0, "infrared": 5.0}[light.kind]
    response += rng.standard_normal((height, width), np.float32) * np.float32(amount) + np.float32(white)
    planes = cv2.convertScaleAbs(np.maximum(response, 0, out=response).reshape(-1, width)).reshape(picture.shape)
    return cv2.merge([planes[channel % channels] for channel in range(3)])


def add_strip(photo: np.ndarray, clock: datetime, camera: str, celsius: int, moon: float) -> np.ndarray:
    """Add the black strip that a camera prints: its clock, its name, temperature and phase of the moon (0 to 1)."""
    strip = np.zeros((STRIP, WIDTH, 3), np.uint8)
    white = (225, 225, 225)
    font = cv2.FONT_HERSHEY_DUPLEX
    for text, column in (
        (f"{clock:%Y-%m-%d  %H:%M:%S}", 8),
        (f"{celsius}C  {round(celsius * 1.8 + 32)}F", 330),
        (f"TRAILCAM  {camera}", 478),
    ):
        cv2.putText(strip, text, (column, 17), font, 0.48, white, 1, cv2.LINE_AA)
    centre = (296, STRIP // 2)
    cv2.circle(strip, centre, 8, (90, 90, 90), 1, cv2.LINE_AA)
    cv2.circle(strip, (round(centre[0] + 16 * (moon - 0.5)), centre[1]), 7, white, -1, cv2.LINE_AA)
    return np.vstack([photo, strip])


def encode_jpeg(photo: np.ndarray, quality: int, camera: str, clock: datetime | None) -> bytes:
    """Encode a JPEG with maker, model and serial number of the camera and its clock; no EXIF when `clock` is None."""
    buffer = BytesIO()
    if clock is None:
        Image.fromarray(photo).save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "TRAILCAM", "TC-12"
    exif[0x0132] = stamp = f"{clock:%Y:%m:%d %H:%M:%S}"
    details = exif.get_ifd(0x8769)
    details[0x9003] = details[0x9004] = stamp
    details[0xA431] = f"TC12-{camera}"
    Image.fromarray(photo).save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()
