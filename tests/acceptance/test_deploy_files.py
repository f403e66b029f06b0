"""systemd, nginx and Caddy themselves accept the files in deploy/."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.debian import require_programs
from tests.support.paths import ROOT
from tests.support.proxies import nginx_files
from tests.support.redis_servers import free_port

pytestmark = pytest.mark.heavy  # they need programs that `make test-heavy` installs

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
MOST_EXPOSED = 40  # of systemd's 0 to 100


def ran(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its standard error is part of its output."""
    return subprocess.run(
        command,
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def verified(unit: Path, folder: Path) -> str:
    """Return what systemd finds wrong with a unit whose command is installed elsewhere."""
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text(), flags=re.MULTILINE)
    (folder / unit.name).write_text(text)
    done = ran("systemd-analyze", "verify", str(folder / unit.name))
    return done.stdout or ("" if done.returncode == 0 else f"exit status {done.returncode}")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_the_units(unit: Path, tmp_path: Path) -> None:
    require_programs("systemd-analyze")
    assert verified(unit, tmp_path) == ""


def test_systemd_would_find_a_mistake(tmp_path: Path) -> None:
    require_programs("systemd-analyze")
    wrong = tmp_path / "wrong.service"
    wrong.write_text(UNITS[0].read_text().replace("ProtectSystem", "ProtectsSystem"))
    assert "ProtectsSystem" in verified(wrong, tmp_path)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_units_expose_little(unit: Path) -> None:
    require_programs("systemd-analyze")
    done = ran("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit))
    assert done.returncode == 0, done.stdout


def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    require_programs("nginx", as_root=True)
    done = ran("nginx", "-t", "-c", str(nginx_files(tmp_path, free_port(), free_port())))
    assert done.returncode == 0, done.stdout
    assert "warn" not in done.stdout


def test_caddy_accepts_its_file(tmp_path: Path) -> None:
    require_programs("caddy")
    address = {"CREDITS_PUBLIC_URL": "https://credits.example.com", "HOME": str(tmp_path)}
    done = ran(
        "caddy", "validate", "--config", str(ROOT / "deploy/Caddyfile"), "--adapter", "caddyfile", **address
    )
    assert done.returncode == 0, done.stdout
    assert '"warn"' not in done.stdout
