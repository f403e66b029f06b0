"""Reads CSV as spreadsheets write it: with commas, semicolons or tabs, and headers in any spelling."""

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from io import StringIO

from msgspec import Struct

_DELIMITERS = ",;\t"
_DECIMAL_COMMA = re.compile(r"(-?[0-9]+),([0-9]{1,2}|[0-9]{4,})")  # 1,000 could mean a thousand


class MalformedCsvError(Exception):
    """A row cannot be read; the text has the number of its line, and why."""


class Sheet(Struct, frozen=True, kw_only=True):
    """The text of a file from its header on; its delimiter; the number of its first line."""

    text: str
    delimiter: str
    first_line: int

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not blank, with the number of its first line; MalformedCsvError."""
        parser = csv.reader(StringIO(self.text, newline=""), delimiter=self.delimiter, strict=True)
        line = self.first_line
        try:
            for cells in parser:
                if any(cell.strip() for cell in cells):
                    yield line, cells
                line = self.first_line + parser.line_num
        except csv.Error as error:
            raise MalformedCsvError(f"{line}: not valid CSV: {error}") from None

    def number(self, text: str) -> str:
        """Return a number with a decimal point.

        Where semicolons separate the columns, a comma separates the decimals.
        """
        comma = _DECIMAL_COMMA.fullmatch(text.strip()) if self.delimiter == ";" else None
        return f"{comma[1]}.{comma[2]}" if comma else text


def decode(content: bytes) -> str:
    """Return the text of a file; UnicodeDecodeError unless it is UTF-8, or UTF-16 with a byte order mark."""
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig")


def read_sheet(text: str, is_column: Callable[[str], bool]) -> Sheet:
    """Return the sheet in ``text``; the delimiter is the one that makes most columns of its header known."""
    first_line = 1
    if declared := re.match(r"\"?sep=([,;\t])\"?\r?\n", text):  # Excel's own first line
        text, first_line = text[declared.end() :], 2
        return Sheet(text=text, delimiter=declared[1], first_line=first_line)
    header = next((line for line in text.splitlines() if line.strip()), "")
    known = {one: sum(map(is_column, read_header(header.split(one)))) for one in _DELIMITERS}
    return Sheet(text=text, delimiter=max(known, key=known.__getitem__), first_line=first_line)


def read_header(cells: Sequence[str]) -> list[str]:
    """Return the names of the columns as we spell them, without empty columns at the end."""
    names = [re.sub(r"[\s-]+", "_", cell.strip().strip('"').strip().lower()) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names
