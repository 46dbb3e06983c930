"""Folders of packs for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pelage.common.images import encode_png
from pelage.common.packs import Packs, packed_folder


def pack_images(data: Path, folder: str, images: Mapping[str, np.ndarray]) -> Packs:
    """Write images, by file name, as the packs of a folder below `data` and its table; return what reads them."""
    with packed_folder(data / folder, data) as packer:
        for name in sorted(images):
            packer.put(name, encode_png(images[name]))
    return Packs(data / folder, data)
