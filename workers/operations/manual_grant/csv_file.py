"""Reads a CSV file of manual grants: a request for each row, or one line for each problem."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO

from config.wording import closest, joined, quoted
from workers.core.customers import NameKind
from workers.operations.manual_grant.request import GrantRequest, GrantRequestReader

COLUMNS = (*(kind.value for kind in NameKind), "name", "meter", "units", "key", "reason")
_NEEDED = ("meter", "units", "key")

# Ten times the largest campaign we know of; a longer file is probably the wrong one.
MOST_ROWS = 100_000


@dataclass(kw_only=True)
class Table:
    """What a file contains: grant requests, and its problems as lines ``file.csv:17: …``.

    A file with problems must not be used, because its requests are then incomplete.
    """

    requests: list[GrantRequest] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_table(content: bytes, file: str, reader: GrantRequestReader) -> Table:
    """Read the whole file, also after a problem, so that all of its problems are reported at once."""
    table = Table()
    try:
        text = content.decode("utf-8-sig")  # spreadsheets write a byte order mark first
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        table.problems.append(f"{file}:{line}: not UTF-8; save the file as CSV UTF-8")
        return table
    rows = _rows(text, file, table.problems)
    header = next(rows, None)
    if header is None:
        if not table.problems:
            table.problems.append(f"{file}: the file is empty; its first line must name the columns")
        return table
    columns = [cell.strip() for cell in header[1]]
    problems = list(_header_problems(columns))
    table.problems += [f"{file}:{header[0]}: {problem}" for problem in problems]
    if not problems:
        _read_rows(rows, columns, table, file=file, reader=reader)
    return table


def _rows(text: str, file: str, problems: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, with the number of its first line."""
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
        problems.append(f"{file}:{line}: not valid CSV: {error}")


def _header_problems(columns: Sequence[str]) -> Iterator[str]:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        yield "save the file with commas between the columns"
        return
    for name in columns:
        if name not in COLUMNS:
            close = closest(name, COLUMNS)
            hint = f"did you mean {quoted(close)}?" if close else f"the columns are {', '.join(COLUMNS)}"
            yield f"unknown column {quoted(name)}; {hint}"
    if repeated := sorted({name for name in columns if columns.count(name) > 1}):
        yield f"column {joined(repeated)} appears more than once"
    if missing := [name for name in _NEEDED if name not in columns]:
        yield f"missing column {joined(missing)}"
    if not set(columns) & set(NameKind):
        yield f"missing a column for the customer: {', '.join(NameKind)}"


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
            table.problems.append(f"{place}: {len(cells)} columns, but the first line has {len(columns)}")
            continue
        read = reader.read(dict(zip(columns, cells, strict=True)), place)
        if isinstance(read, list):
            table.problems += [f"{place}: {problem}" for problem in read]
        elif (before := first.setdefault(read.subject, line)) != line:
            table.problems.append(f"{place}: same customer, meter and key as line {before}")
        else:
            table.requests.append(read)
    if not first and not table.problems:
        table.problems.append(f"{file}: there are no rows below the first line")
