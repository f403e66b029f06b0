"""The command where nobody planned for it: closed or full output, an ASCII console, an unreadable .env."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import credits_in

pytestmark = pytest.mark.heavy  # each test starts processes without the fork server

ONE_RULE = """\
version: 1
meters: {api_usage: {}}
rules:
  - {name: pack, grant: {api_usage: 10}}
"""


def run(folder: Path, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which ``credits`` is our command; its output may be redirected."""
    script = f'credits() {{ "{sys.executable}" -P -m app "$@"; }}; {command}'
    environment = credits_in(folder, "http://127.0.0.1:9", rules=ONE_RULE).settings
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("command", ["credits --help", "credits rules schema"])
def test_a_full_disk_behind_standard_output_is_one_line(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, f"{command} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "credits: standard output: No space left on device\n")


def test_closed_streams_do_not_matter(tmp_path: Path) -> None:
    done = run(tmp_path, "credits rules schema >&-; echo $?; credits --version >&- 2>&- <&-; echo $?")
    assert (done.stdout, done.stderr) == ("0\n0\n", "")


def test_a_reader_that_leaves_early_ends_the_command_quietly(tmp_path: Path) -> None:
    done = run(tmp_path, "credits rules schema | head -n 1")
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_an_ascii_console_gets_escapes(tmp_path: Path) -> None:
    done = run(tmp_path, "credits check --offline", PYTHONIOENCODING="ascii", CREDITS_RULES="\u2713.yaml")
    assert done.returncode == 1
    assert "\\u2713.yaml" in done.stdout


@pytest.mark.parametrize("written", ["PORT=1\n".encode("utf-16"), b"SHOP=caf\xe9\n"])
def test_an_env_file_in_another_encoding_is_one_line(tmp_path: Path, written: bytes) -> None:
    (tmp_path / ".env").write_bytes(written)
    done = run(tmp_path, "credits status; echo $?; credits check --offline | head -n 1")
    assert done.stderr == "credits: .env cannot be read: it is not UTF-8; save it in that encoding\n"
    assert done.stdout.startswith("1\nerror  settings  .env cannot be read")


@pytest.mark.parametrize(
    "command",
    ["show", "dismiss", "deliveries --type", "deliveries --external-customer", "balance --email"],
)
def test_an_argument_in_another_encoding_is_one_line(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, f"credits {command} \"$(printf 'caf\\351')\"", LC_ALL="C.UTF-8")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "credits: an argument or a setting is not UTF-8 text"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("no-such-host.invalid", "HOST is neither an address nor a name of this machine"),
        (f"{'a' * 64}.example", "HOST is neither an address nor a name of this machine"),
        ("192.0.2.1", "HOST is not an address of this machine"),
    ],
)
def test_a_host_that_is_not_here_is_named(tmp_path: Path, host: str, words: str) -> None:
    done = run(tmp_path, "credits serve", HOST=host, REDIS_URL="redis://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"credits: cannot listen on {host}:0: {words}")


def test_a_receiver_serves_although_settings_of_others_are_broken(tmp_path: Path) -> None:
    """What it does not need must never keep it from storing: it gets as far as its own listener."""
    broken = {"POLAR_ACCESS_TOKEN": '"quoted"', "CREDITS_RULES": "/nowhere", "CREDITS_RETAIN": "for ever"}
    done = run(tmp_path, "credits serve", HOST="192.0.2.1", REDIS_URL="redis://127.0.0.1:9", **broken)
    assert "cannot listen on" in done.stderr


def test_send_reaches_an_ipv6_receiver_by_its_host(tmp_path: Path) -> None:
    done = run(tmp_path, "credits send --sample purchase", HOST="[::1]", PORT="9")
    assert "no answer from http://[::1]:9/webhooks/polar" in done.stderr


@pytest.mark.parametrize("module", ["app.cli", "rich.console", "config.settings", "redis"])
def test_ctrl_c_while_modules_are_imported_is_no_traceback(module: str) -> None:
    """The test presses it while a module is looked for: by hand, it is a matter of luck which one."""
    script = f"""
import os, signal, sys, credit_granter

class CtrlC:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
sys.argv = ["credits", "status"]
credit_granter.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
