"""Tables as lines of text: as wide as there is room, nothing cut, no word broken, no blanks at the end."""

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

_GAP = "  "
_LEAST_ROOM = 40  # letters for a last column beside the others; with less it goes beneath
_INDENT = "    "

Row = Sequence[Text]


def lay_out(columns: Sequence[str], rows: Sequence[Row], width: int | None) -> Iterator[Text]:
    """Yield the lines of a table of ``width`` letters (None: one line a row); ids are there to be copied.

    Columns stand side by side as long as they fit; what follows them has a line of its own beneath.
    """
    header = [Text(column, style="bold") for column in columns]
    whole = [header, *rows] if any(columns) else rows
    widths = [max((row[place].cell_len for row in whole), default=0) for place in range(len(columns))]
    beside = len(columns)
    if width is not None and _room(widths, width) < min(_LEAST_ROOM, widths[-1]):
        beside = _fitting(widths, width)
    for row in whole:
        yield from _beside(row[:beside], widths[:beside], width)
        for cell in row[beside:]:
            yield from _under(Text(_INDENT), cell, width)


def _room(widths: Sequence[int], width: int) -> int:
    """Return how much the columns leave to the last of them."""
    return width - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)


def _fitting(widths: Sequence[int], width: int) -> int:
    """Return how many columns stand side by side: one at least, and never the last."""
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
    """Yield the lines of a cell: the first behind ``start``, the others beneath it."""
    for line in _lines(cell, width and max(1, width - start.cell_len)):
        whole = start + line
        whole.rstrip()
        yield whole
        start = Text(" " * start.cell_len)


def _lines(cell: Text, room: int | None) -> Sequence[Text]:
    """Return a cell as lines, broken between words alone; rich would break or cut a word that is too long."""
    cuts, used = [], 0
    for word in re.finditer(r"\S+\s*", cell.plain):
        if room and used and used + cell_len(word[0].rstrip()) > room:
            cuts.append(word.start())
            used = 0
        used += cell_len(word[0])
    return list(cell.divide(cuts)) if cell.plain.strip() else []
