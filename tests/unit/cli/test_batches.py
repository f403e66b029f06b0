"""What commands say that run deliveries: how far they are, what is left, what is waited for."""

import re
import sys
from collections.abc import Iterator

import pytest

from app.cli.batches import run_with_progress, show_progress
from app.cli.output import print_once
from tests.support.fake_service import UNREACHABLE
from workers.core.delivery import Outcome, Status


def outcome(status: Status) -> Outcome:
    return Outcome(delivery_id="msg", attempt=1, status=status)


def stopped_after(*statuses: Status) -> Iterator[list[Outcome]]:
    """Yield one batch; then Polar is away."""
    yield [outcome(one) for one in statuses]
    raise UNREACHABLE


@pytest.mark.parametrize(
    ("done", "count", "words"),
    [
        ([Status.WAITING], 1, f"1 not done: {UNREACHABLE}; the workers will retry, or run the command again"),
        ([Status.GRANTED, Status.WAITING], 2, "1 not done: "),
        ([Status.GRANTED], 3, f"2 not done: {UNREACHABLE}; run the command again"),
        ([Status.GRANTED, Status.WAITING], 4, f"3 not done: {UNREACHABLE}; run the command again"),
    ],
)
def test_what_still_waits_is_not_done(done: list[Status], count: int, words: str) -> None:
    outcomes, trouble = run_with_progress(stopped_after(*done), count, json=True)
    assert [one.status for one in outcomes] == done
    assert trouble.startswith(words)


def be_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def test_a_bar_is_full_when_all_went_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_on_a_terminal(monkeypatch)
    with show_progress("looking for customers", json=False) as tell:
        tell(1, 2)
    assert "100%" in capsys.readouterr().err


def test_a_bar_lets_what_is_waited_for_pass_above_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_on_a_terminal(monkeypatch)
    with show_progress("granting", json=False):
        print_once("waiting for Polar, at most 2 min: it is away")
    lines = re.split("\r?\n", re.sub("\x1b\\[[0-9?]*[a-zA-Z]", "", capsys.readouterr().err))
    assert "waiting for Polar, at most 2 min: it is away" in [line.rpartition("\r")[2] for line in lines]


def test_a_wait_is_told_once_and_tells_no_terminal_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_once("waiting for Polar: \x1b[2J")
    print_once("waiting for Polar: \x1b[2J")
    assert capsys.readouterr().err == "waiting for Polar: \ufffd[2J\n"
