"""What Heroku runs after it has installed requirements.txt: it leaves a command that needs no clone."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from config.version import VERSION
from tests.support.paths import ROOT

pytestmark = pytest.mark.heavy  # it makes a virtual environment


def test_the_last_step_installs_the_command_by_what_is_locked(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True)
    python = tmp_path / "python" / "bin" / "python"
    (site,) = (tmp_path / "python").glob("lib/python*/site-packages")
    # As if requirements.txt were installed there: our own environment has the same packages.
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    env = {"PATH": f"{python.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    built = subprocess.run(
        [ROOT / "bin" / "post_compile"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    assert (site / "credit_granter.py").exists()
    command = [str(python.parent / "credits"), "--version"]
    shown = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert shown.stdout.strip().endswith(VERSION)
