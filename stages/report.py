"""Report: what all stages found -> data/report/ (index.html, leaderboard.md), plots/*.png."""

from collections.abc import Mapping
from pathlib import Path

import _path  # noqa: F401
import pandas as pd
from safetensors.numpy import load_file

from pelage.common.files import fresh_folder, write_bytes, write_text
from pelage.common.packs import Packs
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.common.tables import PARTS, read_parquet, read_table
from pelage.evaluation.verdicts import NUMBERS as NUMBERS_OF_VERDICTS
from pelage.matching.fusion import RECIPROCAL_RANK
from pelage.matching.matches import matches_table
from pelage.matching.rankings import FUSED, ranking_files
from pelage.report import animals_page, figures, individual_pages, insight_sheets, page, sheets
from pelage.report.camera_counts import NUMBERS, with_people
from pelage.report.sightings import NUMBERS as NUMBERS_OF_ANIMALS
from pelage.report.tables import best_local, leader, leaderboard, list_methods, markdown, read_metrics
from pelage.report.verdict_table import verdict_blocks, verdicts_markdown

SPLIT = {"known": bool, "gallery": bool}


def main() -> None:
    """Lay out, draw and say what this run found; nothing is computed that is not in a table already."""
    params = read_params()
    wanted, parts = params["report"], params["parts"]
    count, seed, candidates = wanted["examples"], wanted["seed"], wanted["candidates"]
    methods = list_methods(params)
    networks = [method.name for method in methods if method.kind == "network"]
    per_part = [f"{stage}_{part}" for stage in ("crop", "background", "edges") for part in parts]
    trained = [f"train/{name}" for name in networks]
    compared = [f"match/{method.name}" for method in methods if method.kind == "local"]
    ranked = [*trained, *compared, "mlp", "pairs", "fuse", "insight"]
    stages = ["headline", "ingest", "clean", "detect", *per_part[len(parts) :], "split", "leakage"]
    stages += ["individuals", "count"]
    metrics = {stage: read_metrics(Path(f"metrics/{stage}.json")) for stage in stages}
    metrics |= {stage: read_metrics(Path(f"data/numbers/{stage}.json")) for stage in ranked}
    metrics["decisions"] = read_metrics(Path("data/numbers/individuals.json"))
    seeds, champions = (read_metrics(Path(f"data/{name}.json")) for name in ("seeds", "champion"))
    verdicts = read_table(Path("data/verdicts.csv"), dict.fromkeys(NUMBERS_OF_VERDICTS, float))
    rejecting = ["ingest", "clean", "detect", "claims", *per_part[: 2 * len(parts)]]
    rejected = {stage: read_table(Path(f"data/rejected/{stage}.csv")) for stage in rejecting}

    clean, split = read_table(Path("data/clean.csv")), read_table(Path("data/split.csv"), SPLIT)
    animals, found = (read_table(Path(f"data/{name}.csv"), sheets.BOX) for name in ("animals", "detections"))
    clocks, cameras = read_table(Path("data/clocks.csv")), read_table(Path("data/cameras.csv"), NUMBERS)
    visible = clean[~clean["image_id"].isin(with_people(rejected["detect"]))]
    truth = read_table(Path("data/truth/truth.csv"), sheets.BOX | sheets.FACE)
    histories = {name: read_table(Path(f"plots/training/{name}.csv"), figures.HISTORY) for name in networks}
    planes = {name: read_parquet(Path(f"data/umap/{name}.parquet")) for name in networks}
    curves = {method.name: read_table(Path(f"plots/cmc/{method.name}.csv"), figures.CURVES) for method in methods}
    table = leaderboard({m.name: read_metrics(Path(f"data/eval/{m.name}.json")) for m in methods}, methods)
    first = leader(table)
    ranking = of_protocol(ranking_files(first["method"])[0], first["protocol"])
    local = best_local(table, first)
    views = {part: {view: Packs(Path("data/views") / view / part) for view in sheets.VIEWS} for part in PARTS}
    crops = views[first["part"]]["crop"]
    insight = Path("data/insight")
    pairs = read_table(insight / "pairs.csv", insight_sheets.PAIRS)
    classes = read_table(insight / "classes.csv", insight_sheets.CLASSES)
    maps = load_file(insight / "maps.safetensors")
    looked = views[metrics["insight"]["part"]][metrics["insight"]["view"]]

    explained = [ranking.head(0), matches_table([]), ranking.head(0)]
    if local:
        explained[0] = of_protocol(ranking_files(local)[0], first["protocol"])
        explained[1] = of_protocol(Path(f"data/matches/{local}.parquet"), first["protocol"])
    if metrics["fuse"]["part"] == first["part"] and metrics["fuse"]["calibration"] != RECIPROCAL_RANK:
        explained[2] = of_protocol(ranking_files(FUSED)[0], first["protocol"])

    pictures = {
        "leaderboard": figures.leaderboard_figure(table),
        "cmc": figures.cmc_figure(curves, methods),
        "training": figures.training_figure(histories, methods),
        "counts": figures.counts_figure(split),
        "views": sheets.views_sheet(views, split, parts, count, seed),
        "matches": sheets.matches_sheet(crops, ranking, split, count, candidates, seed),
        "explained": sheets.explained_sheet(crops, *explained, split, count, seed),
        "attention": insight_sheets.attention_sheet(looked, pairs, maps, split, count, seed),
        "inversion": insight_sheets.inversion_sheet(looked, insight / "inverted", classes, split, count, seed),
        "detections": sheets.detections_sheet(Path("data/photos"), visible, animals, found, truth, count, seed),
    }
    for name, png in pictures.items():
        write_bytes(Path(f"plots/{name}.png"), png)
    pictures["umap"] = figures.umap_figure(planes, split)
    pictures |= {name: Path(f"plots/{name}.png").read_bytes() for name in page.COUNTED}
    words = page.describe_run(params, first, local, clean, rejected["clean"], found, metrics["insight"])
    answers, load = read_answers(metrics), crop_reader(views, split)
    files = individual_pages.page_names(answers.names())
    html = page.render(
        params["ingest"]["dataset"],
        table,
        methods,
        pictures,
        metrics,
        rejected,
        split,
        words,
        seeds,
        clocks,
        cameras,
        animals_page.first_screen(answers, files, load),
        verdict_blocks(champions["champions"], verdicts),
    )
    size = len(html)
    with fresh_folder(Path("data/report")) as folder:
        write_text(folder / "index.html", html)
        write_text(
            folder / "leaderboard.md", markdown(table) + "\n" + verdicts_markdown(champions["champions"], verdicts)
        )
        for name, text in individual_pages.individual_pages(params["ingest"]["dataset"], answers, split, load):
            write_text(folder / individual_pages.FOLDER / name, text)
            size += len(text)
    print(f"report: {len(files)} animals, {len(methods)} methods in data/report/index.html ({size // 1024} kB in all)")


