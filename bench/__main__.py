"""Runs the benchmarks: ``python -m bench [subject …] [--quick] [--write]``."""

import argparse
import os
import platform
import re
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from bench.rounds import Table
from bench.wrk import WrkError

_SUBJECTS = ("receiver", "api", "drain", "events", "latency", "burst", "footprint", "startup")
_REPORT = Path(__file__).parents[1] / "docs" / "performance.md"


def main() -> None:
    """Measure the named subjects, or all of them; print a table for each."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=", ".join(_SUBJECTS))
    parser.add_argument(
        "--quick", action="store_true", help="few and small rounds, only to see that everything works"
    )
    parser.add_argument("--write", action="store_true", help=f"write the tables into docs/{_REPORT.name}")
    args = parser.parse_args()
    if unknown := set(args.subjects) - set(_SUBJECTS):
        parser.error(f"unknown subjects: {', '.join(sorted(unknown))}; choose from {', '.join(_SUBJECTS)}")
    for subject in args.subjects or _SUBJECTS:
        try:
            table: Table = import_module(f"bench.{subject}").measure(quick=args.quick)
        except WrkError as error:
            parser.exit(1, f"{parser.prog}: {error}\n")
        text = f"{table.markdown()}\n{_describe_run(quick=args.quick)}\n"
        sys.stdout.write(f"\n{subject}\n\n{text}")
        sys.stdout.flush()
        if args.write:
            _REPORT.write_text(
                with_table(_REPORT.read_text(encoding="utf-8"), subject, text), encoding="utf-8"
            )


def with_table(report: str, subject: str, text: str) -> str:
    """Return ``report`` with ``text`` between the marks of ``subject``."""
    begin, end = f"<!-- bench {subject} -->\n", f"<!-- end {subject} -->\n"
    between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    written, count = between.subn(lambda _: f"{begin}\n{text}\n{end}", report)
    if count != 1:
        raise SystemExit(f"{_REPORT.name} has no place for {subject}: add the lines\n{begin}{end}")
    return written


def _describe_run(*, quick: bool) -> str:
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        f"Python {platform.python_version()}",
    ]
    return f"*{'; '.join(parts)}{'; quick, so the figures mean nothing' if quick else ''}.*"


if __name__ == "__main__":
    main()
