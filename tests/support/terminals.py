"""Runs commands on a terminal whose user answers questions."""

import os
import pty
import subprocess

from tests.support.processes import Credits, _command


def at_a_terminal(credits_: Credits, *args: str, answer: str = "", columns: int = 120) -> tuple[int, str]:
    """Run a command on a terminal and answer its question; return its exit status and output."""
    ours, theirs = pty.openpty()
    env = credits_._environment() | {"TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1"}
    process = subprocess.Popen(
        _command(args), cwd=credits_.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown, is_answered = b"", False
    while chunk := _read(ours):
        shown += chunk
        if b"[y/N]" in shown and not is_answered:
            is_answered = os.write(ours, f"{answer}\n".encode()) > 0
    os.close(ours)
    return process.wait(), shown.decode()


def at_a_keyboard(credits_: Credits, *args: str, answer: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a terminal as its input and its output redirected; answer at once."""
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        _command(args),
        cwd=credits_.folder,
        env=credits_._environment(),
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    return done


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""  # Linux raises this when the other end is closed
