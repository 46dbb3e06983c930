"""HotSpotter's spatial verification, word for word as WBIA specifies it: 3 x 3 matrices and loops, slow on purpose."""

from __future__ import annotations

from math import atan2, cos, hypot, pi, sin, sqrt

import numpy as np


def region_matrix(xy, shape):
    """invVR of an upright keypoint: [[a, 0, x], [c, d, y], [0, 0, 1]] takes the unit circle to the region."""
    a, c, d = map(float, shape)
    return np.array([[a, 0.0, float(xy[0])], [c, d, float(xy[1])], [0.0, 0.0, 1.0]])


def direction(matrix):
    """Angle by which a region is turned: that of its image of gravity, less a quarter turn."""
    return atan2(matrix[1, 1], matrix[0, 1]) - pi / 2


def angle_between(one, other):
    difference = abs(one - other) % (2 * pi)
    return min(difference, 2 * pi - difference)


def area_ratio(one, other):
    return max(one / other, other / one)


def literal_verify(query, candidate, first, second, vote, distance=0.1, area=2.0, turn=pi / 2, least=7):
    """Return the matches `(M,)` bool that `pelage.matching.local.affine_verification.verify` has to return."""
    none = np.zeros(len(first), bool)
    limit = distance**2 * (candidate.size[0] ** 2 + candidate.size[1] ** 2)
    old = [region_matrix(query.xy[i], query.shape[i]) for i in first]
    new = [region_matrix(candidate.xy[j], candidate.shape[j]) for j in second]
    best, agreeing = -1.0, []
    for m in range(len(first)):
        proposal = new[m] @ np.linalg.inv(old[m])
        inliers = []
        for n in range(len(first)):
            moved = proposal @ old[n]
            off = (moved[0, 2] - new[n][0, 2]) ** 2 + (moved[1, 2] - new[n][1, 2]) ** 2
            ratio = area_ratio(np.linalg.det(moved), np.linalg.det(new[n]))
            if off < limit and ratio < area and angle_between(direction(moved), direction(new[n])) < turn:
                inliers.append(n)
        votes = sum(float(vote[n]) for n in inliers)
        if votes > best + 1e-6:  # of equal ones the first
            best, agreeing = votes, inliers
    if len(agreeing) < least:
        return none

    def whitened(points):
        mean, spread = points.mean(axis=0), points.std(axis=0)
        spread[spread == 0] = 1
        return np.array([[1 / spread[0], 0, -mean[0] / spread[0]], [0, 1 / spread[1], -mean[1] / spread[1]], [0, 0, 1]])

    start = np.array([old[n][:2, 2] for n in agreeing])
    end = np.array([new[n][:2, 2] for n in agreeing])
    left, right = whitened(start), whitened(end)
    rows = []
    for (x, y), (u, v) in zip(start, end, strict=True):
        x, y, _ = left @ [x, y, 1]
        u, v, _ = right @ [u, v, 1]
        rows += [[0, 0, 0, -x, -y, -1, v * x, v * y, v], [x, y, 1, 0, 0, 0, -u * x, -u * y, -u]]
    solution = np.linalg.svd(np.array(rows))[2][8].reshape(3, 3)
    homography = np.linalg.inv(right) @ solution @ left
    homography /= homography[2, 2]
    if np.linalg.matrix_rank(homography) != 3:
        return none

    def project(x, y):
        u, v, w = homography @ [x, y, 1]
        return u / w, v / w

    result = none.copy()
    for n in range(len(first)):
        x, y = old[n][:2, 2]
        radius, theta = sqrt(old[n][0, 0] * old[n][1, 1]), 0.0
        u, v = project(x, y)
        p, q = project(x + radius * sin(theta), y - radius * cos(theta))
        off = (u - new[n][0, 2]) ** 2 + (v - new[n][1, 2]) ** 2
        ratio = area_ratio(hypot(u - p, v - q) ** 2, new[n][0, 0] * new[n][1, 1])
        turned = atan2(v - q, u - p) - pi / 2
        result[n] = off < limit and ratio < area and angle_between(turned, theta) < turn
    return result
