"""What commands say that run deliveries: how far they are, what is left, what is waited for."""

import re
import sys
from collections.abc import Iterator

import pytest

from app.cli.batches import run_with_progress
from app.cli.progress import _Screen, show_progress, show_wait
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


@pytest.fixture(autouse=True)
def _new_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.progress._screen", _Screen())


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
        show_wait(0.01, "it is away")
    lines = re.split("\r?\n", re.sub("\x1b\\[[0-9?]*[a-zA-Z]", "", capsys.readouterr().err))
    assert "waiting for Polar: it is away" in [line.rpartition("\r")[2] for line in lines]


def test_on_a_terminal_a_wait_counts_down_and_leaves_only_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be_on_a_terminal(monkeypatch)
    show_wait(1.9, "it is \x1b[2J away")
    shown = capsys.readouterr().err
    assert shown.startswith("waiting for Polar: it is \ufffd[2J away\n")
    assert re.findall("[0-9]+ s left", shown) == ["2 s left", "1 s left"]
    assert shown.endswith("\r\x1b[2K")


def test_elsewhere_a_wait_is_a_line_each_half_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr("app.cli.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr("app.cli.progress.time.sleep", lambda seconds: now.append(now.pop() + seconds))
    for seconds in (50, 4, 5):
        show_wait(seconds, "it is \x1b[2J away")
    assert capsys.readouterr().err.splitlines() == [
        "waiting for Polar, 50 s left: it is \ufffd[2J away",
        "waiting for Polar, 20 s left: it is \ufffd[2J away",
    ]
