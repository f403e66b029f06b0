"""The compose files: valid by the specification, and about this service as it is."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import parse_command
from tests.support.paths import ROOT
from tests.support.redis_servers import own_redis
from tests.support.setting_names import SETTINGS
from workers.store.server_check import redis_findings

SERVICE = ROOT / "compose.yaml"
MONITORING = ROOT / "compose.monitoring.yaml"
FILES = [SERVICE, MONITORING]
PARSED: dict[str, Any] = {path.name: yaml.safe_load(path.read_text()) for path in FILES}
SERVICES: dict[str, Any] = {
    name: one for parsed in PARSED.values() for name, one in parsed["services"].items()
}
OURS = {name: one for name, one in SERVICES.items() if "build" in one}
SECRET_NAMES = re.compile("TOKEN|SECRET|PASSWORD|KEY")


def test_they_are_valid_by_the_compose_specification() -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        *map(str, FILES),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_run_what_the_documents_say() -> None:
    assert set(PARSED["compose.yaml"]["services"]) == {"receiver", "worker", "valkey", "caddy"}
    assert set(PARSED["compose.monitoring.yaml"]["services"]) == {"prometheus", "grafana"}


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - OURS.keys()))
def test_every_foreign_image_has_a_full_name_and_a_version(name: str) -> None:
    assert re.fullmatch(r"docker\.io/[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_restarted_and_checked(name: str) -> None:
    """What is built here has the check of the Containerfile, unless it has one of its own."""
    one = SERVICES[name]
    assert one["restart"] == "unless-stopped"
    assert one.get("healthcheck") or "HEALTHCHECK" in (ROOT / one["build"]["dockerfile"]).read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_waits_until_what_it_needs_is_healthy(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert how == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", OURS)
def test_our_commands_exist_and_our_containers_have_no_rights(name: str) -> None:
    one = OURS[name]
    parse_command(one["command"])
    assert one["read_only"]
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert int(one["stop_grace_period"].removesuffix("s")) >= 40  # a drain takes up to 30
    if check := one.get("healthcheck"):
        parse_command(check["test"][1:])


@pytest.mark.parametrize("name", OURS)
def test_our_containers_share_the_settings_and_the_redis(name: str) -> None:
    one = OURS[name]
    assert one["env_file"] == ".env"
    assert set(one["environment"]) <= SETTINGS
    assert one["environment"]["REDIS_URL"] == "redis://valkey:6379/0"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_secret_is_in_the_files_and_what_they_ask_for_is_explained(path: Path) -> None:
    text = path.read_text()
    for value in re.findall(r"^\s+\w*(?:TOKEN|SECRET|PASSWORD|KEY)\w*:\s*(.+)$", text, re.MULTILINE):
        assert value.startswith("${"), value
    for name, explained in re.findall(r"\$\{(\w+)(:\?.+)?\}", text):
        assert name in SETTINGS | {"GRAFANA_PASSWORD"}
        assert explained


def test_every_named_volume_is_declared_and_every_folder_mounted_exists() -> None:
    declared = {name for parsed in PARSED.values() for name in parsed["volumes"]}
    mounted = [volume.split(":")[0] for one in SERVICES.values() for volume in one.get("volumes", [])]
    assert {name for name in mounted if not name.startswith(".")} == declared
    assert [name for name in mounted if name.startswith(".") and not (ROOT / name).exists()] == []


def test_only_caddy_is_reached_from_other_hosts() -> None:
    open_to_all = {
        name: ports
        for name, one in SERVICES.items()
        if (ports := [port for port in one.get("ports", []) if not port.startswith("127.0.0.1:")])
    }
    assert open_to_all == {"caddy": ["80:80", "443:443"]}


def test_valkey_keeps_what_it_is_given(tmp_path: Path) -> None:
    program, *options = SERVICES["valkey"]["command"]
    assert program == "valkey-server"
    assert SERVICES["valkey"]["volumes"] == ["valkey-data:/data"]
    with own_redis(tmp_path, *options) as server, server.client() as redis:
        assert redis_findings(redis) == []
        assert redis.config_get("appendfsync") == {"appendfsync": "always"}


def test_prometheus_sends_the_token_that_compose_mounts() -> None:
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "compose.yml").read_text())["scrape_configs"]
    (job,) = scraped
    (secret,) = SERVICES["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert job["static_configs"] == [{"targets": ["receiver:8000"]}]
    secrets = PARSED["compose.monitoring.yaml"]["secrets"]
    assert secrets[secret] == {"environment": "CREDITS_OPS_TOKEN"}


def test_grafana_finds_the_data_source_and_the_dashboard() -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["url"], source["isDefault"]) == ("http://prometheus:9090", True)
    (provider,) = yaml.safe_load((folder / "dashboards" / "credit-granter.yml").read_text())["providers"]
    there = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert any(os.path.dirname(path) == provider["options"]["path"] for path in there)
