"""The body of a leopard as smooth surfaces: trunk, legs, tail, head and ears, in a pose.

Every surface is a grid of points (generalised cylinders along curves, and a star-shaped head) and carries its place
in the coat's texture *at rest*, so the same rosettes are at the same place of the body in every pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pelage.catalogue.demo.pattern import ear_coordinates, face_coordinates, flank_coordinates, tail_coordinates

# The trunk from tail to neck: along the body, height of the middle, half height, half width; metres.
_TRUNK = np.array(
    [
        [-0.545, 0.560, 0.035, 0.030],
        [-0.525, 0.548, 0.095, 0.070],
        [-0.470, 0.525, 0.145, 0.100],
        [-0.370, 0.505, 0.172, 0.125],
        [-0.210, 0.490, 0.158, 0.118],
        [-0.040, 0.478, 0.156, 0.124],
        [0.120, 0.472, 0.170, 0.130],
        [0.270, 0.485, 0.180, 0.128],
        [0.385, 0.520, 0.160, 0.112],
        [0.485, 0.570, 0.132, 0.096],
        [0.565, 0.620, 0.112, 0.088],
        [0.635, 0.650, 0.098, 0.082],
    ]
)
_HEAD = np.array([0.700, 0.682])  # middle of the skull at rest
_HEAD_SIZE = 1.15
_FRONT = {"top": (0.285, 0.49), "joint": 0.230, "low": 0.210, "ankle": (0.015, 0.115), "bend": -1.0}
_HIND = {"top": (-0.375, 0.48), "joint": 0.220, "low": 0.230, "ankle": (-0.060, 0.150), "bend": 1.0}
# Half thickness in the plane of the leg and across, from shoulder or hip to toes.
_FRONT_RADII = np.array([[0.120, 0.058], [0.104, 0.064], [0.068, 0.056], [0.050, 0.046], [0.045, 0.046], [0.03, 0.044]])
_HIND_RADII = np.array([[0.140, 0.062], [0.130, 0.074], [0.086, 0.062], [0.043, 0.040], [0.042, 0.044], [0.03, 0.044]])


@dataclass(frozen=True)
class Pose:
    """How the body is held. Angles in radians, `phase` of the walk from 0 to 1."""

    phase: float = 0.0
    stride: float = 0.13
    head_yaw: float = 0.0
    head_pitch: float = 0.0
    head_drop: float = 0.0
    tail_lift: float = 0.0
    tail_sway: float = 0.0
    bulk: float = 1.0


@dataclass(frozen=True)
class Surface:
    """A grid of points `(N, M, 3)` in metres (forward, up, left) with texture column and row `(N, M, 2)`.

    `two_sided` surfaces show from behind too; `head` ones belong to the head.
    """

    points: np.ndarray
    texture: np.ndarray
    head: bool = False
    two_sided: bool = False


def body(pose: Pose) -> list[Surface]:
    """Return the surfaces of an animal that stands at the origin on the ground, looking along the first axis."""
    neck_turn = np.array([-0.04 * (1 - np.cos(pose.head_yaw)), -pose.head_drop, 0.085 * np.sin(pose.head_yaw)])
    surfaces = [*_trunk(neck_turn, pose.bulk), _tail(pose), *_head(neck_turn, pose)]
    for side in (-1.0, 1.0):
        # Lateral sequence walk: hind foot, fore foot of the same side a quarter later, then the other side.
        offset = 0.0 if side < 0 else 0.5
        surfaces.append(_leg(_HIND, _HIND_RADII, 0.088, side, pose.phase + offset, pose.stride))
        surfaces.append(_leg(_FRONT, _FRONT_RADII, 0.082, side, pose.phase + offset + 0.25, pose.stride))
    return surfaces


@lru_cache
def _spline(controls: int, count: int) -> np.ndarray:
    """Return the matrix `(count, controls)` of Catmull-Rom interpolation at equally spaced places."""
    place = np.linspace(0, controls - 1, count)
    first = np.minimum(place.astype(int), controls - 2)
    t = place - first
    weights = np.stack(
        [(-t + 2 * t**2 - t**3) / 2, (2 - 5 * t**2 + 3 * t**3) / 2, (t + 4 * t**2 - 3 * t**3) / 2, (t**3 - t**2) / 2]
    )
    matrix = np.zeros((count, controls))
    for offset, weight in enumerate(weights):
        np.add.at(matrix, (np.arange(count), np.clip(first + offset - 1, 0, controls - 1)), weight)
    return matrix


def _smooth(controls: np.ndarray, count: int) -> np.ndarray:
    """Interpolate control rows `(K, D)` smoothly at `count` places, equally spaced in control number."""
    return _spline(len(controls), count) @ controls


def _tube(centres: np.ndarray, radii: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return points `(N, M, 3)` around a curve `(N, 3)`; `radii` `(N, 2)` across the curve upwards and sideways."""
    along = np.gradient(centres, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    sideways = np.array([0.0, 0.0, 1.0]) - along * along[:, 2:]
    sideways /= np.linalg.norm(sideways, axis=1, keepdims=True)
    upwards = np.cross(sideways, along)
    ring_up, ring_side = np.cos(angles)[None, :, None], np.sin(angles)[None, :, None]
    return (
        centres[:, None]
        + upwards[:, None] * ring_up * radii[:, None, :1]
        + sideways[:, None] * ring_side * radii[:, None, 1:]
    )


def _flank_texture(rest: np.ndarray, side: float) -> np.ndarray:
    column, row = flank_coordinates(rest[..., 0], rest[..., 1], side)
    return np.stack([column, row], axis=-1)


def _trunk(neck_turn: np.ndarray, bulk: float) -> list[Surface]:
    halves = []
    profile = _smooth(_TRUNK, 56)
    radii = profile[:, 2:] * np.array([1.0, bulk])
    follow = np.clip((profile[:, 0] - 0.27) / (0.63 - 0.27), 0, 1) ** 1.5
    rest = np.column_stack([profile[:, :2], np.zeros(len(profile))])
    for side in (-1.0, 1.0):
        angles = side * np.linspace(0, np.pi, 24)
        at_rest = _tube(rest, radii, angles)
        posed = _tube(rest + follow[:, None] * neck_turn, radii, angles)
        halves.append(Surface(posed, _flank_texture(at_rest, side)))
    return halves


def _leg(shape: dict, radii: np.ndarray, spread: float, side: float, phase: float, stride: float) -> Surface:
    def joints(reach: float, lift: float) -> np.ndarray:
        top = np.array(shape["top"])
        foot = np.array([top[0] + shape["ankle"][0] + reach, lift])
        ankle = foot + np.array([0.02 * np.sign(-shape["bend"]) - 0.25 * lift, shape["ankle"][1]])
        gap = ankle - top
        span = min(float(np.hypot(*gap)), 0.995 * (shape["joint"] + shape["low"]))
        ankle = top + gap / np.hypot(*gap) * span
        # Two-bone inverse kinematics by the law of cosines.
        cosine = (shape["joint"] ** 2 + span**2 - shape["low"] ** 2) / (2 * shape["joint"] * span)
        bend = np.arctan2(gap[1], gap[0]) + shape["bend"] * np.arccos(np.clip(cosine, -1, 1))
        knee = top + shape["joint"] * np.array([np.cos(bend), np.sin(bend)])
        sole = np.array([ankle[0] + 0.01, max(foot[1], 0.0) + 0.030])
        toes = sole + np.array([0.062, -0.012])
        return np.array([top + np.array([0, 0.03]), (top + knee) / 2, knee, ankle, sole, toes])

    swing = np.sin(2 * np.pi * phase)
    lift = 0.07 * max(0.0, np.cos(2 * np.pi * phase)) * stride / 0.13
    width = np.array([0.0, 0.0, -0.010, -0.018, -0.02, -0.02]) + spread
    rings = _smooth(radii, 34)
    angles = np.linspace(0, 2 * np.pi, 26)

    def tube(reach: float, height: float) -> np.ndarray:
        centres = _smooth(np.column_stack([joints(reach, height), side * width]), 34)
        ends = np.ones(34)
        ends[-3:] = [0.85, 0.6, 0.1]
        ends[:4] = [0.3, 0.6, 0.8, 0.93]
        return _tube(centres, rings * ends[:, None], angles)

    return Surface(tube(stride * swing, lift), _flank_texture(tube(0.0, 0.0), side))


def _tail(pose: Pose) -> Surface:
    t = np.linspace(0, 1, 40)
    drop = -0.42 * np.sin(np.pi * np.minimum(t * 0.62, 0.5)) + (0.30 + pose.tail_lift) * t**2.2
    centres = np.column_stack([-0.51 - 0.58 * t + 0.14 * t**3, 0.580 + drop, pose.tail_sway * t**1.6])
    radius = 0.044 - 0.012 * t
    radius[-3:] *= [0.85, 0.6, 0.1]
    angles = np.linspace(0, 2 * np.pi, 16)
    points = _tube(centres, np.column_stack([radius, radius]), angles)
    return Surface(points, tail_coordinates(*np.meshgrid(t, angles / (2 * np.pi), indexing="ij")))


def _head(neck_turn: np.ndarray, pose: Pose) -> list[Surface]:
    angle, roll = np.meshgrid(np.linspace(0, np.pi, 44), np.linspace(0, 2 * np.pi, 48), indexing="ij")
    forward, up, left = np.cos(angle), np.sin(angle) * np.cos(roll), -np.sin(angle) * np.sin(roll)
    radius = 1 / np.sqrt((forward / 0.112) ** 2 + (up / 0.098) ** 2 + (left / 0.100) ** 2)

    def bump(f: float, u: float, s: float, width: float) -> np.ndarray:
        d = np.array([f, u, s]) / np.linalg.norm([f, u, s])
        return np.exp(-(1 - (forward * d[0] + up * d[1] + np.abs(left) * d[2])) / width)

    radius = radius + 0.066 * bump(1, -0.28, 0.0, 0.075) + 0.012 * bump(0.75, -0.45, 0.35, 0.08)
    radius = radius + 0.010 * bump(0.25, -0.25, 0.8, 0.2) + 0.008 * bump(0.7, 0.6, 0.35, 0.06)
    skull = np.stack([forward, up, left], axis=-1) * radius[..., None]
    column, row = face_coordinates(forward, up, -left)
    parts = [(skull, np.stack([column, row], axis=-1), False)]
    for side in (-1.0, 1.0):
        around, out = np.meshgrid(np.linspace(0, np.pi, 15), np.linspace(0, 1, 9), indexing="ij")
        across, height = np.cos(around) * out * 0.043, np.sin(around) * out * 0.062
        cup = 0.022 * (1 - (across / 0.043) ** 2) * np.sin(np.pi * np.minimum(height / 0.062, 1) * 0.6)
        tilt = 0.5 * side
        ear = np.stack(
            [
                -0.005 - cup + 0.12 * height,
                0.074 + height * np.cos(tilt) - side * across * np.sin(tilt) * side,
                side * 0.062 + across * np.cos(tilt) + height * np.sin(tilt),
            ],
            axis=-1,
        )
        for inside in (True, False):
            shell = ear - np.array([0.0 if inside else 0.006, 0, 0])
            parts.append((shell, ear_coordinates(np.cos(around) * out, np.sin(around) * out, inside), True))
    yaw, pitch = pose.head_yaw, pose.head_pitch
    tilt_up = np.array([[np.cos(pitch), -np.sin(pitch), 0], [np.sin(pitch), np.cos(pitch), 0], [0, 0, 1]])
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    middle = np.array([_HEAD[0], _HEAD[1], 0.0]) + neck_turn
    rotation = (turn @ tilt_up).T
    return [Surface(_HEAD_SIZE * p @ rotation + middle, texture, True, two_sided) for p, texture, two_sided in parts]
