"""What stages start with: the library of this very checkout (also in a copy that DVC makes), and quick processes."""

import gc
import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("dvc") is None:
    sys.exit(
        f"ERROR: {sys.executable} lacks the packages of requirements.txt. "
        "Use `make repro`, `uv run dvc repro`, or `source .venv/bin/activate` before `dvc`."
    )
gc.set_threshold(50_000, 20)  # imports make a million objects that stay: they need not be looked through for garbage
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
