"""Runs commands on a terminal whose user answers questions."""

import os
import pty
import select
import subprocess
from collections.abc import Sequence

from tests.support.processes import Credits, _command

_PATIENCE_SECONDS = 45.0  # longer than a command works without showing anything


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


def in_dialogue(credits_: Credits, *args: str, answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Run a command on a terminal; answer each question (a part of its text) in order, once it is asked.

    Returns the exit status and what the terminal showed, which has no answer to a hidden question.
    """
    ours, theirs = pty.openpty()
    env = credits_._environment() | {"TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
    process = subprocess.Popen(
        _command(args),
        cwd=credits_.folder,
        env=env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,  # without a terminal of its own: a hidden question falls back to this one
    )
    os.close(theirs)
    shown, seen, left = b"", 0, list(answers)
    while chunk := _read_in_time(ours, process, shown):
        shown += chunk
        if left and _is_asked(left[0][0], shown[seen:]):
            seen = len(shown)
            os.write(ours, f"{left.pop(0)[1]}\n".encode())
    os.close(ours)
    status = process.wait()
    assert not left, f"never asked: {left[0][0]}\n{shown.decode()}"
    return status, shown.decode().replace("\r\n", "\n")


def _is_asked(question: str, shown: bytes) -> bool:
    """Return whether the question is the last thing shown, up to the space after its colon.

    Before that space is shown, a hidden question discards what is typed.
    """
    last = shown.decode(errors="replace").rpartition("\n")[2]
    return question in last and last.endswith(": ")


def _read_in_time(terminal: int, process: subprocess.Popen[bytes], shown: bytes) -> bytes:
    """Return what the terminal shows next; AssertionError if it waits for an answer that nobody gives."""
    if not select.select([terminal], [], [], _PATIENCE_SECONDS)[0]:
        process.kill()
        process.wait()
        raise AssertionError(f"it waits for an answer:\n{shown.decode()}")
    return _read(terminal)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""  # Linux raises this when the other end is closed
