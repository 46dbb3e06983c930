"""The pictures of docs/review.md, of the demo that the pipeline has made; nothing is decided.

pelage review serve --journal /tmp/nothing.jsonl --port 0
python benchmarks/review_pictures.py 'http://127.0.0.1:PORT/?token=TOKEN'
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path("docs/pictures")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    address = sys.argv[1]
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        page.fill("#reviewer", "Ana")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=FOLDER / "review_pair.jpg", quality=75)
        name = page.evaluate("document.querySelector('.pane[data-side=right] h2').firstChild.textContent.trim()")
        page.goto(address.split("?")[0] + "individual?name=" + name)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=FOLDER / "review_animal.jpg", quality=75)
        browser.close()


if __name__ == "__main__":
    main()
