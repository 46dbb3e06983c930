"""Warm: a process that has imported what the pipeline imports, and forks a child for each command of it.

A stage of a tiny project works for a moment and imports for seconds. A child is a process like any other: folder,
environment, output and exit status are those that its caller gives or gets, and pelage itself is imported by the child,
from the project that it runs in.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import logging
import multiprocessing.util
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CLIENT = """#!{python} -ISE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([os.getcwd(), dict(os.environ), {first} + sys.argv[1:]]).encode())
    server.shutdown(socket.SHUT_WR)
    status = server.recv(16)
sys.exit(int(status or 1))
"""
"""What stands for `python`, and for `dvc`: it has the warm process run its arguments."""

DVC = (
    *("dvc.cli.parser", "dvc.repo", "dvc.repo.index", "dvc.repo.graph", "dvc.stage.run", "dvc.stage.cache", "networkx"),
    *("dvc.repo.experiments.queue.celery", "dvc.repo.experiments.executor.local", "scmrepo.git", "pygit2", "dulwich"),
    *("dvc_data.index", "dvc_data.hashfile.db.local", "dvc_http", "dvc_render", "dvc.data_cloud", "dvc.cachemgr"),
    *("dvc.repo.experiments.show", "dvc.repo.plots", "dvc.repo.stage", "dvc.repo.datasets", "dvc.repo.artifacts"),
    *("dulwich.worktree", "dulwich.ignore", "dvc.utils.hydra", "hydra.main", "kombu.transport.filesystem"),
)
"""What DVC's commands import as they go: half a second each time."""


@contextmanager
def warm_python(folder: Path):
    """Give a folder of a `python` which runs scripts and modules (`-m`) in children of a warm process, and a `dvc`."""
    address = str(folder / "socket")
    for name, first in (("python", []), ("dvc", ["-m", "dvc"])):
        (folder / name).write_text(CLIENT.format(python=sys.executable, address=address, first=first))
        (folder / name).chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, address], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert server.stdout.readline(), "the warm process has ended"
        yield folder
    finally:
        server.kill()
        server.wait()


def main(address: str) -> None:
    """Import what stages and DVC import, then serve callers at a socket for ever."""
    sys.path[:0] = [str(ROOT / "stages"), str(ROOT / "src")]
    for stage in (ROOT / "stages").glob("[!_]*.py"):
        importlib.import_module(stage.stem)
        del sys.modules[stage.stem]
    for name in DVC:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("pelage", "_path")]:
        del sys.modules[name]
    del sys.path[:3]  # this folder, and the two above
    sys.dont_write_bytecode = False  # a project's own modules are compiled by the first of its stages that needs them
    atexit._clear()  # a child has nothing to tidy up of what was imported here, but its own processes and what it logs
    atexit.register(multiprocessing.util._exit_function)
    atexit.register(logging.shutdown)
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)
        serve(server)


def serve(server: socket.socket) -> None:
    """Fork a child for each caller, and tell him its exit status when it has ended: a fork takes a twentieth second."""
    callers: dict[int, socket.socket] = {}
    ended, bell = socket.socketpair()
    for end in (ended, bell):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # it rings the bell
    signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    while True:
        ready, *_ = select.select([server, ended], [], [])
        if ended in ready:
            ended.recv(4096)
            while callers and (found := os.waitpid(-1, os.WNOHANG))[0]:
                with callers.pop(found[0]) as caller, suppress(BrokenPipeError):
                    caller.sendall(str(os.waitstatus_to_exitcode(found[1])).encode())
        if server in ready:
            caller, _ = server.accept()
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for other in (server, ended, bell, *callers.values()):
                    other.close()
                answer(caller)
            callers[child] = caller


def answer(caller: socket.socket) -> None:
    """Be the process that a caller asks for."""
    _, streams, *_ = socket.recv_fds(caller, 1, 3)
    folder, environment, arguments = json.loads(b"".join(iter(lambda: caller.recv(65536), b"")))
    caller.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    run(arguments)


def run(arguments: list[str]) -> None:
    """Run a script, or `-m` and a module, as Python does, and end this process."""
    status = 0
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            sys.path.insert(0, os.getcwd())
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1])
