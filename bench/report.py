"""Reads and writes the tables of ``docs/performance.md``, the only place where the last figures are kept."""

from pathlib import Path

from bench.goals import Figures

REPORT = Path(__file__).parents[1] / "docs" / "performance.md"


def with_table(report: str, subject: str, text: str) -> str:
    """Return ``report`` with ``text`` between the marks of ``subject``."""
    before, _, after = _parts(report, subject)
    return f"{before}\n{text}\n{after}"


def last_figures(report: str, subject: str) -> Figures:
    """Return the cells of the subject's table in ``report``; none if it has no table yet."""
    if f"<!-- bench {subject} -->\n" not in report:
        return {}
    _, table, _ = _parts(report, subject)
    lines = [_cells(line) for line in table.splitlines() if line.startswith("|")]
    header, rows = (lines[0], lines[2:]) if lines else ([], [])
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _parts(report: str, subject: str) -> tuple[str, str, str]:
    """Return what is before, between and after the marks of a subject; the marks are in the outer parts."""
    begin, end = f"<!-- bench {subject} -->\n", f"<!-- end {subject} -->\n"
    before, begun, rest = report.partition(begin)
    between, ended, after = rest.partition(end)
    if not begun or not ended:
        raise SystemExit(f"{REPORT.name} has no place for {subject}: add the lines\n{begin}{end}")
    return before + begin, between, end + after
