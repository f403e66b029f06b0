"""The hook for pre-commit, run on a repository that has only rules: no settings, no Redis, no network."""

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.processes import TEN, Credits

(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a folder with the rules where the command looks for them."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "rules.yaml").write_text(TEN)
    return tmp_path


def test_it_has_what_pre_commit_needs() -> None:
    assert HOOK.keys() == {"id", "name", "description", "entry", "language", "types", "pass_filenames"}
    assert (HOOK["language"], HOOK["types"], HOOK["pass_filenames"]) == ("python", ["yaml"], False)


def test_good_rules_pass(repository: Path) -> None:
    done = hook_in(repository)
    assert done.returncode == 0, done.stdout
    assert "1 rule, 1 meter" in done.stdout


def test_each_problem_of_the_rules_is_a_line(repository: Path) -> None:
    (repository / "config" / "rules.yaml").write_text(TEN.replace("grant", "grants"))
    done = hook_in(repository)
    assert done.returncode == 1
    assert "config/rules.yaml:4:" in done.stdout


def hook_in(repository: Path) -> subprocess.CompletedProcess[str]:
    """Run the hook as pre-commit does."""
    program, *options = shlex.split(HOOK["entry"])
    assert program == "credits"
    return Credits(folder=repository).run(*options)
