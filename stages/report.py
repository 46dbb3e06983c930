"""Report: what all stages found -> data/report/ (index.html, leaderboard.md), plots/*.png."""

from pathlib import Path

import _path  # noqa: F401

from pelage.common.files import fresh_folder, write_bytes, write_text
from pelage.common.params import read_params
from pelage.common.stage import run_stage
from pelage.report import animals_page, figures, individual_pages, page
from pelage.report.found import crop_reader, read_answers, read_found, views_of_crops
from pelage.report.pictures import draw
from pelage.report.tables import markdown
from pelage.report.times_page import write_times_page
from pelage.report.verdict_table import verdict_blocks, verdicts_markdown


def main() -> None:
    """Lay out, draw and say what this run found; nothing is computed that is not in a table already."""
    params = read_params()
    dataset, found = params["ingest"]["dataset"], read_found(params)
    views = views_of_crops()
    answers, load = read_answers(found.metrics), crop_reader(views)
    pictures = draw(found, views)
    for name, png in pictures.items():
        write_bytes(Path(f"plots/{name}.png"), png)
    pictures["umap"] = figures.umap_figure(found.planes, found.split)
    pictures |= {name: Path(f"plots/{name}.png").read_bytes() for name in page.COUNTED}

    files = individual_pages.page_names(individual_pages.animals_with_pages(answers.seen)["individual"])
    words = page.describe_run(
        params,
        found.first,
        found.local,
        found.clean,
        found.rejected["clean"],
        found.detections,
        found.metrics["insight"],
    )
    run = found.table, found.methods, pictures, found.metrics, found.rejected, found.split, words, found.seeds
    seen = animals_page.first_screen(answers, files, load)
    verdicts = verdict_blocks(found.champions, found.verdicts)
    html = page.render(dataset, *run, found.clocks, found.cameras, seen, verdicts)
    size = len(html)
    with fresh_folder(Path("data/report")) as folder:
        write_text(folder / "index.html", html)
        board = markdown(found.table) + "\n" + verdicts_markdown(found.champions, found.verdicts)
        write_text(folder / "leaderboard.md", board)
        for name, text in individual_pages.individual_pages(dataset, answers, found.split, load):
            write_text(folder / individual_pages.FOLDER / name, text)
            size += len(text)
    write_times_page()
    told = f"{len(answers.seen)} animals, {len(found.methods)} methods in data/report/index.html"
    print(f"report: {told} ({size // 1024} kB in all)")


if __name__ == "__main__":
    run_stage(main)
