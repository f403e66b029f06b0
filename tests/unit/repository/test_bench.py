"""Tests for how benchmarks summarize their samples, and where they write the tables."""

import pytest

from app.desk.pages import PAGES
from bench.desk import pages_of
from bench.desk_data import Shop
from bench.load import LoadResult
from bench.network import network
from bench.report import with_table
from bench.rounds import NotMeasuredError, Rounds, Table, figure, interleave
from bench.wrk import WrkError, find_wrk, read_measured

REPORT = "before\n<!-- bench drain -->\nold\n<!-- end drain -->\nafter\n"


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    samples = {"base": [{"rate": 100.0}, {"rate": 10.0}, {"rate": 100.0}]}
    samples |= {"ours": [{"rate": 50.0}, {"rate": 5.0}, {"rate": 20.0}]}
    assert Rounds(samples).ratio("ours", "base", "rate") == 0.5


def test_every_second_round_runs_in_the_opposite_order() -> None:
    order: list[str] = []

    def contender(name: str) -> dict[str, float]:
        order.append(name)
        return {"rate": 1.0}

    interleave({"a": lambda: contender("a"), "b": lambda: contender("b")}, rounds=3)
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_a_percentile_is_a_measured_latency() -> None:
    answered = LoadResult(seconds=1.0, latencies_seconds=[number / 1000 for number in range(1, 101)])
    assert answered.percentile_ms(50) == 51
    assert answered.percentile_ms(99) == 100
    assert answered.rate == 100


MEASURED = (
    "Running 3s test\n"
    'MEASURED {"requests": 300, "microseconds": 3000000, "p50": 1500, "p99": 9000, '
    '"refused": 0, "failed": 0, "ran_out": false}\n'
)


def test_what_wrk_measures_is_read_as_answers_a_second_and_milliseconds() -> None:
    found = read_measured(MEASURED, "")
    assert (found.answered, found.rate, found.p50_ms, found.p99_ms) == (300, 100, 1.5, 9)


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (MEASURED.replace('"refused": 0', '"refused": 7'), "7 requests were refused"),
        (MEASURED.replace('"failed": 0', '"failed": 2'), "2 failed"),
        (MEASURED.replace("false", "true"), "prepare more"),
        ("", "unable to connect"),
    ],
)
def test_a_load_that_was_not_answered_has_no_rate(output: str, problem: str) -> None:
    with pytest.raises(WrkError, match=problem):
        read_measured(output, "unable to connect to 127.0.0.1:1")


def test_without_wrk_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(WrkError, match="apt-get install wrk"):
        find_wrk()


@pytest.mark.parametrize(
    ("value", "text"), [(12_345.6, "12,346"), (100.4, "100"), (12.34, "12.3"), (0.256, "0.26")]
)
def test_figures_show_only_significant_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_table_replaces_only_the_text_between_its_marks() -> None:
    written = with_table(REPORT, "drain", "new \\1\n")
    assert written == "before\n<!-- bench drain -->\n\nnew \\1\n\n<!-- end drain -->\nafter\n"
    assert with_table(written, "drain", "newer\n") == written.replace("new \\1", "newer")


def test_a_report_without_the_marks_is_an_error() -> None:
    with pytest.raises(SystemExit, match="no place for memory"):
        with_table(REPORT, "memory", "new\n")


def test_a_table_is_markdown_with_numbers_aligned_right() -> None:
    table = Table(subject="x", header=["who", "rate"], rows=[["us", "1"]], note="A note.")
    assert table.markdown() == "| who | rate |\n| --- | ---: |\n| us | 1 |\n\nA note.\n"


def test_without_root_the_hosts_are_not_measured_and_the_error_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(NotMeasuredError, match="only root"), network("one"):
        raise AssertionError("there is no such network")


def test_the_bench_opens_every_page_of_the_desk() -> None:
    shop = Shop(delivery="d", order="o", customer="c", crowd="c", middle="1:d", failed="f")
    opened = {path.removeprefix("/desk/").partition("?")[0] for path in pages_of(shop, 7).values()}
    assert opened == {name for name, page in PAGES.items() if page.get}
