"""PURE: a CSV table of credits to be granted by hand: its wishes, and a line for each fault of it."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO

from config.wording import closest, joined, quoted
from workers.core.customers import NameKind
from workers.operations.manual_grant.request import GrantRequest, GrantRequestReader

COLUMNS = (*(kind.value for kind in NameKind), "name", "meter", "units", "key", "reason")
_NEEDED = ("meter", "units", "key")

# Ten times the largest campaign heard of; what is longer is some other file.
MOST_ROWS = 100_000


@dataclass(kw_only=True)
class Table:
    """The wishes of a file, and the lines ``file.csv:17: …`` that say what keeps it from being used."""

    requests: list[GrantRequest] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_table(content: bytes, file: str, reader: GrantRequestReader) -> Table:
    """Return what is in the file, every row looked at; a row that is wrong says so under its line."""
    table = Table()
    try:
        text = content.decode("utf-8-sig")  # spreadsheets put a mark before the first letter
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        table.problems.append(f"{file}:{line}: this is not UTF-8; save the file as CSV UTF-8")
        return table
    rows = _rows(text, file, table.problems)
    header = next(rows, None)
    if header is None:
        if not table.problems:
            table.problems.append(f"{file}: the file is empty; its first line names the columns")
        return table
    columns = [cell.strip() for cell in header[1]]
    faults = list(_faults(columns))
    table.problems += [f"{file}:{header[0]}: {fault}" for fault in faults]
    if not faults:
        _read_rows(rows, columns, table, file=file, reader=reader)
    return table


def _rows(text: str, file: str, problems: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the line that it begins in."""
    parser = csv.reader(StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for number, cells in enumerate(parser):
            if number > MOST_ROWS:
                problems.append(f"{file}:{line}: more than {MOST_ROWS:,} rows; split the file")
                return
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = parser.line_num + 1
    except csv.Error as error:
        problems.append(f"{file}:{line}: this is no CSV: {error}")


def _faults(columns: Sequence[str]) -> Iterator[str]:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        yield "columns are separated by commas; save the file so"
        return
    for name in columns:
        if name not in COLUMNS:
            close = closest(name, COLUMNS)
            hint = f"did you mean {quoted(close)}?" if close else f"the columns are {', '.join(COLUMNS)}"
            yield f"unknown column {quoted(name)}; {hint}"
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        yield f"more than one column {joined(twice)}"
    if missing := [name for name in _NEEDED if name not in columns]:
        yield f"no column {joined(missing)}"
    if not set(columns) & set(NameKind):
        yield f"no column that names the customer: one of {', '.join(NameKind)}"


def _read_rows(
    rows: Iterator[tuple[int, list[str]]],
    columns: Sequence[str],
    table: Table,
    *,
    file: str,
    reader: GrantRequestReader,
) -> None:
    first: dict[str, int] = {}
    for line, cells in rows:
        place = f"{file}:{line}"
        if len(cells) != len(columns):
            words = f"{len(cells)} columns, and the first line has {len(columns)}"
            table.problems.append(f"{place}: {words}")
            continue
        read = reader.read(dict(zip(columns, cells, strict=True)), place)
        if isinstance(read, list):
            table.problems += [f"{place}: {problem}" for problem in read]
        elif (before := first.setdefault(read.subject, line)) != line:
            words = f"line {before} has this customer, meter and key already"
            table.problems.append(f"{place}: {words}")
        else:
            table.requests.append(read)
    if not first and not table.problems:
        table.problems.append(f"{file}: there is no row under the first line")
