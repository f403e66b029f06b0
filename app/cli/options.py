"""Options and arguments that several commands share, and how their texts are read."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from config.durations import parse_duration
from config.ids import read_id
from config.wording import quoted


def parse_time(text: str) -> datetime:
    """Return the time that an option names: a span before now (``7d``), or a time with its zone."""
    try:
        return datetime.now(UTC) - parse_duration(text)
    except ValueError as error:
        try:
            named = datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{error}, or a time as in 2026-11-01T00:00:00Z") from None
    if named.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no time zone; write it as in 2026-11-01T00:00:00Z")
    return named


def parse_customer_id(text: str) -> str:
    """Return a customer's id at Polar, in its usual form."""
    return _parse_uuid(text, "a customer's id at Polar, such as 99130a7b-29f6-...")


def parse_order_id(text: str) -> str:
    """Return an order's id, in its usual form."""
    return _parse_uuid(text, "an order's id, such as 2a9bd3c2-84d9-...")


def parse_product_id(text: str) -> str:
    """Return a product's id, in its usual form."""
    return _parse_uuid(text, "a product's id, such as 5e4a1f0e-6d1c-...")


def _parse_uuid(text: str, expected: str) -> str:
    try:
        return read_id(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{quoted(text)} is not {expected}") from None


Json = Annotated[bool, typer.Option("--json", help="Print JSON (docs/cli.md lists the fields).")]
JsonLogs = Annotated[bool, typer.Option("--json", help="Log in JSON, one object per line.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
ReceivedSince = Annotated[
    datetime | None,
    typer.Option(
        "--since", metavar="WHEN", help="Only those received since WHEN: 24h, or a time.", parser=parse_time
    ),
]
DeliveryType = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="Only this type, such as order.paid.")
]
