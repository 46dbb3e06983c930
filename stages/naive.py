"""Naive: data/split.csv -> data/rankings/random.parquet and majority.parquet, the controls."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_parquet
from pelage.matching.naive import naive_rankings
from pelage.split.protocols import read_split


def main() -> None:
    """Rank at random and by how often an individual was photographed."""
    params = read_params()
    part = params["naive"]["part"]
    split = read_split(Path("data/split.csv"))
    rankings = naive_rankings(
        split, part, params["search"]["depth"], params["naive"]["seed"], params["search"]["whole"]
    )
    for method, table in rankings.items():
        write_parquet(Path(f"data/rankings/{method}.parquet"), table)
        print(f"naive: {method} ranked {table.groupby('protocol')['query'].nunique().sum()} queries of {part}")


if __name__ == "__main__":
    run_stage(main)
