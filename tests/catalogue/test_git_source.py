"""Photos of a commit: fetched once, verified, and unpacked so that nothing gets out."""

from __future__ import annotations

import subprocess

import pytest

from pelage.catalogue.git import open_git
from pelage.catalogue.schema import check_survey
from pelage.common.errors import PelageError

KEY = "datasets.mine"


@pytest.fixture
def repository(photo_folder):
    """Return a repository of two commits and both hashes; the second removes a photo and adds a link."""
    root = photo_folder(["data/L1/a.jpg", "data/L2/b.jpg", "other/c.jpg"], "repository")

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    first = git("rev-parse", "HEAD").strip()
    (root / "data/L1/a.jpg").unlink()
    (root / "data/L1/link.jpg").symlink_to("/etc/passwd")
    git("add", ".")
    git("commit", "--quiet", "-m", "two")
    return root, first, git("rev-parse", "HEAD").strip()


def test_an_old_commit_gives_its_own_photos_and_is_fetched_once(repository, tmp_path):
    root, first, _ = repository
    dataset = {"url": str(root), "commit": first, "path": "data"}
    with open_git(dataset, KEY, tmp_path / "cache") as survey:
        table = check_survey(survey, KEY).rows
        assert survey.root.is_dir()
    assert table["path"].tolist() == ["L1/a.jpg", "L2/b.jpg"]
    assert table["identity"].tolist() == ["L1", "L2"]
    assert not survey.root.exists()
    root.rename(tmp_path / "gone")  # without the repository, the cache is enough
    with open_git(dataset, KEY, tmp_path / "cache") as survey:
        assert check_survey(survey, KEY).rows.equals(table)


def test_a_link_is_refused(repository, tmp_path):
    root, _, second = repository
    dataset = {"url": str(root), "commit": second, "path": "data"}
    with pytest.raises(PelageError, match=r"'L1/link.jpg' is a link"), open_git(dataset, KEY, tmp_path / "cache"):
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"commit": "main"}, "must be the commit's 40 hexadecimal digits"),
        ({"commit": "abc1234"}, "must be the commit's 40 hexadecimal digits"),
        ({"commit": "0" * 40}, f"cannot be fetched .* set {KEY}.source=folder"),
        ({"path": "nothing"}, "has no folder 'nothing'"),
        ({"path": "data/L1/a.jpg"}, "has no folder"),
        ({"url": "/nowhere/at/all"}, "cannot be fetched"),
        ({"url": "ext::touch pwned"}, "cannot be fetched"),
    ],
)
def test_what_cannot_be_had_is_explained(repository, tmp_path, change, message):
    root, first, _ = repository
    dataset = {"url": str(root), "commit": first, "path": "data"} | change
    with pytest.raises(PelageError, match=message), open_git(dataset, KEY, tmp_path / "cache"):
        pass
