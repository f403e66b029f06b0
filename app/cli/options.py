"""Options and arguments that several commands share, and how their texts are read."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from config.durations import parse_duration
from config.ids import read_id
from config.wording import quoted

Command = TypeVar("Command", bound=Callable[..., Any] | click.Command)


def parse_time(text: str) -> datetime:
    """Return the time that an option names: a span before now (``7d``), or a time with its zone."""
    try:
        return datetime.now(UTC) - parse_duration(text)
    except ValueError as error:
        try:
            named = datetime.fromisoformat(text)
        except ValueError:
            raise click.BadParameter(f"{error}, or a time as in 2026-11-01T00:00:00Z") from None
    if named.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no time zone; write it as in 2026-11-01T00:00:00Z")
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
        raise click.BadParameter(f"{quoted(text)} is not {expected}") from None


json_option = click.option("--json", is_flag=True, help="Print JSON (docs/cli.md lists the fields).")
json_logs_option = click.option("--json", is_flag=True, help="Log in JSON, one object per line.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what would happen.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
received_since_option = click.option(
    "--since", type=parse_time, metavar="WHEN", help="Only those received since WHEN: 24h, or a time."
)
type_option = click.option("--type", "type_", metavar="TYPE", help="Only this type, such as order.paid.")


def limit_option(most: int | None = None) -> Callable[[Command], Command]:
    """Return ``--limit``, which is at most ``most``."""
    return click.option(
        "--limit",
        type=click.IntRange(min=1, max=most),
        metavar="N",
        default=50,
        show_default=True,
        help="The most to list.",
    )
