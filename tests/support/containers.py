"""Builds the image and runs containers, with podman and a storage of the tests' own."""

import fcntl
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from platformdirs import user_cache_path

from config.version import VERSION
from tests.support.debian import require_programs
from tests.support.paths import ROOT

BASE = "docker.io/library/debian:trixie-slim"
_SUITE = "trixie"
_MIRROR = "http://deb.debian.org/debian"
_BUILD_SECONDS = 600
_RUN_SECONDS = 120
_POLL_SECONDS = 0.5

# Keeps what the published image of that name keeps out, and writes to disk as carelessly.
_SLIM = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists")
_CARELESS = ("etc/dpkg/dpkg.cfg.d/docker-apt-speedup", "force-unsafe-io\n")


@dataclass(frozen=True, kw_only=True)
class Podman:
    """Podman on a folder that no other containers are in; the base image stays there between runs."""

    folder: Path
    config: Path

    def run(self, *args: str, timeout_seconds: float = _RUN_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a podman command until it ends, whatever its exit status."""
        storage = ("--root", str(self.folder / "root"), "--runroot", "/run/credit-granter-tests")
        return subprocess.run(
            ["podman", *storage, *args],
            env={**os.environ, "CONTAINERS_CONF": str(self.config)},
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    def must(self, *args: str, timeout_seconds: float = _RUN_SECONDS) -> str:
        """Run a podman command that must succeed; return what it printed."""
        done = self.run(*args, timeout_seconds=timeout_seconds)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.strip()

    def inspect(self, name: str) -> Any:
        """Return what podman knows about an image, a container or a volume."""
        (found,) = json.loads(self.must("inspect", name))
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of the tests from building at the same time."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def ensure_base(self) -> None:
        """Make the base image with debootstrap, unless it is there: no registry is needed."""
        if self.run("image", "exists", BASE).returncode != 0:
            with tempfile.TemporaryDirectory() as folder:
                self._import_base(Path(folder))

    def _import_base(self, folder: Path) -> None:
        system, archive = folder / "system", folder / "system.tar"
        _succeed("debootstrap", "--variant=minbase", _SUITE, str(system), _MIRROR)
        left_out = [f"--exclude=./{path}/*" for path in _SLIM]
        name, text = _CARELESS
        (system / name).write_text(text)
        _succeed("tar", "--create", f"--file={archive}", f"--directory={system}", *left_out, ".")
        self.must("import", str(archive), BASE)


def _succeed(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def podman(folder: Path) -> Podman:
    """Return a podman that works in a virtual machine without systemd; skip the test where there is none."""
    require_programs("podman", "runc", "debootstrap", as_root=True)
    config = folder / "containers.conf"
    # runc takes any layout of cgroups. Podman's own limits are more than some machines allow.
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = f'["nofile={min(files, 1024)}:{files}", "nproc=4096:4096"]'
    config.write_text(f'[containers]\ndefault_ulimits = {limits}\n[engine]\nruntime = "runc"\n')
    cache = user_cache_path("credit-granter-tests") / "containers"
    cache.mkdir(parents=True, exist_ok=True)
    return Podman(folder=cache, config=config)


def built_image(engine: Podman, folder: Path, run_id: str) -> str:
    """Build the image as a user does, once in a run of the tests; return its name."""
    name = f"credit-granter-test:{run_id}"
    with engine.locked():
        if engine.run("image", "exists", name).returncode != 0:
            _build(engine, folder, name)
    return name


def _build(engine: Podman, folder: Path, name: str) -> None:
    ours = ("--filter", "label=org.opencontainers.image.title=credit-granter", "--filter", "until=3h")
    engine.run("image", "prune", "--all", "--force", *ours)  # those of earlier runs
    engine.ensure_base()
    image = ("--file", "Containerfile", "--tag", name, "--build-arg", f"VERSION={VERSION}")
    local = ("--pull=never", "--layers=false", "--format", "docker", "--network", "host")
    options = (*image, *local, *_packages_as_here(folder))
    engine.must("build", *options, str(ROOT), timeout_seconds=_BUILD_SECONDS)


def _packages_as_here(folder: Path) -> list[str]:
    """Return the options with which pip trusts, inside the build, the certificates that it trusts here."""
    certificates = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    if not certificates:
        return []
    (folder / "pip.conf").write_text("[global]\ncert = /etc/pip-ca.pem\n")
    mounts = {folder / "pip.conf": "/etc/pip.conf", Path(certificates): "/etc/pip-ca.pem"}
    return [word for here, there in mounts.items() for word in ("--volume", f"{here}:{there}:ro")]


@contextmanager
def volume(engine: Podman) -> Iterator[str]:
    """Yield the name of an empty volume."""
    name = f"credit-granter-test-{uuid4().hex}"
    engine.must("volume", "create", name)
    try:
        yield name
    finally:
        engine.run("volume", "rm", "--force", name)


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container that was started."""

    engine: Podman
    name: str

    def has_ended(self) -> bool:
        """Return whether its first process has ended; slowly, because each question starts podman."""
        time.sleep(_POLL_SECONDS)
        return bool(self.engine.inspect(self.name)["State"]["Status"] == "exited")

    def exit_status(self) -> int:
        """Return the exit status of its first process."""
        return int(self.engine.inspect(self.name)["State"]["ExitCode"])

    def said(self) -> str:
        """Return its log."""
        done = self.engine.run("logs", self.name)
        return done.stdout + done.stderr

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return self.engine.run("exec", self.name, *command)

    def is_healthy(self) -> bool:
        """Return whether its HEALTHCHECK succeeds."""
        return self.engine.run("healthcheck", "run", self.name).returncode == 0


@contextmanager
def container(
    engine: Podman, image: str, *command: str, options: tuple[str, ...] = (), env: Mapping[str, str]
) -> Iterator[Container]:
    """Run a container with nothing writable but its volumes, while the block runs."""
    name = f"credit-granter-test-{uuid4().hex}"
    # Podman would make /tmp writable, which Docker does not.
    strict = (
        "--read-only",
        "--read-only-tmpfs=false",
        "--cap-drop",
        "all",
        "--security-opt",
        "no-new-privileges",
    )
    settings = [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
    start = ("run", "--detach", "--name", name, "--network", "host", *strict, *options, *settings)
    engine.must(*start, image, *command)
    try:
        yield Container(engine=engine, name=name)
    finally:
        engine.run("rm", "--force", "--volumes", "--time", "0", name)
