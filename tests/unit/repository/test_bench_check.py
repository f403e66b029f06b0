"""Tests for how figures are compared with their goals and with the last ones."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import __main__ as bench
from bench.goals import Goals
from bench.report import REPORT, last_figures
from bench.rounds import NotMeasuredError, Table

OURS, RIVAL = "**credit-granter**", "a rival"
RATE = Goals(column="ratio", rows={OURS: 0.3})
WAIT = Goals(column="wait ms", rows={OURS: 20}, is_lower_better=True, is_ratio=False)


def table(ratio: str, *, rate: str = "10,618", wait: str = "9.29", rival: str = "0.23") -> Table:
    return Table(
        subject="drain",
        header=["who", "rate", "ratio", "wait ms"],
        rows=[[RIVAL, "8,700", rival, ""], [OURS, rate, ratio, wait]],
        goals=[RATE, WAIT],
    )


def report(last: Table) -> str:
    return f"before\n<!-- bench drain -->\n\n{last.markdown()}\n*a day*\n\n<!-- end drain -->\nafter\n"


@pytest.mark.parametrize(
    ("now", "last", "is_lower_better", "is_worse"),
    [
        (0.27, 0.30, False, False),  # by a tenth: noise
        (0.26, 0.30, False, True),
        (0.50, 0.30, False, False),
        (1.10, 1.00, True, False),
        (1.11, 1.00, True, True),
        (0.50, 1.00, True, False),
    ],
)
def test_a_ratio_that_is_worse_by_more_than_a_tenth_is_a_regression(
    now: float, last: float, is_lower_better: bool, is_worse: bool
) -> None:
    goals = Goals(column="ratio", rows={OURS: None}, is_lower_better=is_lower_better)
    assert goals.is_regression(OURS, now, last) is is_worse


def test_absolute_figures_and_those_of_rivals_are_shown_and_not_judged() -> None:
    last = last_figures(report(table("0.30")), "drain")
    slow = table("0.30", rate="100", wait="900", rival="0.01").compare(last)
    assert [(one.now, one.last) for one in slow] == [
        ("8,700", "8,700"),
        ("0.01", "0.23"),
        ("100", "10,618"),
        ("0.30", "0.30"),
        ("900", "9.29"),
    ]
    assert not any(one.is_regression for one in slow)


def test_each_figure_is_shown_with_its_last_value_and_its_goal() -> None:
    last = last_figures(report(table("0.30", wait="")), "drain")
    lines = [" ".join(line.split()) for line in bench.compared(table("0.26").compare(last))]
    assert lines == [
        "a rival",
        "rate 8,700 last 8,700",
        "ratio 0.23 last 0.23",
        "**credit-granter**",
        "rate 10,618 last 10,618",
        "ratio 0.26 last 0.30 goal at least 0.3, missed WORSE",
        "wait ms 9.29 last none goal at most 20, met",
    ]


def test_a_table_shows_the_goals_beside_the_figures_and_its_own_figures_are_read_back() -> None:
    assert (
        "| **credit-granter** | 10,618 | 0.30 | at least 0.3 | 9.29 | at most 20 |"
        in table("0.30").markdown()
    )
    assert last_figures(report(table("0.30")), "drain")[OURS] == {
        "who": OURS,
        "rate": "10,618",
        "ratio": "0.30",
        "goal": "at most 20",
        "wait ms": "9.29",
    }


def test_a_subject_that_has_no_table_yet_has_no_last_figures() -> None:
    assert last_figures("<!-- bench drain -->\n<!-- end drain -->\n", "drain") == {}


@pytest.mark.parametrize("subject", bench.SUBJECTS)
def test_the_page_has_the_last_figures_of_every_subject(subject: str) -> None:
    assert last_figures(REPORT.read_text(), subject)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with one table, in place of docs/performance.md."""
    page = tmp_path / "performance.md"
    page.write_text(report(table("0.30")))
    monkeypatch.setattr(bench, "REPORT", page)
    return page


def run(monkeypatch: pytest.MonkeyPatch, now: Table | NotMeasuredError, *args: str) -> int:
    """Run the command where measuring has this result; return its exit status."""

    def measure(*, quick: bool) -> Table:
        if isinstance(now, NotMeasuredError):
            raise now
        return now

    monkeypatch.setitem(sys.modules, "bench.drain", SimpleNamespace(measure=measure))
    monkeypatch.setattr(sys, "argv", ["bench", "drain", *args])
    try:
        bench.main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_a_check_fails_for_a_regression_and_names_it(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = page.read_text()
    assert run(monkeypatch, table("0.26"), "--check") == 1
    assert "**credit-granter**: ratio 0.26, last 0.30" in capsys.readouterr().out.splitlines()[-1]
    assert page.read_text() == before


def test_a_check_passes_where_only_a_goal_is_missed(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, table("0.28"), "--check") == 0


def test_writing_shows_a_regression_and_does_not_fail(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, table("0.26"), "--write") == 0
    assert "WORSE" in capsys.readouterr().out
    assert last_figures(page.read_text(), "drain")[OURS]["ratio"] == "0.26"


@pytest.mark.parametrize("kind", ["--check", "--write"])
def test_what_cannot_be_measured_is_said_and_is_no_success(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert run(monkeypatch, NotMeasuredError("no wrk"), kind) == 1
    assert "drain is not measured: no wrk" in capsys.readouterr().err
    assert last_figures(page.read_text(), "drain")[OURS]["ratio"] == "0.30"


def test_quick_rounds_are_compared_with_nothing(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, table("0.01"), "--quick") == 0
    assert "last" not in capsys.readouterr().out
