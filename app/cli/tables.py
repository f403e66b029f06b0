"""Lays tables out as lines of text: nothing is cut, no word is broken, no line ends in blanks."""

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

_GAP = "  "
_LEAST_ROOM = 40  # characters for the last column beside the others; with less, it goes below them
_INDENT = "    "

Row = Sequence[Text]


def lay_out(columns: Sequence[str], rows: Sequence[Row], width: int | None) -> Iterator[Text]:
    """Yield the lines of a table, at most ``width`` characters wide; None makes one line of each row.

    Columns are put side by side as long as they fit. Each further column goes on a line of its own below.
    """
    header = [Text(column, style="bold") for column in columns]
    whole = [header, *rows] if any(columns) else rows
    widths = [max((row[place].cell_len for row in whole), default=0) for place in range(len(columns))]
    side_by_side = len(columns)
    if width is not None and _room(widths, width) < min(_LEAST_ROOM, widths[-1]):
        side_by_side = _fitting(widths, width)
    for row in whole:
        yield from _beside(row[:side_by_side], widths[:side_by_side], width)
        for cell in row[side_by_side:]:
            yield from _under(Text(_INDENT), cell, width)


def _room(widths: Sequence[int], width: int) -> int:
    """Return the characters that the other columns leave for the last one."""
    return width - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)


def _fitting(widths: Sequence[int], width: int) -> int:
    """Return how many columns fit side by side: at least one, and never the last."""
    fitting = [count for count in range(1, len(widths)) if _room(widths[:count], width) >= widths[count - 1]]
    return max(fitting, default=1)


def _beside(row: Row, widths: Sequence[int], width: int | None) -> Iterator[Text]:
    start = Text()
    for cell, wide in zip(row[:-1], widths, strict=False):
        start.append_text(cell).append(" " * (wide - cell.cell_len) + _GAP)
    if row[-1].plain.strip():
        yield from _under(start, row[-1], width)
    else:
        start.rstrip()
        yield start


def _under(start: Text, cell: Text, width: int | None) -> Iterator[Text]:
    """Yield the lines of a cell: the first one after ``start``, the others below it."""
    for line in _lines(cell, width and max(1, width - start.cell_len)):
        whole = start + line
        whole.rstrip()
        yield whole
        start = Text(" " * start.cell_len)


def _lines(cell: Text, room: int | None) -> Sequence[Text]:
    """Return the lines of a cell, broken only between words; rich would break or cut a long word."""
    cuts, used = [], 0
    for word in re.finditer(r"\S+\s*", cell.plain):
        if room and used and used + cell_len(word[0].rstrip()) > room:
            cuts.append(word.start())
            used = 0
        used += cell_len(word[0])
    return list(cell.divide(cuts)) if cell.plain.strip() else []
