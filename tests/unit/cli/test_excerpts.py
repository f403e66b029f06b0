"""The line of the rules file that has a problem, with a caret below the place."""

import pytest

from app.cli.excerpts import excerpt
from config.rules import Problem


def shown(text: str, line: int, column: int) -> list[str]:
    problem = Problem(file="rules.yaml", line=line, column=column, path="", message="wrong")
    return excerpt(text.split("\n"), problem)


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("  api_usge: 10", 3, ["    2 |   api_usge: 10", "          ^"]),
        ("name", 1, ["    2 | name", "        ^"]),
        ("\tname: x\r", 2, ["    2 |     name: x", "            ^"]),
        ("名前: x", 5, ["    2 | 名前: x", "              ^"]),
        ("name:", 6, ["    2 | name:", "             ^"]),
        ("", 1, ["    2 |", "        ^"]),
    ],
)
def test_the_caret_stands_below_the_column(text: str, column: int, expected: list[str]) -> None:
    assert shown(f"version: 1\n{text}\nrules: []", 2, column) == expected


def test_of_a_long_line_only_what_is_around_the_place_is_shown() -> None:
    line, caret = shown("x" * 500 + "?" + "y" * 500, 1, 501)
    assert line[caret.index("^")] == "?"
    assert len(line) < 120


def test_a_place_beyond_the_file_has_no_line() -> None:
    assert shown("version: 1", 9, 1) == []
