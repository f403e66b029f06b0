"""``credits`` runs our own ``app``, ``workers`` and ``config``, whatever else has these names."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support.paths import ROOT
from tests.support.processes import Credits, credits_in, eventually

# Each test starts processes without the fork server.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

# What installers write; older ones of pip also `import re` before it, which nobody can isolate.
SCRIPT = f"""\
#!{sys.executable}
import sys
from credit_granter import main
if __name__ == "__main__":
    sys.exit(main())
"""
OF_OURS = ("app", "workers", "config")
OF_OTHERS = ("redis", "rq", "click", "yaml", "zstandard", "socksio", "json", "logging", "typing", "queue")


def plant_namesakes(folder: Path) -> Path:
    """Write modules that end the process with status 99 as soon as one is imported."""
    for name in OF_OURS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("import os; os._exit(99)")
    for name in OF_OTHERS:
        (folder / f"{name}.py").write_text("import os; os._exit(99)")
    return folder


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Return the command as an installer writes it, in a folder with namesakes."""
    path = plant_namesakes(tmp_path / "bin") / "credits"
    path.write_text(SCRIPT)
    path.chmod(0o755)
    return path


@pytest.fixture
def hostile(tmp_path: Path) -> Credits:
    """Return settings for a folder with namesakes, which is the current one and in PYTHONPATH."""
    folder = plant_namesakes(tmp_path / "hostile")
    elsewhere = plant_namesakes(tmp_path / "elsewhere")
    pythonpath = os.pathsep.join([str(folder), "", ".", str(elsewhere)])
    return credits_in(folder, "http://127.0.0.1:9", PYTHONPATH=pythonpath)


def run(command: list[str | Path], place: Credits, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=place.folder,
        env=place._environment() | settings,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("args", [["--version"], ["rules", "schema"], ["check", "--offline"]])
def test_a_command_imports_nothing_from_the_current_folder_or_pythonpath(
    script: Path, hostile: Credits, args: list[str]
) -> None:
    done = run([script, *args], hostile)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_processes_of_a_service_import_nothing_from_there_either(script: Path, hostile: Credits) -> None:
    """All are well: the receiver, the worker with its rules, and the embedded Redis with its guardian."""
    with subprocess.Popen(
        [script, "up", "--json"],
        cwd=hostile.folder,
        env=hostile._environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stderr is not None
        listening = json.loads(service.stderr.readline())
        health = listening["url"].replace("/webhooks/polar", "/healthz")
        eventually(lambda: _is_well(health))
        service.send_signal(signal.SIGTERM)
        assert "process died" not in service.stderr.read()
    assert service.returncode == 0


def _is_well(health: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(health, trust_env=False).status_code == httpx.codes.OK
    return False


def test_the_demo_works_there(script: Path, hostile: Credits) -> None:
    """RQ imports the job's function by its name, in a worker that the demo has started."""
    done = run([script, "demo"], hostile)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every order was credited exactly once." in done.stdout


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Return a folder with our packages, as `pip install --target` makes it, but without dependencies."""
    folder = tmp_path / "target"
    for package in OF_OURS:
        shutil.copytree(ROOT / package, folder / package)
    shutil.copy(ROOT / "credit_granter.py", folder)
    return folder


def test_an_installation_in_pythonpath_is_used(script: Path, hostile: Credits, target: Path) -> None:
    (target / "config" / "version.py").write_text('VERSION = "7.8.9"')
    pythonpath = f"{hostile.folder}{os.pathsep}{target}"
    done = run([script, "--version"], hostile, PYTHONPATH=pythonpath)
    assert (done.returncode, done.stdout, done.stderr) == (0, "7.8.9\n", "")


def test_files_replaced_by_another_distribution_are_one_line(
    script: Path, hostile: Credits, target: Path
) -> None:
    """Of two distributions with files of one name, the one that is installed last wins, without a word."""
    (target / "app" / "main.py").write_text("app = 1")
    (target / "other-1.dist-info").mkdir()
    (target / "other-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (target / "other-1.dist-info" / "top_level.txt").write_text("app\n")
    done = run([script, "serve"], hostile, PYTHONPATH=str(target))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "other has a package 'app' too" in done.stderr
    assert "an environment of its own" in done.stderr


def test_a_missing_dependency_is_one_line(script: Path, hostile: Credits, target: Path) -> None:
    (target / "redis.py").write_text("raise ModuleNotFoundError(\"No module named 'redis'\", name='redis')")
    done = run([script, "serve"], hostile, PYTHONPATH=str(target))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "the installation is incomplete" in done.stderr
