"""``credits deliveries``: what arrived, and what became of it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from app.cli.customer_options import Customer, Email, ExternalCustomer, find_customer_id, named_customer
from app.cli.options import DeliveryType, Json, ReceivedSince, parse_order_id
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
from app.cli.settings import read_settings
from app.cli.stores import open_stores_to_read
from app.cli.to_json import delivery_json
from config.wording import quoted
from workers.core.delivery import Delivery, Status
from workers.operations.history import History
from workers.store.audit import Audit
from workers.store.stores import Stores

_WIDE = 170  # characters for three ids, a time, a type, a status, and a short reason


def _parse_status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise typer.BadParameter(f"{quoted(text)} is not one of {', '.join(Status)}") from None


def deliveries(
    *,
    status: Annotated[
        list[Status] | None,
        typer.Option(
            "--status",
            metavar=f"<{'|'.join(Status)}>",
            help="Only this status; may be repeated.",
            parser=_parse_status,
        ),
    ] = None,
    type_: DeliveryType = None,
    since: ReceivedSince = None,
    order: Annotated[
        str | None,
        typer.Option("--order", metavar="ID", help="Only those about this order.", parser=parse_order_id),
    ] = None,
    customer: Customer = None,
    external_customer: ExternalCustomer = "",
    email: Email = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="The most to list.")] = 50,
    json: Json = False,
) -> None:
    """List the deliveries that arrived and what became of each, newest first.

    Example: credits deliveries --status failed --since 24h

    Example: credits deliveries --email ada@example.com
    """
    name = named_customer(customer, external_customer, email)
    if name and order:
        raise typer.BadParameter("give either an order or a customer, not both")
    settings = read_settings("deliveries", quiet=True)
    with open_stores_to_read(settings) as held:
        customer_id = find_customer_id(name, settings, held) if name else None
        newest = _newest(held, order, customer_id, status or list(Status), since)
        found = list(islice((one for one in newest if type_ in {None, one.type}), limit))
        products = {} if json else held.deliveries.product_names(one.id for one in found)
    if json:
        print_json([delivery_json(one) for one in found])
    elif found:
        _print_deliveries(found, products)
    else:
        console().print("no deliveries")


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
    held: Stores,
    order_id: str | None,
    customer_id: str | None,
    statuses: Sequence[Status],
    since: datetime | None,
) -> Iterable[Delivery]:
    """Return the deliveries with these statuses, all or those about an order or a customer, newest first."""
    history = History(deliveries=held.deliveries, audit=Audit(held.redis, held.ledger))
    if order_id:
        found: Sequence[Delivery] = history.of_order(order_id)
    elif customer_id:
        found = history.of_customer(customer_id).deliveries
    else:
        return held.deliveries.newest(statuses, since=since)
    wanted = [one for one in found if one.status in statuses and (since is None or one.received_at >= since)]
    return reversed(wanted)


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
