"""When a photo was taken by its EXIF. No pixel is decoded, so a photo may have any number of them."""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

from PIL import Image

from pelage.catalogue.dates import exif_date

EXIF_IFD, DATE_TIME = 0x8769, 0x0132
DATE_TIME_ORIGINAL, DATE_TIME_DIGITIZED = 0x9003, 0x9004

Image.MAX_IMAGE_PIXELS = None  # a panorama of 184 megapixels is a photo, and opening one reads its header only


class Taken(NamedTuple):
    """When a photo was taken by its EXIF: ISO 8601 or empty, and whether all it has is the time of its last change."""

    date: str
    only_change_time: bool


def time_taken(data: bytes) -> Taken:
    """Return when a photo (the bytes of its file) was taken: the original time, else the digitised one.

    The time of the last change is that of a program that saved the photo, and no time of capture.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            exif = image.getexif()
            inner = exif.get_ifd(EXIF_IFD)
            told = [exif_date(inner.get(tag)) for tag in (DATE_TIME_ORIGINAL, DATE_TIME_DIGITIZED)]
            changed = exif_date(exif.get(DATE_TIME))
    except Exception:  # broken EXIF makes Pillow raise errors of many kinds; such a photo has no date, no more
        return Taken("", False)
    date = told[0] or told[1]
    return Taken(date, bool(changed) and not date)
