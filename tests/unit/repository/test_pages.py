"""Checks that every page is short enough to read: table cells, paragraphs, the README, the index."""

import re
import textwrap
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

LONGEST_CELL = 160
LINE_WIDTH = 120
MOST_LINES = 5  # of a paragraph, or of one item of a list
README_LINES = 150
MOST_STEPS = 10


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def cells(text: str) -> list[str]:
    """Return the cells of all tables; a bar within backquotes is escaped in Markdown too."""
    rows = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return [cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row)]


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs and the items of lists, each on one line."""
    outside_tables = re.sub(r"^\|.*\|$", "", text, flags=re.MULTILINE)
    parts = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", outside_tables)
    return [" ".join(part.split()) for part in parts if part.strip()]


def long_paragraphs(text: str) -> list[str]:
    return [one for one in paragraphs(text) if len(textwrap.wrap(one, LINE_WIDTH)) > MOST_LINES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_table_cell_is_too_long_to_scan(page: Path) -> None:
    assert [cell for cell in cells(prose(page)) if len(cell) > LONGEST_CELL] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_paragraph_is_longer_than_five_lines(page: Path) -> None:
    assert long_paragraphs(prose(page)) == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_the_index_has_one_line_for_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    listed = re.findall(r"^- \[.*?\]\((.*?)\): .+\.$", index.read_text(), re.MULTILINE)
    decisions = ROOT / "docs" / "decisions"  # listed by their own index
    pages = {page for page in ROOT.glob("docs/**/*.md") if page.parent != decisions} - {index}
    assert sorted(index.parent / one for one in listed) == sorted([*pages, decisions / "README.md"])


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/deploying/*.md")), ids=lambda page: page.stem)
def test_every_place_to_deploy_to_is_at_most_ten_steps_away(page: Path) -> None:
    assert len(re.findall(r"^\d+\. ", page.read_text(), re.MULTILINE)) <= MOST_STEPS


def test_the_decisions_are_all_listed() -> None:
    index = ROOT / "docs" / "decisions" / "README.md"
    listed = re.findall(r"^\d+\. \[.*?\]\((.*?)\)$", index.read_text(), re.MULTILINE)
    assert listed == sorted(page.name for page in index.parent.glob("0*.md"))


def test_a_long_cell_and_a_long_paragraph_are_found() -> None:
    long = "word " * 130
    text = f"Short.\n\n{long}\n\n- {long}\n- short\n\n| a | {long} |\n"
    assert len(long_paragraphs(text)) == 2
    assert [len(cell) > LONGEST_CELL for cell in cells(text)] == [False, True]
