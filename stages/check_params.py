"""Check params: a wrong data set, part, view, loss, matcher or variant is said before outputs are removed."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import write_text
from pelage.common.params import choose, entry, read_params
from pelage.common.stage import run_stage
from pelage.insight.settings import check_settings
from pelage.matching.fusion import read_methods
from pelage.matching.learned.rematchers import read_rematcher
from pelage.matching.local.matchers import read_matcher
from pelage.matching.search.cosine import read_rules
from pelage.training.variant import read_variant


def main() -> None:
    params = read_params()
    entry(params["datasets"], params["ingest"]["dataset"], "datasets")
    for name in params["variants"]:
        read_variant(params, name)
    choose(params["insight"]["variant"], params["variants"], "insight.variant")
    check_settings(params["insight"])
    for name in params["matchers"]:
        read_matcher(params, name)
    for name in params["rematchers"]:
        read_rematcher(params, name)
    read_methods(params)
    read_rules(params)
    told = "The data set, the variants and the matchers of params.yaml name what exists.\n"
    write_text(Path("data/params_checked.txt"), told)
    counted = f"{len(params['variants'])} variants, {len(params['matchers'])} matchers"
    print(f"check_params: data set {params['ingest']['dataset']}, {counted}")


if __name__ == "__main__":
    run_stage(main)
