"""``make release`` in a scratch clone: what it changes, and what it refuses."""

import datetime
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.heavy  # it makes a clone and builds it

# Instead of checking, testing and building with an environment of its own, which would take minutes.
MAKE = """\
#!/bin/sh
echo "make $*"
case "$*" in
  "check test") exit "${CHECKS:-0}" ;;
  dist) rm -rf dist && exec "$VENV/bin/python" -m hatchling build ;;
  *) exit 2 ;;
esac
"""


class Clone:
    """A repository with the project in one commit, and its own `make`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self._tools = folder / "tools"
        self._tools.mkdir()
        (self._tools / "make").write_text(MAKE)
        (self._tools / "make").chmod(0o755)
        ignored = shutil.ignore_patterns(".git", ".venv*", ".*_cache", "__pycache__", ".hypothesis", "dist")
        shutil.copytree(ROOT, self.folder, ignore=ignored)
        self.git("init", "--quiet")
        self.change(
            "CHANGELOG.md",
            "# Changelog\n\n## 7.8.9 (unreleased)\n\n- New.\n\n## 7.8.8 (2026-01-01)\n\n- Old.\n",
        )

    def change(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A change")

    def git(self, *args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=self.folder, env=self._env(), capture_output=True, text=True, check=True
        ).stdout

    def release(self, version: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [".ci/release", version],
            cwd=self.folder,
            env=self._env() | env,
            capture_output=True,
            text=True,
            check=False,
        )

    def _env(self) -> dict[str, str]:
        who = {"NAME": "A", "EMAIL": "a@example.com"}
        names = {
            f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in who.items()
        }
        path = f"{self._tools}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(self._tools), "VENV": sys.prefix, **names}


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_a_release_dates_the_changelog_sets_the_version_builds_commits_and_tags(clone: Clone) -> None:
    done = clone.release("7.8.9")
    assert done.returncode == 0, done.stderr
    today = datetime.datetime.now(datetime.UTC).date()
    assert (
        f"## 7.8.9 ({today})\n\n- New.\n\n## 7.8.8 (2026-01-01)"
        in (clone.folder / "CHANGELOG.md").read_text()
    )
    assert 'VERSION = "7.8.9"' in (clone.folder / "config" / "version.py").read_text()
    assert re.search(r'"\$id": ".*:7\.8\.9"', (clone.folder / "config" / "rules.schema.json").read_text())
    assert sorted(path.name for path in (clone.folder / "dist").iterdir() if path.suffix != ".gitignore") == [
        "credit_granter-7.8.9-py3-none-any.whl",
        "credit_granter-7.8.9.tar.gz",
    ]
    assert clone.git("status", "--porcelain") == ""
    assert clone.git("describe").strip() == "v7.8.9"
    assert done.stdout.index("make check test") < done.stdout.index("make dist")
    assert "git push origin HEAD v7.8.9" in done.stdout


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("", "VERSION must be like 0.2.0"),
        ("v7.8.9", "VERSION must be like 0.2.0"),
        ("7.8.8", "no section '## 7.8.8 (unreleased)'"),
        ("7.8.10", "no section '## 7.8.10 (unreleased)'"),
    ],
)
def test_a_wrong_version_is_refused_in_one_line(clone: Clone, version: str, reason: str) -> None:
    done = clone.release(version)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_uncommitted_changes_and_a_taken_tag_are_refused(clone: Clone) -> None:
    (clone.folder / "new.txt").touch()
    assert "commit or stash" in clone.release("7.8.9").stderr
    (clone.folder / "new.txt").unlink()
    clone.git("tag", "v7.8.9")
    assert "there is a tag v7.8.9 already" in clone.release("7.8.9").stderr


def test_a_failed_test_stops_before_anything_is_changed(clone: Clone) -> None:
    assert clone.release("7.8.9", CHECKS="1").returncode != 0
    assert (clone.git("status", "--porcelain"), clone.git("tag")) == ("", "")


def test_a_failed_build_leaves_the_files_as_they_were(clone: Clone) -> None:
    clone.change("pyproject.toml", "no TOML")
    done = clone.release("7.8.9")
    assert done.returncode == 1
    assert "the files are as they were" in done.stderr
    assert (clone.git("status", "--porcelain"), clone.git("tag")) == ("", "")
