"""Photos in a public git repository, at one commit: fetched once (that commit alone), then unpacked with care."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pelage.catalogue.archives import unpack_tar
from pelage.catalogue.folder import read_folder
from pelage.catalogue.inventory import list_files
from pelage.catalogue.schema import Survey
from pelage.common.errors import PelageError
from pelage.common.files import sha256_bytes

ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file", "LC_ALL": "C"}
"""No question that nobody answers, no transport that runs a command named by the address, messages in English."""


@contextmanager
def open_git(dataset: Mapping[str, Any], key: str, cache: Path) -> Iterator[Survey]:
    """Give the photos of one commit, unpacked into a folder that lives as long as the block.

    `git archive --remote` is no way to a commit: GitHub does not offer it and other servers refuse it for a bare
    hash. So the commit is fetched without history into a bare repository and archived from there.

    Args:
        dataset: Entry of `datasets`: `url`, `commit` (40 hex digits), `path` (folder inside the repository; empty:
            all of it), and the keys of `read_folder`.
        key: The entry's place in params.yaml, for messages.
        cache: Folder that keeps fetched commits.

    Raises:
        PelageError: The commit is no full hash, cannot be fetched, or has no such folder; or it holds links or paths
            that leave their folder.
    """
    url, commit, path = dataset["url"], str(dataset["commit"]), str(dataset.get("path") or "").strip("/")
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise PelageError(f"params.yaml: {key}.commit is {commit!r}; it must be the commit's 40 hexadecimal digits.")
    repository = fetch_commit(url, commit, key, cache)
    with TemporaryDirectory(dir=cache, prefix="tree.") as folder:
        root = Path(folder)
        unpack_commit(repository, commit, path, root, key)
        yield replace(read_folder(root, list_files(root), dataset, key), file=f"{url}@{commit[:10]}:{path}")


def fetch_commit(url: str, commit: str, key: str, cache: Path) -> Path:
    """Return a bare repository below `cache` that has `commit` of `url`, fetching it only if it is not there yet."""
    repository = cache / sha256_bytes(url.encode())[:16]
    if not repository.exists():
        repository.mkdir(parents=True)
        _git(repository, "init", "--quiet", "--bare")
    if _git(repository, "rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}").returncode:
        done = _git(repository, "fetch", "--quiet", "--depth", "1", "--no-tags", "--", url, commit)
        if done.returncode:
            said = " ".join(done.stderr.split()) or "git said nothing"
            raise PelageError(
                f"{key}: commit {commit} of {url} cannot be fetched ({said}). Check the address, the commit and the "
                f"network; or get the photos another way and set {key}.source=folder and {key}.path to their folder."
            )
    return repository


def unpack_commit(repository: Path, commit: str, path: str, target: Path, key: str) -> None:
    """Unpack the files of a folder at `commit` into `target`; refuse links, devices and paths that leave it."""
    tree = f"{commit}:{path}"
    if _git(repository, "cat-file", "-t", tree).stdout.strip() != "tree":
        raise PelageError(f"params.yaml: {key}.path: commit {commit} has no folder {path!r}. Give one that it has.")
    command = ["git", f"--git-dir={repository}", "archive", "--format=tar", tree]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment()) as process:
        unpack_tar(process.stdout, target, f"commit {commit}")
        process.stdout.read()  # what pads the archive's end; a closed pipe would make git fail
    if process.returncode:
        raise PelageError(f"{key}: git archive of {tree} failed. Delete {repository} and run this again.")


def _environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT}


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", f"--git-dir={repository}", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, env=_environment())
    except FileNotFoundError as error:
        raise PelageError(
            "git is not installed, and this data set comes from a git repository. Install git."
        ) from error
