"""Runs ``credits`` as users do: as real processes, in a clean environment and an empty folder."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from app.demo.polar import Polar
from app.receiver.signature import sign
from config.setting_fields import read_fields
from config.settings import Settings
from tests.support.builders import CUSTOMER
from tests.support.fork_server import ForkServer
from tests.support.json_shapes import assert_as_promised
from workers.store.stores import Stores, stores

# Unique on this machine, so that any text or process listing that contains one is a leak.
TOKEN = f"polar_oat_{uuid4().hex}"
SECRET = f"whsec_{uuid4().hex}"

TEN = """\
version: 1
meters: {api_usage: {}}
rules:
  - {name: pack, grant: {api_usage: 10}}
"""

_PATIENCE_SECONDS = 60.0  # only a test that fails waits this long
_POLL_SECONDS = 0.02

Value = TypeVar("Value")


def eventually(get: Callable[[], Value], *, patience_seconds: float = _PATIENCE_SECONDS) -> Value:
    """Return the first true result of ``get``; AssertionError after a minute, if nothing else is said."""
    deadline = time.monotonic() + patience_seconds
    while not (value := get()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(_POLL_SECONDS)
    return value


def some_polar(*customers: str) -> Polar:
    """Return a stand-in's state with one meter and these customers (by default CUSTOMER)."""
    polar = Polar(token=TOKEN)
    polar.add_meter("api_usage")
    for customer_id in customers or (CUSTOMER,):
        polar.add_customer(customer_id)
    return polar


def post(receiver: httpx.Client, body: bytes) -> str:
    """Deliver ``body`` to ``receiver`` as Polar does; return the delivery's id."""
    delivery_id = str(uuid4())
    headers = sign(SECRET, delivery_id, int(time.time()), body)
    response = receiver.post("/webhooks/polar", content=body, headers=headers, timeout=30)
    assert response.status_code == 202, response.text
    return delivery_id


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process in the machine's process listing."""

    pid: int
    parent: int
    command: str
    title: str = ""
    """What ``ps`` shows in place of the command's name, where there is ``/proc``; at most 15 characters."""

    def is_part(self, name: str) -> bool:
        """Return whether it is this part of the service, started afresh or forked."""
        return f"-m app.processes {name}" in self.command or self.title == f"credits-{name}"[:15]


def processes() -> list[Process]:
    """Return all living processes of this machine; zombies are left out."""
    # Small Linuxes have no ps, macOS has no /proc.
    if not Path("/proc/self/stat").exists():
        return _listed_by_ps()
    folders = (path for path in Path("/proc").iterdir() if path.name.isdigit())
    return [found for path in folders if (found := _read_proc(path))]


def _listed_by_ps() -> list[Process]:
    ps = ["/bin/ps", "-A", "-ww", "-o", "pid=,ppid=,state=,command="]
    lines = subprocess.run(ps, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split(None, 3) for line in lines]
    return [
        Process(pid=int(pid), parent=int(parent), command="".join(command))
        for pid, parent, state, *command in rows
        if not state.startswith("Z")
    ]


def _read_proc(folder: Path) -> Process | None:
    try:
        begun, _, rest = (folder / "stat").read_text().rpartition(")")
        title, (state, parent) = begun.partition("(")[2], rest.split()[:2]
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    if state == "Z":
        return None
    return Process(pid=int(folder.name), parent=int(parent), command=command, title=title)


def living(pids: Sequence[int]) -> set[int]:
    """Return those of ``pids`` that are still alive."""
    return set(pids) & {process.pid for process in processes()}


