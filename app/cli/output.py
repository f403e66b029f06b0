"""How results are printed: tables for people, JSON for machines."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.text import Text

from app.cli.shapes import DeliveryJson, GrantJson, PlannedJson
from app.cli.tables import lay_out
from config.durations import format_duration
from config.settings import ENV_FILE, Settings
from workers.core.claims import Claim, Entry
from workers.core.delivery import Delivery, Status
from workers.core.grants import Grant
from workers.core.wording import plain, utc
from workers.store.audit import entries_of

_COLOURS = {
    Status.WAITING: "yellow",
    Status.GRANTED: "green",
    Status.SKIPPED: "bright_black",
    Status.FAILED: "red",
}


Cell = str | Text


def console(*, stderr: bool = False) -> Console:
    """Return where people read; it breaks no lines: ids and paths are there to be copied."""
    return Console(highlight=False, stderr=stderr, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one array or object."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table without lines; cells are taken literally, whatever is in them."""
    texts = [[cell if isinstance(cell, Text) else literal(cell) for cell in row] for row in rows]
    out = console()
    for line in lay_out(columns, texts, room()):
        out.print(line)


def room() -> int | None:
    """Return how many letters a line may have; None where it is no terminal, and nobody measures."""
    return console().width if sys.stdout.isatty() else None


def literal(text: str) -> Text:
    """Return text without markup, and without the control characters that terminals obey."""
    return Text("".join(char if char.isprintable() else "�" for char in text))


def status_text(status: Status) -> Text:
    """Return a status in its colour."""
    return Text(status.value, style=_COLOURS[status])


def ago(moment: datetime) -> str:
    """Return how long ago ``moment`` was, as people say it."""
    return f"{format_duration(datetime.now(UTC) - moment)} ago"


def store_of(settings: Settings) -> str:
    """Return where deliveries and ledger are kept, without its password."""
    if settings.redis_url is None:
        return f"embedded, in {settings.data_dir.resolve()}"
    url = urlsplit(settings.redis_url.get_secret_value())
    return f"REDIS_URL, {url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def where(settings: Settings) -> str:
    """Return for people where the store is; in a folder that has no .env it may be another than they mean."""
    lacks = settings.redis_url is None and not Path(ENV_FILE).exists()
    return store_of(settings) + (" (there is no .env in this folder)" if lacks else "")


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
    what, done = ("grant", "granted") if grant.units > 0 else ("take-back", "taken back")
    by = ", ".join(grant.rules) or "hand"
    words = f"{plain(abs(grant.units))} {grant.meter} by {by}, as {grant.key}"
    return [f"{done} {utc(taken_at)}" if taken_at else f"{what} not at Polar", words]


def erased_text(one: Delivery) -> str:
    """Return that a delivery's body is gone, and since when; nothing if it is there."""
    return f"body erased on {one.erased_at:%Y-%m-%d}" if one.erased_at else ""


def iso(moment: datetime) -> str:
    """Return a moment for machines."""
    return moment.isoformat().replace("+00:00", "Z")


def iso_or_none(moment: datetime | None) -> str | None:
    """Return for machines a moment that may not have come."""
    return iso(moment) if moment else None


def delivery_json(delivery: Delivery) -> DeliveryJson:
    """Return a delivery for machines."""
    return {
        "id": delivery.id,
        "type": delivery.type,
        "status": delivery.status,
        "reason": delivery.reason,
        "received_at": iso(delivery.received_at),
        "settled_at": iso_or_none(delivery.settled_at),
        "attempts": delivery.attempts,
        "order_id": delivery.order_id,
        "customer_id": delivery.customer_id,
    }


def grants_json(claim: Claim) -> list[GrantJson]:
    """Return the grants of one claim for machines."""
    return [entry_json(one) for one in entries_of([claim])]


def entry_json(one: Entry) -> GrantJson:
    """Return a grant of the ledger for machines."""
    return {
        **grant_json(one.grant, one.status, one.delivery_id),
        "claimed_at": iso(one.claimed_at),
        "granted_at": iso_or_none(one.granted_at),
    }


def grant_json(grant: Grant, status: str, delivery_id: str) -> GrantJson:
    """Return a grant that is not claimed yet for machines; its credits are negative where taken back."""
    return {
        "key": grant.key,
        "customer_id": grant.customer_id,
        "meter": grant.meter,
        "credits": number(plain(grant.units)),
        "status": status,
        "order_id": grant.order_id,
        "rules": list(grant.rules),
        "delivery": delivery_id,
        "claimed_at": None,
        "granted_at": None,
    }


def planned_json(grant: Grant) -> PlannedJson:
    """Return a grant that nobody has claimed, for machines."""
    return {
        "key": grant.key,
        "meter": grant.meter,
        "credits": number(plain(grant.units)),
        "rules": list(grant.rules),
    }


def number(text: str) -> int | float:
    """Return a JSON number for a plain decimal text."""
    return float(text) if "." in text else int(text)
