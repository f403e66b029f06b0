"""Reads a CSV file of manual grants: a request for each row, or one line for each problem."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct, field

from config.wording import closest, joined, quoted
from workers.core.customers import NameKind
from workers.operations.manual_grant.csv_dialect import (
    MalformedCsvError,
    Sheet,
    decode,
    read_header,
    read_sheet,
)
from workers.operations.manual_grant.request import GrantRequest, GrantRequestReader

COLUMNS = (*(kind.value for kind in NameKind), "name", "meter", "units", "key", "reason")
_NEEDED = ("meter", "units", "key")

# The other columns that `credits grants --csv` prints, so that its output can be changed and granted again.
_ALIASES = {"credits": "units"}
_IGNORED = frozenset({"status", "order_id", "rules", "delivery", "claimed_at", "granted_at"})

# Ten times the largest campaign we know of; a longer file is probably the wrong one.
MOST_ROWS = 100_000


class Table(Struct, kw_only=True):
    """What a file contains: grant requests, and its problems as lines ``file.csv:17: …``.

    A file with problems must not be used, because its requests are then incomplete.
    """

    requests: list[GrantRequest] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_table(content: bytes, file: str, reader: GrantRequestReader) -> Table:
    """Read the whole file, also after a problem, so that all of its problems are reported at once."""
    table = Table()
    try:
        sheet = read_sheet(decode(content), _is_known)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        table.problems.append(f"{file}:{line}: not UTF-8; save the file as CSV UTF-8")
        return table
    rows = _rows(sheet, file, table.problems)
    header = next(rows, None)
    if header is None:
        if not table.problems:
            table.problems.append(f"{file}: the file is empty; its first line must name the columns")
        return table
    columns = [_ALIASES.get(name, name) for name in read_header(header[1])]
    problems = list(_header_problems(columns))
    table.problems += [f"{file}:{header[0]}: {problem}" for problem in problems]
    if not problems:
        _read_rows(rows, columns, table, file=file, read=partial(_read_row, sheet, reader))
    return table


def _rows(sheet: Sheet, file: str, problems: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a sheet until a problem, which is added to ``problems``."""
    try:
        for number, (line, cells) in enumerate(sheet.rows()):
            if number > MOST_ROWS:
                problems.append(f"{file}:{line}: more than {MOST_ROWS:,} rows; split the file")
                return
            yield line, cells
    except MalformedCsvError as error:
        problems.append(f"{file}:{error}")


def _is_known(name: str) -> bool:
    return name in COLUMNS or name in _ALIASES or name in _IGNORED


def _header_problems(columns: Sequence[str]) -> Iterator[str]:
    for name in columns:
        if not _is_known(name):
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
    read: Callable[[Mapping[str, str], str], GrantRequest | list[str]],
) -> None:
    first: dict[str, int] = {}
    for line, cells in rows:
        place = f"{file}:{line}"
        if len(cells) < len(columns) or any(cell.strip() for cell in cells[len(columns) :]):
            table.problems.append(f"{place}: {len(cells)} columns, but the first line has {len(columns)}")
            continue
        found = read(dict(zip(columns, cells, strict=False)), place)
        if isinstance(found, list):
            table.problems += [f"{place}: {problem}" for problem in found]
        elif (before := first.setdefault(found.subject, line)) != line:
            table.problems.append(f"{place}: same customer, meter and key as line {before}")
        else:
            table.requests.append(found)
    if not first and not table.problems:
        table.problems.append(f"{file}: there are no rows below the first line")


def _read_row(
    sheet: Sheet, reader: GrantRequestReader, cells: Mapping[str, str], place: str
) -> GrantRequest | list[str]:
    fields = {name: text for name, text in cells.items() if name in COLUMNS}
    return reader.read(fields | {"units": sheet.number(fields["units"])}, place)
