"""Templates of pages: what a page shows is inside it, nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def fill(name: str, /, **values: Any) -> str:
    """Return the template `name` of this folder with `values` in it, each escaped; a missing value is an error."""
    return _environment().get_template(name).render(**values)


@cache
def _environment() -> Environment:
    """Return what templates are compiled in, once for thousands of pages."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_uri(picture: bytes, kind: str = "png") -> str:
    """Return the bytes of a picture (`png`, `jpeg` or `webp`) as an address that holds them."""
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode()
