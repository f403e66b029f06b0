"""Shows the line of a file that has a problem, with a caret below the place."""

from collections.abc import Sequence

from rich.cells import cell_len

from config.rules import Problem

_BEFORE, _AFTER = 60, 40  # characters of a long line that are shown around the place
_TAB = "    "


def excerpt(lines: Sequence[str], problem: Problem) -> list[str]:
    """Return the line with the problem and a line with a caret; nothing if the file has no such line."""
    if not 0 < problem.line <= len(lines):
        return []
    line = lines[problem.line - 1].rstrip("\r")
    place = problem.column - 1
    start = max(0, place - _BEFORE)
    before, after = line[start:place].replace("\t", _TAB), line[place : place + _AFTER].replace("\t", " ")
    number = f"{problem.line:>5} | "
    return [f"{number}{before}{after}".rstrip(), " " * (len(number) + cell_len(before)) + "^"]
