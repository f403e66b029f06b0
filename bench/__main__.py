"""The command: ``python -m bench [subject …] [--quick] [--write]``."""

import argparse
import os
import platform
import re
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from bench.rounds import Table

_SUBJECTS = ("receiver", "drain", "latency", "burst", "footprint", "startup")
_REPORT = Path(__file__).parents[1] / "docs" / "performance.md"


def main() -> None:
    """Measure the subjects that are named, or all; print a table of each."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=", ".join(_SUBJECTS))
    parser.add_argument("--quick", action="store_true", help="few and small rounds: to see that it works")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{_REPORT.name}")
    args = parser.parse_args()
    if unknown := set(args.subjects) - set(_SUBJECTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(_SUBJECTS)}")
    for subject in args.subjects or _SUBJECTS:
        table: Table = import_module(f"bench.{subject}").measure(quick=args.quick)
        text = f"{table.markdown()}\n{_circumstances(quick=args.quick)}\n"
        sys.stdout.write(f"\n{subject}\n\n{text}")
        sys.stdout.flush()
        if args.write:
            _REPORT.write_text(
                with_table(_REPORT.read_text(encoding="utf-8"), subject, text), encoding="utf-8"
            )


def with_table(report: str, subject: str, text: str) -> str:
    """Return ``report`` with this instead of what stood between the subject's marks."""
    begin, end = f"<!-- bench {subject} -->\n", f"<!-- end {subject} -->\n"
    between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    written, count = between.subn(lambda _: f"{begin}\n{text}\n{end}", report)
    if count != 1:
        raise SystemExit(f"{_REPORT.name} has no place for {subject}: it wants the lines {begin}{end}")
    return written


def _circumstances(*, quick: bool) -> str:
    words = [
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        f"Python {platform.python_version()}",
    ]
    return f"*{'; '.join(words)}{'; quick, so no more than a sign of life' if quick else ''}.*"


if __name__ == "__main__":
    main()
