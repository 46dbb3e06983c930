"""Makes the library of this very checkout importable, also in DVC's temporary copies of it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
