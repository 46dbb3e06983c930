"""Makes the library of this very checkout importable, also in DVC's temporary copies of it."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("dvc") is None:
    sys.exit(
        f"ERROR: {sys.executable} lacks the packages of requirements.txt. "
        "Use `make repro`, `uv run dvc repro`, or `source .venv/bin/activate` before `dvc`."
    )
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
