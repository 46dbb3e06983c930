"""Search VARIANT: embeddings and split -> data/rankings/VARIANT/SEED.parquet."""

import sys
from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import fresh_folder, seed_files
from pelage.common.params import entry, read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_parquet
from pelage.matching.search.cosine import read_embeddings, read_rules, search
from pelage.split.protocols import protocol_sets, read_split


def main() -> None:
    name = sys.argv[1]
    params = read_params()
    part = entry(params["variants"], name, "variants")["part"]
    rules = read_rules(params)
    sets = protocol_sets(read_split(Path("data/split.csv")), part)
    with fresh_folder(Path(f"data/rankings/{name}")) as folder:
        for file in seed_files(Path(f"data/embeddings/{name}.{params['embed']['format']}")):
            rankings = search(read_embeddings(file), sets, rules)
            write_parquet(folder / f"{file.stem}.parquet", rankings)
    counts = rankings.groupby("protocol", sort=False)["query"].nunique()
    print(f"search {name}: queries " + (", ".join(f"{k} {n}" for k, n in counts.items()) or "none"))


if __name__ == "__main__":
    run_stage(main)
