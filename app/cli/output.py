"""Prints results: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rich.console import Console
from rich.text import Text

from app.cli.tables import lay_out
from config.durations import format_duration
from config.settings import ENV_FILE, Settings
from workers.core.claims import Claim
from workers.core.delivery import Delivery, Status
from workers.core.grants import Grant
from workers.core.wording import plain, utc

_MOST_ROWS = 50  # for more, a program reads the JSON

_COLOURS = {
    Status.WAITING: "yellow",
    Status.GRANTED: "green",
    Status.SKIPPED: "bright_black",
    Status.FAILED: "red",
}


Cell = str | Text
Row = TypeVar("Row")


def console(*, stderr: bool = False) -> Console:
    """Return a console that breaks no lines, so that ids and paths can be copied."""
    return Console(highlight=False, stderr=stderr, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one array or object."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


class _Streamed(list[Row]):
    """A list for ``print_json`` alone: its rows, but for the first, are read when they are written."""

    def __init__(self, first: Row, others: Iterator[Row]) -> None:
        super().__init__([first])  # a list without rows would be printed as such
        self._others = others

    def __iter__(self) -> Iterator[Row]:
        return chain(super().__iter__(), self._others)


def streamed(rows: Iterable[Row]) -> list[Row]:
    """Return rows that ``print_json`` writes as they come: they may be more than fit into memory."""
    left = iter(rows)
    return next((_Streamed(first, left) for first in left), [])


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table without borders; markup in a cell is not interpreted."""
    texts = [[cell if isinstance(cell, Text) else literal(cell) for cell in row] for row in rows]
    out = console()
    for line in lay_out(columns, texts, terminal_width()):
        out.print(line)


def print_first(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
    """Print a table of the first rows, and how many more there are; return how many there are.

    Without rows it prints nothing.
    """
    left = iter(rows)
    if first := list(islice(left, _MOST_ROWS)):
        print_table(columns, first)
    if more := sum(1 for _ in left):
        console().print(f"... and {more} more: --json lists all")
    return len(first) + more


def terminal_width() -> int | None:
    """Return the width of the terminal in characters; None if standard output is not one."""
    return console().width if sys.stdout.isatty() else None


def literal(text: str) -> Text:
    """Return text without markup, with control characters replaced: a terminal would obey them."""
    return Text("".join(char if char.isprintable() else "\ufffd" for char in text))


def with_product(what: str, product: str) -> str:
    """Return an order's or a product's id with the product's name, if that is known."""
    return f"{what} ({product})".strip() if product else what


def status_text(status: Status) -> Text:
    """Return a status in its colour."""
    return Text(status.value, style=_COLOURS[status])


def format_age(moment: datetime) -> str:
    """Return how long ago ``moment`` was, such as "3 min ago"."""
    return f"{format_duration(datetime.now(UTC) - moment)} ago"


def store_name(settings: Settings) -> str:
    """Return where deliveries and the ledger are stored, without a password."""
    if settings.redis_url is None:
        return f"embedded, in {settings.data_dir.resolve()}"
    url = urlsplit(settings.redis_url.reveal())
    return f"REDIS_URL, {url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def describe_store(settings: Settings) -> str:
    """Return the store's name, with a hint if the embedded one may not be the one that the user means."""
    lacks_env = settings.redis_url is None and not Path(ENV_FILE).exists()
    return store_name(settings) + (" (there is no .env in this folder)" if lacks_env else "")


def describe_erasure(one: Delivery) -> str:
    """Return when a delivery's body was erased; "" if it was not."""
    return f"body erased on {one.erased_at:%Y-%m-%d}" if one.erased_at else ""


def claim_rows(claims: Sequence[Claim]) -> list[list[Cell]]:
    """Return table rows for claims: who claimed them and when, and each grant with its key and status."""
    rows: list[list[Cell]] = []
    last = ""
    for claim in claims:
        if claim.grants and claim.delivery_id != last:
            rows.append(["claimed", f"{utc(claim.claimed_at)}, by delivery {claim.delivery_id}"])
            last = claim.delivery_id
        rows += [_grant_row(grant, claim.settled.get(grant.meter)) for grant in claim.grants]
    return rows


def _grant_row(grant: Grant, granted_at: datetime | None) -> list[Cell]:
    noun, verb = ("grant", "granted") if grant.units > 0 else ("take-back", "taken back")
    label = f"{verb} {utc(granted_at)}" if granted_at else f"{noun} not at Polar yet"
    rules = ", ".join(grant.rules) or "hand"
    return [label, f"{plain(abs(grant.units))} {grant.meter} by {rules}, key {grant.key}"]
