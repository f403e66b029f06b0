"""How log lines are written: one by one, or those of many webhooks together."""

import sys
from contextlib import suppress
from io import StringIO
from select import PIPE_BUF
from threading import Thread

import pytest

from workers.monitoring.lines import Lines, lines_together


class Calls(StringIO):
    """A stream that remembers each call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of standard error."""
        super().__init__()
        self.written: list[str] = []
        monkeypatch.setattr(sys, "stderr", self)

    def write(self, text: str) -> int:
        """Remember the text."""
        self.written.append(text)
        return len(text)


def test_a_line_is_written_at_once_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch).written
    Lines().msg("one")
    assert calls == ["one\n"]


def test_lines_together_are_written_in_one_call_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch).written
    with lines_together():
        Lines("a").msg("one")
        Lines("b").msg("two")
        assert calls == []
    assert calls == ["one\ntwo\n"]
    Lines().msg("three")
    assert calls[1:] == ["three\n"]


def test_a_block_that_fails_writes_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch).written
    with suppress(KeyboardInterrupt), lines_together():
        Lines().msg("one")
        raise KeyboardInterrupt
    Lines().msg("two")
    assert calls == ["one\n", "two\n"]


def test_what_another_thread_logs_meanwhile_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch).written
    with lines_together():
        Lines().msg("ours")
        thread = Thread(target=Lines().msg, args=["theirs"])
        thread.start()
        thread.join()
        assert calls == ["theirs\n"]
    assert calls == ["theirs\n", "ours\n"]


def test_a_call_has_whole_lines_and_no_more_than_a_pipe_takes_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = Calls(monkeypatch).written
    lines = [f"{number:0{PIPE_BUF // 5}}" for number in range(11)] + ["long" * PIPE_BUF, "end"]
    with lines_together():
        for line in lines:
            Lines().msg(line)
    assert "".join(calls).splitlines() == lines
    assert [call.count("\n") for call in calls] == [4, 4, 3, 1, 1]
