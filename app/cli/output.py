"""How results are printed: tables for people, JSON for machines."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.audit import entries_of
from workers.cases import plain
from workers.grants import Grant
from workers.records import Claim, Delivery, Entry, Status

# Not a terminal: nobody measures, so nothing is cut.
_PIPE_WIDTH = 240

_NEVER_CUT = ("delivery", "received", "status", "is", "became")  # ids are there to be copied

_COLOURS = {
    Status.WAITING: "yellow",
    Status.GRANTED: "green",
    Status.SKIPPED: "bright_black",
    Status.FAILED: "red",
}


Cell = str | Text


def console(*, stderr: bool = False) -> Console:
    """Return where people read."""
    wide = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(width=wide, highlight=False, stderr=stderr)


def print_json(value: Any) -> None:
    """Print one array or object."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table without lines; cells are taken literally, whatever is in them."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _NEVER_CUT)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else literal(cell) for cell in row))
    console().print(table)


def literal(text: str) -> Text:
    """Return text without markup, and without the control characters that terminals obey."""
    return Text("".join(char if char.isprintable() else "�" for char in text))


def status_text(status: Status) -> Text:
    """Return a status in its colour."""
    return Text(status.value, style=_COLOURS[status])


def ago(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago ``moment`` was, as people say it."""
    seconds = max(0, round(((now or datetime.now(UTC)) - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def utc(moment: datetime) -> str:
    """Return a moment to the second for people."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def claims_rows(claims: Sequence[Claim]) -> list[list[Cell]]:
    """Return what is frozen: by whom, and a row for each grant with its key and when Polar took it."""
    rows: list[list[Cell]] = []
    last = ""
    for claim in claims:
        if claim.grants and claim.delivery_id != last:
            rows.append(["claimed", f"{utc(claim.claimed_at)}, by delivery {claim.delivery_id}"])
            last = claim.delivery_id
        rows += [_grant_row(grant, claim.settled.get(grant.meter)) for grant in claim.grants]
    return rows


def _grant_row(grant: Grant, taken_at: datetime | None) -> list[Cell]:
    done = "granted" if grant.units > 0 else "taken back"
    by = ", ".join(grant.rules) or "hand"
    words = f"{plain(abs(grant.units))} {grant.meter} by {by}, as {grant.key}"
    return [f"{done} {utc(taken_at)}" if taken_at else f"to be {done}, not at Polar yet", words]


def erased_text(one: Delivery) -> str:
    """Return that a delivery's body is gone, and since when; nothing if it is there."""
    return f"body erased on {one.erased_at:%Y-%m-%d}" if one.erased_at else ""


def iso(moment: datetime | None) -> str | None:
    """Return a moment for machines."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery for machines."""
    return {
        "id": delivery.id,
        "type": delivery.type,
        "status": delivery.status.value,
        "reason": delivery.reason,
        "received_at": iso(delivery.received_at),
        "settled_at": iso(delivery.settled_at),
        "attempts": delivery.attempts,
        "order_id": delivery.order_id,
        "customer_id": delivery.customer_id,
    }


def grants_json(claim: Claim) -> list[dict[str, Any]]:
    """Return the grants of one claim for machines."""
    return [entry_json(one) for one in entries_of([claim])]


def entry_json(one: Entry) -> dict[str, Any]:
    """Return a grant for machines; its credits are negative where they were taken back."""
    grant = one.grant
    return {
        "key": grant.key,
        "customer_id": grant.customer_id,
        "meter": grant.meter,
        "credits": number(plain(grant.units)),
        "status": one.status,
        "order_id": grant.order_id,
        "rules": list(grant.rules),
        "delivery": one.delivery_id,
        "claimed_at": iso(one.claimed_at),
        "granted_at": iso(one.granted_at),
    }


def number(text: str) -> int | float:
    """Return a JSON number for a plain decimal text."""
    return float(text) if "." in text else int(text)
