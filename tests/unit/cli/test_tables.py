"""How tables look: at any width nothing is lost, no word is broken, and what is piped has no padding."""

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from app.cli.tables import lay_out
from tests.support.builders import some_id

ID = some_id(1)
COLUMNS = ["received", "delivery", "status", "reason"]
LONG = f"already granted: claimed by delivery {some_id(2)} at 2026-11-21T12:00:00Z"
ROWS = [["3 min ago", ID, "granted", "10 api_usage"], ["12 s ago", ID, "skipped", LONG]]


def lines(columns: list[str], rows: list[list[str]], width: int | None) -> list[str]:
    cells = [[Text(cell) for cell in row] for row in rows]
    return [line.plain for line in lay_out(columns, cells, width)]


def test_without_a_terminal_a_row_is_a_line() -> None:
    assert lines(COLUMNS, ROWS, None) == [
        "received   delivery                              status   reason",
        f"3 min ago  {ID}  granted  10 api_usage",
        f"12 s ago   {ID}  skipped  {LONG}",
    ]


def test_on_eighty_columns_what_has_no_room_is_a_line_of_its_own() -> None:
    assert lines(COLUMNS, ROWS, 80) == [
        "received   delivery                              status",
        "    reason",
        f"3 min ago  {ID}  granted",
        "    10 api_usage",
        f"12 s ago   {ID}  skipped",
        f"    already granted: claimed by delivery {some_id(2)} at",
        "    2026-11-21T12:00:00Z",
    ]


def test_where_there_is_some_room_the_last_column_is_broken_beside_the_others() -> None:
    assert lines(["", ""], [["reason", LONG]], 60) == [
        "reason  already granted: claimed by delivery",
        f"        {some_id(2)} at",
        "        2026-11-21T12:00:00Z",
    ]


def test_an_empty_cell_leaves_no_line() -> None:
    assert lines(COLUMNS, [["1 s ago", ID, "waiting", ""]], 70)[1:] == [f"1 s ago   {ID}  waiting"]


@given(
    rows=st.lists(st.lists(st.text("ab -:é界", max_size=60), min_size=3, max_size=3), min_size=1, max_size=4),
    width=st.one_of(st.none(), st.integers(1, 200)),
)
def test_no_word_is_lost_or_broken_at_any_width(rows: list[list[str]], width: int | None) -> None:
    shown = lines(["a", "b", "c"], rows, width)
    said = [word for row in [["a", "b", "c"], *rows] for cell in row for word in cell.split()]
    assert sorted(word for line in shown for word in line.split()) == sorted(said)
    assert all(line == line.rstrip() for line in shown)
