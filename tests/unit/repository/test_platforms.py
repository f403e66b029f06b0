"""The files for Render, Fly.io, Railway and Heroku: what these platforms accept, about this service as it is.

None of the platforms can be asked here. The keys that may be there are those of its reference that we use.
"""

import json
import os
import re
import shlex
import tomllib
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.commands import parse_command
from tests.support.paths import ROOT
from tests.support.redis_servers import own_redis
from tests.support.setting_names import SETTINGS
from workers.store.server_check import redis_findings

RENDER = yaml.safe_load((ROOT / "render.yaml").read_text())
FLY = tomllib.loads((ROOT / "fly.toml").read_text())
FLY_VALKEY = tomllib.loads((ROOT / "deploy" / "fly-valkey.toml").read_text())
RAILWAY = json.loads((ROOT / "railway.json").read_text())
HEROKU = json.loads((ROOT / "app.json").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

DRAIN_SECONDS = 40  # work in progress takes up to 30
HEALTH_PATHS = {
    "Render": RENDER["services"][0]["healthCheckPath"],
    "Fly.io": FLY["http_service"]["checks"][0]["path"],
    "Railway": RAILWAY["deploy"]["healthcheckPath"],
}
VARIABLES: dict[str, dict[str, str | None]] = {
    "Render": {one["key"]: one.get("value") for one in RENDER["services"][0]["envVars"]},
    "Fly.io": FLY["env"],
    "Heroku": {name: one.get("value") for name, one in HEROKU["env"].items()},
}


def test_the_health_checks_ask_whether_webhooks_can_be_stored() -> None:
    assert set(HEALTH_PATHS.values()) == {"/readyz"}


@pytest.mark.parametrize("platform", VARIABLES)
def test_every_variable_is_a_setting_and_no_secret_has_a_value(platform: str) -> None:
    for name, value in VARIABLES[platform].items():
        assert name in SETTINGS
        assert value is None or not re.search("TOKEN|SECRET|URL", name)
    assert VARIABLES[platform]["POLAR_SERVER"] == "sandbox"
    assert str(VARIABLES[platform]["CREDITS_RULES"]).endswith("config/mine.yaml")


@pytest.mark.parametrize(
    "named",
    [RENDER["services"][0]["dockerfilePath"], FLY["build"]["dockerfile"], RAILWAY["build"]["dockerfilePath"]],
)
def test_the_image_is_built_from_the_containerfile(named: str) -> None:
    assert (ROOT / named).samefile(ROOT / "Containerfile")


def test_render_gets_a_service_and_a_store_that_keeps_what_it_is_given() -> None:
    service, store = RENDER["services"]
    assert service.keys() == {
        "type", "name", "runtime", "dockerfilePath", "plan", "healthCheckPath", "maxShutdownDelaySeconds",
        "envVars",
    }  # fmt: skip
    assert (service["type"], service["runtime"]) == ("web", "docker")
    assert DRAIN_SECONDS <= service["maxShutdownDelaySeconds"] <= 300
    assert "free" not in {service["plan"], store["plan"]}  # the one sleeps, the other forgets
    assert store.keys() == {"type", "name", "plan", "maxmemoryPolicy", "ipAllowList"}
    assert (store["type"], store["maxmemoryPolicy"], store["ipAllowList"]) == ("keyvalue", "noeviction", [])
    for one in service["envVars"]:
        assert one.keys() <= {"key", "value", "sync", "fromService"}
        assert one.get("sync", False) is False  # the Dashboard asks for it
    (url,) = [one["fromService"] for one in service["envVars"] if one["key"] == "REDIS_URL"]
    assert url == {"type": "keyvalue", "name": store["name"], "property": "connectionString"}


def test_fly_gets_a_machine_that_never_sleeps() -> None:
    assert FLY.keys() == {
        "app", "primary_region", "kill_signal", "kill_timeout", "build", "env", "files", "http_service", "vm",
    }  # fmt: skip
    http = FLY["http_service"]
    assert http.keys() == {
        "internal_port",
        "force_https",
        "auto_stop_machines",
        "min_machines_running",
        "checks",
    }
    assert (http["auto_stop_machines"], http["min_machines_running"]) == ("off", 1)
    assert f"PORT={http['internal_port']} " in (ROOT / "Containerfile").read_text()
    assert FLY["kill_signal"] == "SIGTERM"
    assert DRAIN_SECONDS <= int(FLY["kill_timeout"].removesuffix("s")) <= 300


def test_fly_puts_the_rules_where_the_image_looks_for_them() -> None:
    (file,) = FLY["files"]
    workdir = re.findall(r"^WORKDIR (.*)$", (ROOT / "Containerfile").read_text(), re.MULTILINE)[-1]
    assert file["guest_path"] == FLY["env"]["CREDITS_RULES"] == f"{workdir}/{file['local_path']}"


def test_flys_valkey_keeps_what_it_is_given(tmp_path: Any) -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert FLY_VALKEY["build"]["image"] == compose["services"]["valkey"]["image"]
    assert FLY_VALKEY["mounts"]["destination"] == "/data"
    shell, _, script = shlex.split(FLY_VALKEY["processes"]["app"])
    replace, entrypoint, program, *options = shlex.split(script)
    assert (shell, replace, entrypoint, program) == ("sh", "exec", "docker-entrypoint.sh", "valkey-server")
    assert options[-2:] == ["--requirepass", "$VALKEY_PASSWORD"]
    with own_redis(tmp_path, *options[:-2]) as server, server.client() as redis:
        assert redis_findings(redis) == []


def test_railway_gets_a_service_that_is_given_time_to_drain() -> None:
    assert RAILWAY.keys() == {"$schema", "build", "deploy"}
    assert RAILWAY["build"]["builder"] == "DOCKERFILE"
    deploy = RAILWAY["deploy"]
    assert deploy.keys() == {"healthcheckPath", "healthcheckTimeout", "restartPolicyType", "drainingSeconds"}
    assert deploy["restartPolicyType"] == "ALWAYS"
    assert deploy["drainingSeconds"] >= DRAIN_SECONDS


def test_railway_builds_no_file_that_declares_volumes() -> None:
    assert not re.findall(r"^VOLUME", (ROOT / "Containerfile").read_text(), re.MULTILINE)


def test_heroku_gets_what_the_procfile_names_and_a_store_that_keeps_what_it_is_given() -> None:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert HEROKU.keys() == {
        "name", "description", "keywords", "stack", "buildpacks", "addons", "formation", "env",
    }  # fmt: skip
    assert HEROKU["formation"].keys() == {"web", "worker"}
    for name in HEROKU["formation"]:
        parse_command([word for word in shlex.split(lines[name]) if "=" not in word])
    (store,) = HEROKU["addons"]
    assert re.fullmatch(r"heroku-redis:premium-\d+", store["plan"])  # the mini plan forgets
    assert HEROKU["description"] == PROJECT["project"]["description"]


def test_heroku_installs_a_python_that_we_support() -> None:
    wanted = (ROOT / ".python-version").read_text().strip()
    assert re.fullmatch(r"3\.\d+", wanted)  # without a patch, so that Heroku takes the newest
    assert f"Programming Language :: Python :: {wanted}" in PROJECT["project"]["classifiers"]


def pins(file: str) -> dict[str, tuple[Version, frozenset[str]]]:
    """Return each locked package with its version and its hashes."""
    blocks = re.findall(
        r"^(\S+==[^\n]*?) \\\n((?:    --hash=\S+(?: \\)?\n)+)", (ROOT / file).read_text(), re.MULTILINE
    )
    found = {}
    for line, hashes in blocks:
        wanted = Requirement(line)
        (pin,) = wanted.specifier
        found[wanted.name] = (Version(pin.version), frozenset(re.findall(r"sha256:\S+", hashes)))
    return found


def test_the_requirements_are_the_lock_without_what_only_developers_need() -> None:
    required, locked = pins("requirements.txt"), pins("constraints.txt")
    assert required.items() <= locked.items()
    names = {Requirement(line).name for line in PROJECT["project"]["dependencies"]}
    assert names | {"hatchling"} <= required.keys()
    assert not required.keys() & {"pytest", "mypy", "ruff", "polar-sdk"}


def test_herokus_last_step_installs_nothing_that_is_not_locked() -> None:
    script = ROOT / "bin" / "post_compile"
    assert os.access(script, os.X_OK)
    assert (
        "pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index .\n"
        in script.read_text()
    )