def read_answers(metrics: Mapping[str, Mapping]) -> animals_page.Answers:
    """Return what the stages individuals and count found."""
    return animals_page.Answers(
        individuals=read_table(Path("data/individuals.csv"), NUMBERS_OF_ANIMALS),
        crops=read_table(Path("data/unit_crops.csv")),
        links=read_parquet(Path("data/links.parquet"), columns=["query", "candidate", "probability"]),
        questions=read_table(Path("data/questions.csv"), animals_page.QUESTIONS),
        deployments=read_table(Path("data/deployments.csv")),
        estimates=read_table(Path("data/estimates.csv"), animals_page.ESTIMATES),
        rehearsal=metrics["individuals"].get("rehearsal") or {},
        count=metrics["count"],
        **read_metrics(Path("data/numbers/count.json")),
    )


def crop_reader(views: Mapping[str, Mapping[str, Packs]], split: pd.DataFrame) -> animals_page.Load:
    """Return what gives the picture of a crop, None where it has none."""
    part = dict(zip(split["crop_id"], split["part"], strict=True))
    return lambda crop_id: sheets.crop_picture(views[part[crop_id]]["crop"], crop_id) if crop_id in part else None


def of_protocol(path: Path, protocol: str) -> pd.DataFrame:
    """Return the rows of one protocol."""
    return read_parquet(path, where={"protocol": protocol})


if __name__ == "__main__":
    run_stage(main)
