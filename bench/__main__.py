"""Runs the benchmarks: ``python -m bench [subject …] [--quick | --write | --check]``."""

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from itertools import groupby

from bench.goals import Comparison
from bench.report import REPORT, last_figures, with_table
from bench.rounds import NotMeasuredError, Table

SUBJECTS = ("receiver", "api", "desk", "drain", "hosts", "events", "latency", "burst", "footprint", "startup")
LARGE_SUBJECTS = ("operators", "repairs")
"""Those that take minutes and gigabytes: they are measured only where they are named."""


def main() -> None:
    """Measure the named subjects, or all but the large ones.

    Prints each figure beside its goal and its last value.
    """
    args = _arguments()
    results = [_measure(subject, args) for subject in args.subjects or SUBJECTS]
    worse = [one for comparisons in results for one in comparisons or () if one.is_regression]
    if args.check and worse:
        sys.stdout.write(f"\n{regressions(worse)}")
    if None in results or (args.check and worse):
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    known = (*SUBJECTS, *LARGE_SUBJECTS)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=", ".join(known))
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--quick", action="store_true", help="few and small rounds, only to see that everything works"
    )
    kind.add_argument("--write", action="store_true", help=f"write the tables into docs/{REPORT.name}")
    kind.add_argument(
        "--check",
        action="store_true",
        help=f"fail if a ratio is worse by more than a tenth than that of docs/{REPORT.name}",
    )
    args = parser.parse_args()
    if unknown := set(args.subjects) - set(known):
        parser.error(f"unknown subjects: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    return args


def _measure(subject: str, args: argparse.Namespace) -> Sequence[Comparison] | None:
    """Measure one subject and show it; return its comparisons, or None if it could not be measured."""
    try:
        table: Table = import_module(f"bench.{subject}").measure(quick=args.quick)
    except NotMeasuredError as error:
        sys.stderr.write(f"\n{subject} is not measured: {error}\n")
        return None
    text = f"{table.markdown()}\n{_describe_run(quick=args.quick)}\n"
    report = REPORT.read_text(encoding="utf-8")
    # Few and small rounds compare with nothing.
    comparisons = [] if args.quick else table.compare(last_figures(report, subject))
    sys.stdout.write(f"\n{subject}\n\n{text}{''.join(compared(comparisons))}")
    sys.stdout.flush()
    if args.write:
        REPORT.write_text(with_table(report, subject, text), encoding="utf-8")
    return comparisons


def compared(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield a line for each row, and one for each of its figures."""
    for row, figures in groupby(comparisons, key=lambda one: one.row):
        yield f"\n{row}\n"
        yield from (f"  {one}\n" for one in figures)


def regressions(worse: Sequence[Comparison]) -> str:
    """Return the text that names each ratio that has become worse."""
    lines = [f"  {one.row}: {one.column} {one.now}, last {one.last}\n" for one in worse]
    return f"Worse by more than a tenth than in docs/{REPORT.name}:\n{''.join(lines)}"


def _describe_run(*, quick: bool) -> str:
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        f"Python {platform.python_version()}",
    ]
    return f"*{'; '.join(parts)}{'; quick, so the figures mean nothing' if quick else ''}.*"


if __name__ == "__main__":
    main()
