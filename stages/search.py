"""Search [VARIANT ...]: embeddings of all variants, or of those that are named, -> data/rankings/networks/."""

import sys
from pathlib import Path

import _path  # noqa: F401
import pandas as pd

from pelage.common.files import fresh_folder, seed_files
from pelage.common.params import entry, read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_parquet
from pelage.matching.rankings import NETWORKS
from pelage.matching.search.cosine import SearchRules, read_embeddings, read_rules, search
from pelage.split.protocols import asked_sets, protocol_sets, read_asked, read_split


def main() -> None:
    params = read_params()
    split, rules = read_split(Path("data/split.csv")), read_rules(params)
    for name in sys.argv[1:] or params["variants"]:
        rank(name, entry(params["variants"], name, "variants")["part"], split, rules, params["embed"]["format"])


def rank(name: str, part: str, split: pd.DataFrame, rules: SearchRules, suffix: str) -> None:
    """Rank galleries by each seed's embeddings; who is on photos without a name is asked of the lowest seed alone."""
    wanted = read_asked(Path(f"data/asked/{name}.json"))
    judged, asked, first = protocol_sets(split, part), asked_sets(split, part, wanted), None
    with fresh_folder(NETWORKS / name) as folder:
        for file in seed_files(Path(f"data/embeddings/{name}.{suffix}")):
            rankings = search(read_embeddings(file), judged | asked if first is None else judged, rules)
            write_parquet(folder / f"{file.stem}.parquet", rankings)
            first = rankings if first is None else first
    counts = first.groupby("protocol", sort=False)["query"].nunique()
    print(f"search {name}: queries " + (", ".join(f"{k} {n}" for k, n in counts.items()) or "none"))


if __name__ == "__main__":
    run_stage(main)
