"""Asked: which methods say who is on photos that nobody named. Those of the fusion do, and no other pays for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pelage.matching.learned.rematchers import stood_on


def asked_methods(params: Mapping[str, Any]) -> set[str]:
    """Return the methods of `fusion.methods`, and those whose shortlists its rematchers compare, directly or not."""
    rematchers = params["rematchers"]
    asked = {other for name in params["fusion"]["methods"] for other in stood_on(rematchers, name)}
    return asked | {rematchers[name]["global"] for name in asked if name in rematchers}
