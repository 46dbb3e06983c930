"""MLP: crops and split -> data/rankings/mlp.parquet and random_mlp.parquet, plots/mlp_grid.csv, numbers."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import write_json
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import write_parquet, write_table
from pelage.matching.rankings import empty_rankings
from pelage.matching.search.cosine import SearchRules, search
from pelage.model.crops import present
from pelage.split.protocols import protocol_sets, read_split
from pelage.study.mlp import embed, learn, read_grid, read_inputs


def main() -> None:
    """Train the perceptron on grey pixels and rank by its hidden layer, and by that of the untrained one."""
    params = read_params()
    wanted = params["mlp"]
    part = wanted["part"]
    crops = Packs(Path("data/views") / wanted["view"] / part)
    grid = read_grid(wanted["hidden"], wanted["rates"], wanted["batches"])
    fixed = {key: wanted[key] for key in ("epochs", "patience", "folds", "seed")}
    sets = protocol_sets(read_split(Path("data/split.csv")), part)
    asked = {name for chosen in sets.values() for rows in (chosen.queries, chosen.gallery) for name in rows["crop_id"]}
    names = present(sorted(asked), crops)
    inputs = read_inputs(names, crops, wanted["side"])

    training = sets["validation"].gallery
    training = training[training["crop_id"].isin(names)]
    places = [names.index(name) for name in training["crop_id"]]
    networks, metrics, searched = learn(training, inputs[places], fixed, grid)

    rules = SearchRules(params["search"]["depth"], whole=params["search"]["whole"])
    for method in ("mlp", "random_mlp"):
        rankings = empty_rankings()
        if method in networks:
            rankings = search(embed(networks[method], names, inputs), sets, rules)
        write_parquet(Path(f"data/rankings/{method}.parquet"), rankings)
    write_table(Path("plots/mlp_grid.csv"), searched)
    write_json(Path("data/numbers/mlp.json"), metrics)
    print("mlp: " + ", ".join(f"{name} {value}" for name, value in metrics.items()))


if __name__ == "__main__":
    run_stage(main)
