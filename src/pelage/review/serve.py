"""Serve: the page on 127.0.0.1, for whoever was given the address that is printed."""

from __future__ import annotations

import socket
import sys
import webbrowser
from pathlib import Path

import uvicorn

from pelage.animals.journal import JOURNAL
from pelage.common.errors import PelageError
from pelage.review.app import build_app
from pelage.review.desk import Desk
from pelage.review.guard import new_token
from pelage.review.pictures import Pictures
from pelage.review.run import Run


def serve(port: int, journal: Path = JOURNAL, read_only: bool = False, data: Path = Path("data")) -> None:
    """Serve the page until it is stopped.

    Args:
        port: Of 127.0.0.1; 0 takes a free one.
        journal: The file that decisions are appended to.
        read_only: Nothing may be decided.
        data: Folder of the run.

    Raises:
        PelageError: There is no run, or the port is taken.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError as error:
        raise PelageError(
            f"port {port} of 127.0.0.1 is taken ({error.strerror}). Stop the other page, or choose with --port."
        ) from error
    port, token = listening.getsockname()[1], new_token()
    run = Run.read(data)
    desk = Desk(run, journal)
    pictures = Pictures(data, run.part, run.hashes)
    address = f"http://127.0.0.1:{port}/?token={token}"
    left = len(desk.state.open_questions())
    print(f"review: {desk.state.individuals} animals, {left} questions; decisions go to {journal}")
    for line in desk.state.told:
        print(f"review: {line}")
    print(f"review: open {address}", flush=True)
    if sys.stdout.isatty():
        webbrowser.open(address)
    config = uvicorn.Config(build_app(desk, pictures, port, token, read_only), log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])
