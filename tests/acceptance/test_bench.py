"""The bench, as `make bench` runs it; these tests do not judge the speed."""

import subprocess
import sys

import pytest

from tests.support.debian import require_programs
from tests.support.paths import ROOT

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]  # it measures, perhaps on a busy machine


def test_the_bench_measures_a_subject_and_prints_its_table() -> None:
    require_programs("wrk")
    command = [sys.executable, "-m", "bench", "receiver", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| **credit-granter**")]
    assert len(rows) == 3  # for stored webhooks, with one receiver and with two, and for ignored ones
    assert all(float(row[1].replace(",", "")) > 0 for row in rows)
    assert ("| Express with " in done.stdout) != ("Without Polar's handler for Express: " in done.stdout)


def test_the_bench_opens_every_page_of_the_desk() -> None:
    require_programs("wrk")
    command = [sys.executable, "-m", "bench", "desk", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    assert rows[-1][0] == "bare Starlette page"
    assert all(float(row[1].replace(",", "")) > 0 for row in rows)
    assert "While 10 people each reload a page" in done.stdout


def test_the_bench_runs_every_command_of_operators() -> None:
    command = [sys.executable, "-m", "bench", "operators", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| `credits grants --order ID` | " in done.stdout
    assert "5,000 sealed grants: 1,000 of one customer (CROWD), five of each other" in done.stdout


def test_the_bench_measures_the_memory_of_repairs() -> None:
    command = [sys.executable, "-m", "bench", "repairs", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| `credits adjust --rule pack --since 2d --dry-run` | " in done.stdout


def test_an_unknown_subject_is_a_one_line_error() -> None:
    command = [sys.executable, "-m", "bench", "speed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown subjects: speed; choose from receiver," in done.stderr
