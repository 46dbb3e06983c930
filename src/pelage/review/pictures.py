"""Pictures of crops as the page shows them: thumbnails, which are kept, and the whole crop on zoom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from pelage.common.errors import PelageError
from pelage.common.images import to_rgb
from pelage.common.memo import Memo
from pelage.common.packs import Packs
from pelage.common.tables import crop_file

VIEWS = {"crop": "crop", "nobg": "nobg", "edges": "crop_edge"}
"""What can be seen of a crop, and the folder of `data/views` that holds it; of the last the fourth channel is shown."""

SIZES = {"small": 240, "full": 1600}
"""Most pixels of the longer side."""

QUALITY = {"small": 80, "full": 92}


class Pictures:
    """The crops of one part.

    Args:
        data: The folder of the run.
        part: Such as `flank`.
        hashes: SHA-256 of each crop by crop id; no other crop is shown.
    """

    def __init__(self, data: Path, part: str, hashes: Mapping[str, str]) -> None:
        self._data, self._part, self._hashes = data, part, hashes
        self._packs: dict[str, Packs] = {}
        self._memo = Memo("thumbnails", 1, [SIZES["small"], QUALITY["small"]])

    def version(self, crop: str) -> str:
        """Return what stands in a picture's address, so that a browser may keep it: another crop has another one."""
        return self._hashes.get(crop, "")[:12]

    def jpeg(self, crop: str, view: str, size: str) -> bytes | None:
        """Return the picture, None where there is no such crop, view or size, or its pack is gone."""
        if crop not in self._hashes or view not in VIEWS or size not in SIZES:
            return None
        if size == "full":
            return self._encode(crop, view, size)
        key = self._memo.key(self._hashes[crop], view)
        kept = self._memo.get(key)
        if kept is None and (kept := self._encode(crop, view, size)) is not None:
            self._memo.put(key, kept)
        return kept

    def _encode(self, crop: str, view: str, size: str) -> bytes | None:
        try:
            if view not in self._packs:
                self._packs[view] = Packs(self._data / "views" / VIEWS[view] / self._part, self._data)
            image = self._packs[view].image(crop_file(crop))
        except PelageError:
            return None
        if view == "edges":
            image = np.repeat(image[:, :, 3:4], 3, axis=2)
        image = to_rgb(image)
        scale = SIZES[size] / max(image.shape[:2])
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY[size]]
        return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
