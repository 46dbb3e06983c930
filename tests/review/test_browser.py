"""The page in a browser: keys alone, the server killed in the middle, two pages at once, names that are code."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from survey_run import make_run, read_lines

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), "")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine")
SOURCE = Path(__file__).resolve().parents[2] / "src"


# Imports once, then forks a server for each line of input, of a folder and a port; an empty line kills it.
# Ends at `end`: processes that tests fork hold its input open.
DRIVER = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pelage.review.serve import serve

while (line := sys.stdin.readline()) not in ("", "end\\n"):
    if line == "\\n":
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print("killed", flush=True)
        continue
    child = os.fork()
    if not child:
        folder, port = line.split()
        os.chdir(folder)
        os.environ["PELAGE_CACHE"] = folder + "/cache"
        serve(int(port))
"""


class Server:
    """`pelage review serve`, as a process that can be killed."""

    def __init__(self, driver: subprocess.Popen, folder: Path) -> None:
        self.driver, self.folder, self.port = driver, folder, 0
        self.start()

    def start(self) -> None:
        print(self.folder, self.port, file=self.driver.stdin, flush=True)
        found = self._wait_for(r"open (http://127\.0\.0\.1:(\d+)/\?token=\S+)")
        self.address, self.port = found[1], int(found[2])

    def kill(self) -> None:
        print(file=self.driver.stdin, flush=True)
        self._wait_for("killed")

    def _wait_for(self, answer: str) -> re.Match:
        for line in self.driver.stdout:
            if found := re.search(answer, line):
                return found
        raise AssertionError("the page did not start")


@pytest.fixture(scope="module")
def driver(warm, tmp_path_factory):
    script = tmp_path_factory.mktemp("driver") / "driver.py"
    script.write_text(DRIVER)
    command = [warm / "python", script, SOURCE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started
        print("end", file=started.stdin, flush=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_run(folder, known=6, new=3, visits=3, practised=6, alike=1.0, missed=0.3)
    return folder


@pytest.fixture
def server(driver, made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    running = Server(driver, tmp_path)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def opened(browser, server, reviewer="Ana"):
    """Return a page that is open, its reviewer told, and what went wrong in it."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(server.address)
    page.fill("#reviewer", reviewer)
    page.press("#reviewer", "Tab")
    return page


def arrive(page, address):
    """Open an address, also where the page is just on its way to another: an answer may have come before the kill."""
    for _ in range(20):
        try:
            return page.goto(address)
        except playwright.Error as error:
            if "interrupted by another navigation" not in str(error):
                raise
            page.wait_for_timeout(100)
    raise AssertionError("the page did not stand still")


def decide(page, key):
    """Press a key, and wait for the page after the decision."""
    with page.expect_navigation(timeout=60_000):
        page.keyboard.press(key)


def count(page):
    return int(page.inner_text("#decided"))


def test_twenty_decisions_by_keyboard_with_the_server_killed_ten_times(browser, server):
    page, rng, acknowledged = opened(browser, server), np.random.default_rng(1), 0
    for number in range(20):
        if page.locator("#pair").count() == 0:
            page.goto(server.address.split("?")[0] + "pair?unit=" + first_unit(page))
        killed = number % 2 == 0
        if killed:
            page.keyboard.press(["s", "d"][number // 2 % 2])
            time.sleep(float(rng.uniform(0, 0.05)))
            server.kill()
            server.start()  # on the same port, with another token: the page's cookie is of no use any more
            page.wait_for_timeout(100)
            arrive(page, server.address)
        else:
            decide(page, ["s", "d"][number // 2 % 2])
            acknowledged += 1
        lines = read_lines(server.folder)
        assert len(lines) >= acknowledged
        assert len({line["id"] for line in lines}) == len(lines), "none twice"
    assert count(page) == len(read_lines(server.folder)) >= 10


def first_unit(page) -> str:
    return page.evaluate("fetch('/state').then(r => r.json()).then(s => Object.values(s.members).flat()[0])")


def test_undo_of_all_restores_the_first_page(browser, server):
    page = opened(browser, server)
    before = page.inner_text("#count"), page.inner_text("#remaining"), page.get_attribute("#pair", "data-unit")
    for _ in range(5):
        decide(page, "d")
    for _ in range(5):
        decide(page, "z")
    page.evaluate("fetch('/state').then(r => r.json())")
    page.goto(server.address.split("?")[0])
    assert (
        page.inner_text("#count"),
        page.inner_text("#remaining"),
        page.get_attribute("#pair", "data-unit"),
    ) == before


def test_two_pages_at_once(browser, server):
    pages = [opened(browser, server, name) for name in ("Ana", "Ben")]
    for _ in range(3):
        for page in pages:
            decide(page, "s")
    assert len(read_lines(server.folder)) == 6
    assert {line["reviewer"] for line in read_lines(server.folder)} == {"Ana", "Ben"}


def test_a_name_that_is_code_harms_nothing(browser, server):
    page, alarmed = opened(browser, server, "<img src=x onerror=alert(1)>"), []
    page.on("dialog", lambda dialog: (alarmed.append(dialog.message), dialog.dismiss()))
    page.keyboard.press("i")
    page.fill("#ask-text", "<img src=x onerror=alert(2)>")
    with page.expect_navigation():
        page.press("#ask-text", "Enter")
    for address in ("individuals", "history", ""):
        page.goto(server.address.split("?")[0] + address)
        page.wait_for_load_state("networkidle")
    assert not alarmed and read_lines(server.folder)[0]["name"] == "<img src=x onerror=alert(2)>"


def test_looking_by_keys_moves_nothing_else_and_every_control_has_a_name(browser, server):
    page, wrong = opened(browser, server), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    place = page.locator(".decide").bounding_box()
    for key in ("e", "b", "m", "h", "l", "+", "+", "-", "0", "ArrowRight", "ArrowDown", "[", ")", "?"):
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    assert page.locator(".decide").bounding_box() == place and not wrong
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, select, a')].filter(e => !(e.innerText || e.ariaLabel ||"
        " e.labels?.length || e.querySelector('img')?.alt || e.type === 'hidden' || e.placeholder)).length"
    )
    assert nameless == 0
