"""A memo of slow per-image work, keyed by what the result depends on: content, parameters, model, code version.

It lives outside DVC (`.pelage/memo`), so adding 50 photos to 10,000 computes 50, while the stage's output is rebuilt
from nothing each time and DVC's run cache stays on.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from pelage.common.files import cache_root, write_bytes

LOOKED_UP: Counter[bool] = Counter()
"""Results that memos of this process were asked for so far, by whether they had them."""


class Memo:
    """Results of one kind of work, as bytes.

    Args:
        name: Kind of work, such as `saliency`; a folder of that name holds the results.
        version: Raised by hand whenever the code computes something else.
        depends: Everything else that the result depends on and that all images share (parameters, hash of weights);
            must be JSON.
        root: Folder of all memos; `.pelage/memo` of the main checkout by default.
    """

    def __init__(self, name: str, version: int, depends: Any, root: Path | None = None) -> None:
        self._folder = (root or cache_root() / "memo") / name
        self._prefix = json.dumps([name, version, depends], sort_keys=True)
        self.hits = 0
        self.misses = 0

    def key(self, *content: str | bytes) -> str:
        """Return the key of one image from its content hash (or bytes) and whatever else is its own."""
        digest = hashlib.sha256(self._prefix.encode())
        for part in content:
            data = part.encode() if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()

    def get(self, key: str) -> bytes | None:
        """Return what was put under `key`, or None."""
        try:
            data = self._path(key).read_bytes()
        except FileNotFoundError:
            self.misses += 1
            LOOKED_UP[False] += 1
            return None
        self.hits += 1
        LOOKED_UP[True] += 1
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`, atomically."""
        write_bytes(self._path(key), data)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key[2:]
