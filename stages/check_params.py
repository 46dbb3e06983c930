"""Check params: a wrong data set, part, view, loss or variant is said before any stage has removed its outputs."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import write_text
from pelage.common.params import choose, entry, read_params
from pelage.common.stage import run_stage
from pelage.insight.settings import check_settings
from pelage.training.variant import read_variant


def main() -> None:
    params = read_params()
    entry(params["datasets"], params["ingest"]["dataset"], "datasets")
    for name in params["variants"]:
        read_variant(params, name)
    choose(params["insight"]["variant"], params["variants"], "insight.variant")
    check_settings(params["insight"])
    write_text(Path("data/params_checked.txt"), "The data set and the variants of params.yaml name what exists.\n")
    print(f"check_params: data set {params['ingest']['dataset']}, {len(params['variants'])} variants")


if __name__ == "__main__":
    run_stage(main)
