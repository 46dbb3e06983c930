"""Ask: data/asked/METHOD.json, the protocols of photos without names that each method answers; none of most methods."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import fresh_folder, write_json
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.matching.asked import asked_methods
from pelage.split.protocols import ASKED


def main() -> None:
    """Tell each method on its own, so that another choice of methods runs again those alone that it concerns."""
    params = read_params()
    asked = asked_methods(params)
    with fresh_folder(Path("data/asked")) as folder:
        for section in ("variants", "matchers", "rematchers"):
            for name in params[section]:
                write_json(folder / f"{name}.json", list(ASKED) if name in asked else [])
    print(f"ask: {', '.join(sorted(asked))} say who is on photos that nobody named")


if __name__ == "__main__":
    run_stage(main)
