"""The bench, as `make bench` runs it; how fast anything is proves nothing here."""

import subprocess
import sys

from tests.support.paths import ROOT


def test_the_bench_measures_a_subject_and_prints_its_table() -> None:
    command = [sys.executable, "-m", "bench", "receiver", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| **credit-granter**")]
    assert len(rows) == 2  # what it stores, and what it ignores
    assert all(float(row[1].replace(",", "")) > 0 for row in rows)


def test_a_subject_that_there_is_not_is_refused_in_one_line() -> None:
    command = [sys.executable, "-m", "bench", "speed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown subjects: speed; choose from receiver," in done.stderr
