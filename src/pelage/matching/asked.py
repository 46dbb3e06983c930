"""Asked: which methods say who is on photos that nobody named. Those of the fusion do, and no other pays for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def asked_methods(params: Mapping[str, Any]) -> set[str]:
    """Return the methods of `fusion.methods`, and those whose shortlists its rematchers compare."""
    methods, rematchers = params["fusion"]["methods"], params["rematchers"]
    stood_on = {rematchers[name][field] for name in methods if name in rematchers for field in ("local", "global")}
    return {*methods, *stood_on}