@dataclass(frozen=True, kw_only=True)
class Running:
    """A command that runs until it is stopped, as leader of its own process group."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.process.pid

    @property
    def said(self) -> str:
        """Return its output so far, both standard output and standard error."""
        return self.log.read_text()

    def url(self) -> str:
        """Return the receiver's base URL once it can store deliveries."""
        url = eventually(self._listening).removesuffix("/webhooks/polar")
        eventually(lambda: _ready(url))
        return url

    def _listening(self) -> str:
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.said}"
        whole_lines = self.said.rpartition("\n")[0].splitlines()
        events = [json.loads(line) for line in whole_lines if line.startswith("{")]
        return next((str(event["url"]) for event in events if event["event"] == "listening"), "")

    def part(self, name: str) -> int:
        """Return the process id of its receiver or worker once there is one."""
        return eventually(lambda: self.parts(name))[0]

    def parts(self, name: str) -> list[int]:
        """Return the process ids of its living receivers or workers."""
        mine = [process for process in processes() if process.parent == self.pid]
        return [process.pid for process in mine if process.is_part(name)]

    def stop(self, number: signal.Signals) -> int:
        """Send a signal to this process alone; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(_PATIENCE_SECONDS)

    def end(self) -> None:
        """Stop it with SIGTERM; kill it if that does not work."""
        try:
            self.stop(signal.SIGTERM)
        finally:
            self.process.kill()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=30).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass(frozen=True, kw_only=True)
class Credits:
    """Runs ``credits`` with the given settings, and fails if any of its output contains a secret."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    def with_settings(self, **settings: str) -> "Credits":
        """Return a copy with other settings; an empty setting counts as unset."""
        return replace(self, settings={**self.settings, **settings})

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a command without a terminal until it ends; it must not print a traceback."""
        done = _fork_server().run(
            args, cwd=self.folder, env=self._environment(), timeout_seconds=_PATIENCE_SECONDS
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        _assert_no_secrets(done.stdout + done.stderr)
        return done

    def json(self, *args: str) -> Any:
        """Run a command with ``--json``, which must succeed; return the parsed output."""
        done = self.run(*args, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        printed = json.loads(done.stdout)
        assert_as_promised(args[0], printed)
        return printed

    @contextmanager
    def running(self, *args: str) -> Iterator[Running]:
        """Run a command while the block runs, then stop it with SIGTERM."""
        log = self.folder / f"{args[0]}-{uuid4().hex}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                _command(args),
                cwd=self.folder,
                env=self._environment() | {"LOG_FORMAT": "json"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        running = Running(process=process, log=log)
        try:
            yield running
        finally:
            running.end()
        _assert_no_secrets(running.said)

    def read(self) -> Settings:
        """Return the settings as this process would read them; its own environment is ignored."""
        return read_fields(Settings, {name: value for name, value in self.settings.items() if value})

    def stores(self) -> AbstractContextManager[Stores]:
        """Open the stores that these settings name."""
        return stores(self.read())

    def _environment(self) -> dict[str, str]:
        # Without the settings, the .env and the rules file of the user who runs the tests.
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.settings}


@cache
def _fork_server() -> ForkServer:
    """Return the one server of this process, started when the first command is run."""
    folder = tempfile.mkdtemp(prefix="credits-tests-")
    server = ForkServer(Path(folder))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.close)
    return server


def credits_in(folder: Path, polar_url: str, *, rules: str = TEN, **settings: str) -> Credits:
    """Return the command with all settings that granting needs; the receiver takes a free port."""
    rules_file = folder / "rules.yaml"
    rules_file.write_text(rules)
    usual = {
        "POLAR_ACCESS_TOKEN": TOKEN,
        "POLAR_WEBHOOK_SECRET": SECRET,
        "POLAR_SERVER": polar_url,
        "CREDITS_RULES": str(rules_file),
        "CREDITS_DATA_DIR": str(folder / "data"),
        "PORT": "0",
    }
    return Credits(folder=folder, settings=usual | settings)


def _command(args: Sequence[str]) -> list[str]:
    module = "tests.support.hasty_cli" if args[0] == "rebuild" else "app"
    return [sys.executable, "-P", "-m", module, *args]


def _assert_no_secrets(text: str) -> None:
    assert TOKEN not in text
    assert SECRET not in text
