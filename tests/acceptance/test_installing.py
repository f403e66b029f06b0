"""The wheel and the sdist: what is in them, and that they can be installed without a clone."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.version import VERSION
from tests.support.paths import ROOT

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]  # it downloads and installs all dependencies

PACKAGES = ("app", "workers", "config")
RULES = "version: 1\nmeters: {api_usage: {}}\nrules: [{name: pack, grant: {api_usage: 10}}]\n"


def run(command: Sequence[str | Path], folder: Path, **env: str) -> str:
    """Run a command that must succeed, without this project's settings; return its output."""
    inherited = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **inherited, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def tracked() -> set[str]:
    """Return the files of the project: those that git tracks, or would if they were added."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a clone, so there is no list of the project's files")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return {name for name in names if (ROOT / name).is_file()}


@dataclass(frozen=True, kw_only=True)
class Built:
    wheel: Path
    sdist: Path

    def in_wheel(self) -> Mapping[str, bytes]:
        with zipfile.ZipFile(self.wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def in_sdist(self) -> set[str]:
        with tarfile.open(self.sdist) as archive:
            return {one.name.partition("/")[2] for one in archive.getmembers() if one.isfile()}


def build(source: Path, folder: Path) -> Built:
    run([sys.executable, "-m", "hatchling", "build", "-d", folder], source)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel=wheel, sdist=sdist)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return what `make dist` builds."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def git_url(built: Built, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of a git repository with the project in it."""
    clone = tmp_path_factory.mktemp("git") / "credit-granter"
    unpacked = unpack(built.sdist, clone.parent)
    unpacked.rename(clone)
    author = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    for args in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "All of it"]):
        run(["git", *author, *args], clone)
    return f"git+file://{clone}"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the commands uv, uvx and pipx."""
    folder = tmp_path_factory.mktemp("tools")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [str(folder / "bin" / "pip"), "install", "--quiet", "uv<1", "pipx<2"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"uv and pipx cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return folder / "bin"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Return an empty folder, where a newcomer runs the command."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def unpack(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return folder / sdist.name.removesuffix(".tar.gz")


def assert_works(command: Sequence[str | Path], empty: Path, **env: str) -> None:
    """Assert that the command runs in a folder where there is only a rules file."""
    assert run([*command, "--version"], empty, **env) == f"{VERSION}\n"
    (empty / "rules.yaml").write_text(RULES)
    settings = {
        "CREDITS_RULES": "rules.yaml",
        "POLAR_ACCESS_TOKEN": "polar_oat_of-nobody-at-all",
        "POLAR_WEBHOOK_SECRET": "whsec_any-text-will-do-here",
    }
    assert "1 rule" in run([*command, "check", "--offline"], empty, **settings, **env)


def test_the_wheel_has_our_packages_and_nothing_else(built: Built) -> None:
    names = {name for name in built.in_wheel() if ".dist-info/" not in name}
    assert names == {one for one in tracked() if one.startswith(tuple(f"{p}/" for p in PACKAGES))} | {
        "credit_granter.py"
    }


def test_the_sdist_is_the_whole_project_and_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    """So it has all that the tests need."""
    assert built.in_sdist() == tracked() | {"PKG-INFO"}
    again = build(unpack(built.sdist, tmp_path), tmp_path / "dist")
    assert again.in_wheel() == built.in_wheel()


def test_uv_installs_the_wheel_and_the_demo_runs(built: Built, tools: Path, empty: Path) -> None:
    env = {"UV_TOOL_DIR": str(empty.parent / "tools"), "UV_TOOL_BIN_DIR": str(empty.parent / "bin")}
    run([tools / "uv", "tool", "install", "--python", sys.executable, built.wheel], empty, **env)
    command = empty.parent / "bin" / "credits"
    assert_works([command], empty)
    assert "Every order was credited exactly once." in run([command, "demo"], empty)


def test_uvx_runs_it_from_git(git_url: str, tools: Path, empty: Path) -> None:
    assert_works([tools / "uvx", "--python", sys.executable, "--from", git_url, "credits"], empty)


def test_pipx_installs_it_from_git(git_url: str, tools: Path, empty: Path) -> None:
    env = {"PIPX_HOME": str(empty.parent / "pipx"), "PIPX_BIN_DIR": str(empty.parent / "bin")}
    run([tools / "pipx", "install", "--python", sys.executable, git_url], empty, **env)
    assert_works([empty.parent / "bin" / "credits"], empty)


def test_another_distribution_with_a_package_named_app_is_reported(
    built: Built, tools: Path, tmp_path: Path
) -> None:
    """Installers overwrite files without a word; whoever comes last wins."""
    source = tmp_path / "shop"
    (source / "app").mkdir(parents=True)
    (source / "app" / "main.py").write_text("app = 'a web application'\n")
    (source / "app" / "__init__.py").touch()
    (source / "pyproject.toml").write_text(OTHER)
    venv = tmp_path / "venv"
    run([tools / "uv", "venv", "--python", sys.executable, venv], tmp_path)
    run([tools / "uv", "pip", "install", "--python", venv, built.wheel], tmp_path)
    run([tools / "uv", "pip", "install", "--python", venv, source], tmp_path)
    done = subprocess.run([venv / "bin" / "credits", "serve"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "shop has a package 'app' too" in done.stderr


OTHER = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "shop"
version = "1"

[tool.hatch.build.targets.wheel]
packages = ["app"]
"""
