"""``credits deliveries``: what arrived, and what became of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice

import click
from msgspec import Struct

from app.cli.customer_options import (
    customer_option,
    email_option,
    external_customer_option,
    find_customer_id,
    named_customer,
)
from app.cli.options import json_option, limit_option, parse_order_id, received_since_option, type_option
from app.cli.output import (
    Cell,
    console,
    format_age,
    print_json,
    print_table,
    status_text,
    terminal_width,
    with_product,
)
from app.cli.progress import show_progress
from app.cli.settings import read_settings
from app.cli.stores import open_stores_to_read
from app.cli.to_json import delivery_json
from config.wording import quoted
from workers.core.delivery import Delivery, Status
from workers.store.stores import Stores

_WIDE = 170  # characters for three ids, a time, a type, a status, and a short reason


class _Filters(Struct, frozen=True, kw_only=True):
    statuses: Sequence[Status]
    type: str | None
    since: datetime | None
    on_look: Callable[[int], object]
    """Called with the number of deliveries in each page that was looked at."""

    def want(self, one: Delivery) -> bool:
        """Return whether a delivery is to be listed."""
        is_wanted = one.status in self.statuses and self.type in {None, one.type}
        return is_wanted and (self.since is None or one.received_at >= self.since)


def _parse_status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise click.BadParameter(f"{quoted(text)} is not one of {', '.join(Status)}") from None


@click.command("deliveries")
@click.option(
    "--status",
    type=_parse_status,
    multiple=True,
    metavar=f"<{'|'.join(Status)}>",
    help="Only this status; may be repeated.",
)
@type_option
@received_since_option
@click.option("--order", type=parse_order_id, metavar="ID", help="Only those about this order.")
@customer_option
@external_customer_option
@email_option
@limit_option(most=10_000)
@json_option
def deliveries(
    *,
    status: tuple[Status, ...],
    type_: str | None,
    since: datetime | None,
    order: str | None,
    customer: str | None,
    external_customer: str,
    email: str,
    limit: int,
    json: bool,
) -> None:
    """List the deliveries that arrived and what became of each, newest first.

    Of a customer with more than a thousand orders it looks at the newest ones, and says so. With --type it
    looks at some 200,000 deliveries a second until the list is full; --since and --status narrow the search.

    Example: credits deliveries --status failed --since 24h

    Example: credits deliveries --email ada@example.com
    """
    name = named_customer(customer, external_customer, email)
    if name and order:
        raise click.UsageError("give either an order or a customer, not both")
    settings = read_settings("deliveries")
    with open_stores_to_read(settings) as held:
        customer_id = find_customer_id(name, settings, held) if name else None
        with _looking(is_shown=type_ is not None and not json) as on_look:
            filters = _Filters(statuses=status or list(Status), type=type_, since=since, on_look=on_look)
            found = list(islice(_newest(held, order, customer_id, filters, limit), limit))
        products = {} if json else held.deliveries.product_names(one.id for one in found)
    if json:
        print_json([delivery_json(one) for one in found])
    elif found:
        _print_deliveries(found, products)
    else:
        console().print("no deliveries")


@contextmanager
def _looking(*, is_shown: bool) -> Iterator[Callable[[int], object]]:
    """Show on a terminal how many deliveries were looked at; yield what counts more of them."""
    looked_at = 0
    with show_progress("looking at deliveries", json=not is_shown) as update:

        def on_look(count: int) -> None:
            nonlocal looked_at
            looked_at += count
            update(looked_at, 0)

        yield on_look


def _print_deliveries(found: Sequence[Delivery], products: Mapping[str, str]) -> None:
    rows = [_row(one, products.get(one.id, "")) for one in found]
    if (width := terminal_width()) is None or width >= _WIDE:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
        return
    # What does not fit goes below, where no header names it.
    for row, one in zip(rows, found, strict=True):
        row["order"] = with_product(f"order {one.order_id}" if one.order_id else "", products.get(one.id, ""))
        row["product"] = ""
        row["customer"] = f"customer {one.customer_id}" if one.customer_id else ""
    columns = ["" if name in {"order", "customer", "product", "reason"} else name for name in rows[0]]
    print_table(columns, [list(row.values()) for row in rows])


def _newest(
    held: Stores, order: str | None, customer_id: str | None, filters: _Filters, limit: int
) -> Iterator[Delivery]:
    if not (order or customer_id):
        return held.deliveries.newest(
            filters.statuses, since=filters.since, type_=filters.type, on_look=filters.on_look
        )
    # Only here: it reads webhooks that wait, and what reads webhooks takes long to import.
    from app.cli.deliveries_about import about_customer, about_order  # noqa: PLC0415

    found = about_order(held, order) if order else about_customer(held, customer_id or "", limit)
    return filter(filters.want, found)


def _row(one: Delivery, product: str) -> dict[str, Cell]:
    return {
        "received": format_age(one.received_at),
        "delivery": one.id,
        "type": one.type or "?",
        "status": status_text(one.status),
        "order": one.order_id or "-",
        "customer": one.customer_id or "-",
        "product": product or "-",
        "reason": one.reason,
    }
