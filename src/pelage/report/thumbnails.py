"""Small pictures for pages: how many there may be, how small they are to be, and the pictures themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from pelage.common.images import to_rgb
from pelage.common.parallel import parallel_map
from pelage.report.sheets import scaled
from pelage.report.template import data_uri

STEPS = ((1.0, 85), (1.0, 70), (1.0, 55), (1.0, 40), (0.75, 40), (0.5, 40), (0.35, 30))
"""Shares of the side and qualities that are tried until a picture is small enough."""

PLAIN = ((1.0, 45), (1.0, 30), (0.7, 30), (0.5, 30), (0.35, 20), (0.25, 10))
"""The same for thumbnails, whose side is such that the first does for most."""

QUALITY = {"jpeg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}
SIDES, BYTES_A_PIXEL = (48, 240), 12
"""Longer side of a thumbnail, pixels, and bytes that it takes for each pixel of that."""

MOST, LEAST = 3_600, 450
"""Bytes of a thumbnail at most, and those below which nothing can be recognised."""

AROUND = 120
"""Bytes that a page takes for a thumbnail besides the picture: a caption and the like."""

GOOD = 1_500
"""Bytes of a thumbnail that are worth more than another thumbnail."""

COUNTS = (24, 16, 12, 8, 4, 2, FEWEST := 1)
"""Thumbnails that a page may have at most; the first that leaves each `GOOD` bytes is taken."""


def small_picture(
    image: np.ndarray, side: int, most_bytes: int, kind: str = "jpeg", steps: Sequence[tuple[float, int]] = STEPS
) -> bytes:
    """Return an RGB image as `kind` of at most `side` pixels a side, coarser until it has at most `most_bytes`."""
    for share, quality in steps:
        small = scaled(image, round(side * share), round(side * share))
        data = cv2.imencode(f".{kind}", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [QUALITY[kind], quality])[1].tobytes()
        if len(data) <= most_bytes:
            break
    return data


def shrunk(png: bytes, photos: bool) -> str:
    """Return a PNG as an address that holds it as WebP: figures as they are, photos with a loss that nobody sees."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    quality = 80 if photos else 101  # above 100: without a loss
    return data_uri(cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes(), "webp")


def thumbnail(image: np.ndarray, most_bytes: int = MOST) -> str:
    """Return an image `(H, W, C)` as an address that holds it small; none is enlarged."""
    side = min(max(image.shape[:2]), SIDES[1], max(SIDES[0], most_bytes // BYTES_A_PIXEL))
    return data_uri(small_picture(to_rgb(image), side, most_bytes, "webp", PLAIN), "webp")


def thumbnails(
    crop_ids: Iterable[str], load: Callable[[str], np.ndarray | None], most_bytes: int = MOST
) -> dict[str, str]:
    """Return the thumbnail of each crop that has a picture.

    Args:
        crop_ids: Crops; a crop may stand more than once, and an empty one is none.
        load: Gives the image `(H, W, C)` of a crop, or None.
        most_bytes: Bytes of a thumbnail.
    """

    def drawn(crop_id: str) -> str | None:
        image = load(crop_id)
        return None if image is None else thumbnail(image, most_bytes)

    wanted = list(dict.fromkeys(filter(None, crop_ids)))
    found = zip(wanted, parallel_map(drawn, wanted), strict=True)
    return {crop_id: picture for crop_id, picture in found if picture}


def allotted(crops: Sequence[int], room: int, others: int = 0) -> tuple[int, int]:
    """Return how many thumbnails a page may have, and how many bytes each, so that all pages fit into `room`.

    Args:
        crops: Crops that each page could show.
        room: Bytes for the pictures of all pages, as text; a picture takes four thirds of its bytes.
        others: Pictures that the pages have besides.
    """
    for count in COUNTS:
        bytes_each = (room // max(1, others + sum(min(number, count) for number in crops)) - AROUND) * 3 // 4
        if bytes_each >= GOOD:
            break
    return count, min(MOST, max(LEAST, bytes_each))
