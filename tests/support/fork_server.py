"""Runs ``credits`` as real processes without paying for its imports each time.

A server process imports the command line once. For each command it forks: the child takes over the
command's folder, environment, arguments and streams, and then starts as ``python -m app`` does. Everything
that a command may do to a process (signals, exit status, its own children) is real.

``python -P -m tests.support.fork_server SOCKET``
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from uuid import uuid4

from tests.support.hasty_cli import hurry

_LENGTH = struct.Struct("!I")
_STATUS = struct.Struct("!i")

_START_SECONDS = 60.0
_POLL_SECONDS = 0.02


def _serve(path: str) -> Mapping[str, object]:
    """Fork a child for each command; return, in that child, the command that it is to run."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                return _attend(connection)
            connection.close()


def _attend(connection: socket.socket) -> Mapping[str, object]:
    """Return the command in a child of this process; this process tells the client how that child ended."""
    stream = connection.makefile("rb")
    (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
    command: Mapping[str, object] = json.loads(stream.read(length))
    pid = os.fork()
    if pid == 0:
        stream.close()
        connection.close()
        return command
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):  # the client has given up
        connection.sendall(_STATUS.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(command: Mapping[str, object]) -> None:
    """Turn this process into one that was started with ``command``."""
    os.chdir(str(command["cwd"]))
    environment = command["env"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    streams = (
        (os.devnull, os.O_RDONLY),
        (str(command["stdout"]), os.O_WRONLY),
        (str(command["stderr"]), os.O_WRONLY),
    )
    for number, (file, flags) in enumerate(streams):
        opened = os.open(file, flags)
        os.dup2(opened, number)
        os.close(opened)
    arguments = command["args"]
    assert isinstance(arguments, list)
    sys.argv = ["credits", *map(str, arguments)]


class ForkServer:
    """The client's side: starts the server and runs commands in its children."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = str(folder / "server")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.support.fork_server", self._path],
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
        )

    def run(
        self, args: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout_seconds: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``credits`` to its end, off a terminal; return its exit status and what it printed."""
        out, err = (self._folder / f"{uuid4().hex}.{name}" for name in ("out", "err"))
        out.touch()
        err.touch()
        command = {
            "args": list(args),
            "cwd": str(cwd),
            "env": dict(env),
            "stdout": str(out),
            "stderr": str(err),
        }
        with self._connected() as connection:
            connection.settimeout(timeout_seconds)
            text = json.dumps(command).encode()
            connection.sendall(_LENGTH.pack(len(text)) + text)
            answer = connection.recv(_LENGTH.size, socket.MSG_WAITALL)
        (status,) = _STATUS.unpack(answer)
        return subprocess.CompletedProcess(["credits", *args], status, out.read_text(), err.read_text())

    def _connected(self) -> socket.socket:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self._path)
            except OSError:
                connection.close()
                assert self._process.poll() is None, "the fork server has ended"
                assert time.monotonic() < deadline, "the fork server does not listen"
                time.sleep(_POLL_SECONDS)
            else:
                return connection

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait()


class _Exit:
    """Ends a command's process right after its exit handlers.

    Python would then free each object that the imports made, which takes longer than most commands.
    """

    def __init__(self) -> None:
        self.status = 1  # of an exception that nobody catches

    def run(self, command: Callable[[], object]) -> None:
        """Run ``command``; keep the exit status that it asks for, as Python does at the top level."""
        try:
            command()
            self.status = 0
        except SystemExit as error:
            self.status = error.code if isinstance(error.code, int) else int(error.code is not None)
            if isinstance(error.code, str):
                sys.stderr.write(f"{error.code}\n")

    def leave(self) -> None:
        """End the process; registered first, so that all other exit handlers have run."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.status)


if __name__ == "__main__":
    exit_ = _Exit()
    atexit.register(exit_.leave)

    # All that commands import, once: they find it in sys.modules.
    for module in ("app.cli", "app.main", "app.processes.worker", "app.processes.background"):
        import_module(module)

    hurry()
    gc.freeze()
    _become(_serve(sys.argv[1]))
    exit_.run(partial(runpy.run_module, "app", run_name="__main__", alter_sys=True))
