"""Check params: what is wrong in params.yaml is said, and what could take a file of the user's is refused.

Every other stage waits for this one, so that nothing is run or removed before.
"""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import write_text
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.settings.check import check_params, left_out
from pelage.settings.paths import check_paths

TOLD = "The data set, the variants and the matchers of params.yaml name what exists.\n"
"""Always the same, so that a change of params.yaml makes no stage run which does not use it."""


def main() -> None:
    params = read_params()
    check_paths(params)
    check_params(params)
    write_text(Path("data/params_checked.txt"), TOLD)
    if idle := left_out(params):
        print(f"check_params: parts is {', '.join(params['parts'])}, so these are left out: {', '.join(idle)}")
    counted = f"{len(params['variants'])} variants, {len(params['matchers'])} matchers"
    print(f"check_params: data set {params['ingest']['dataset']}, {counted}")


if __name__ == "__main__":
    run_stage(main)
