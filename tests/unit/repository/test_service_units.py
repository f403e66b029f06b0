"""The units for systemd: about the commands and folders of this service as they are."""

from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.support.commands import parse_command
from tests.support.paths import ROOT
from workers.embedded.folder import make_private

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PAGE = (ROOT / "docs" / "deploying" / "systemd.md").read_text()


def service(unit: Path) -> dict[str, str]:
    """Return the options of a unit's service."""
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd's keys have capitals
    parser.read(unit)
    return dict(parser["Service"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_every_unit_runs_a_command_and_is_named_by_the_page(unit: Path) -> None:
    options = service(unit)
    parse_command(options["ExecStart"].split())
    assert options["ExecStart"].startswith(options["WorkingDirectory"])
    assert f"deploy/systemd/{unit.name}" in PAGE


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_every_unit_restarts_and_is_given_time_to_drain(unit: Path) -> None:
    options = service(unit)
    assert (options["Restart"], options["KillMode"]) == ("always", "mixed")
    assert int(options["TimeoutStopSec"]) >= 40  # a drain takes up to 30


def test_the_embedded_redis_accepts_the_folder_that_systemd_creates(tmp_path: Path) -> None:
    options = service(ROOT / "deploy" / "systemd" / "credits.service")
    folder = tmp_path / options["StateDirectory"]
    folder.mkdir()
    folder.chmod(int(options.get("StateDirectoryMode", "0755"), base=8))
    make_private(folder)
    assert f"CREDITS_DATA_DIR=/var/lib/{folder.name}\n" in PAGE


def test_no_unit_has_a_setting_that_a_command_run_by_hand_would_lack() -> None:
    assert {service(unit).get("Environment", "") for unit in UNITS} == {"", "HOST=0.0.0.0 PORT=8000"}
