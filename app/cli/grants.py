"""``credits grants``: list the ledger."""

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from app.cli.customer_options import Customer, Email, ExternalCustomer, find_customer_id, named_customer
from app.cli.options import Json, parse_order_id, parse_time
from app.cli.output import Cell, console, format_age, print_json, print_table
from app.cli.settings import read_settings
from app.cli.stores import open_stores_to_read
from app.cli.to_json import entry_json
from app.cli.upcoming_output import print_upcoming
from workers.core.claims import Entry
from workers.core.upcoming import Upcoming
from workers.core.wording import plain
from workers.store.audit import Audit
from workers.store.upcoming import UpcomingReader


def grants(
    *,
    customer: Customer = None,
    external_customer: ExternalCustomer = "",
    email: Email = "",
    order: Annotated[
        str | None, typer.Option("--order", metavar="ID", help="Only this order's.", parser=parse_order_id)
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="Only those granted since WHEN: 24h, or a time.",
            parser=parse_time,
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The most to list.")] = 50,
    is_upcoming: Annotated[
        bool, typer.Option("--upcoming", help="Instead, the instalments of orders that are to come.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")] = False,
    json: Json = False,
) -> None:
    """List what was granted and taken back, newest first.

    For an order or a customer, the list includes grants that are claimed but not at Polar yet. With
    --upcoming it has all instalments of theirs that are to come; without either, the next of each order.

    Example: credits grants --customer 99130a7b-29f6-4003-9a81-21b0361c7186
    """
    if as_csv and json:
        raise typer.BadParameter("give either --csv or --json, not both")
    name = named_customer(customer, external_customer, email)
    if name and order:
        raise typer.BadParameter("give either an order or a customer, not both")
    if is_upcoming and since:
        raise typer.BadParameter("give either --upcoming or --since, not both")
    settings = read_settings("grants", quiet=True)
    with open_stores_to_read(settings) as held:
        customer_id = find_customer_id(name, settings, held) if name else None
        if is_upcoming:
            instalments = UpcomingReader(held.redis, held.ledger)
            to_come = islice(_to_come(instalments, customer_id, order, limit), limit)
            print_upcoming(list(to_come), json=json, as_csv=as_csv)
            return
        selected = islice(_select(Audit(held.redis, held.ledger), customer_id, order, since), limit)
        if as_csv:
            _print_csv(selected)  # as it is read: the ledger may be larger than our memory
            return
        found = list(selected)
        products = {} if json else held.deliveries.product_names(one.delivery_id for one in found)
    if json:
        print_json([entry_json(one) for one in found])
    elif found:
        columns = ["granted", "credits", "meter", "by", "product", "customer", "key"]
        print_table(columns, [_row(one, products.get(one.delivery_id, "-")) for one in found])
    else:
        console().print("no grants")


def _select(audit: Audit, customer: str | None, order: str | None, since: datetime | None) -> Iterator[Entry]:
    if order:
        found = audit.of_order(order)
    elif customer:
        found = audit.of_customer(customer)
    else:
        return audit.newest(since=since)
    return (one for one in found if since is None or (one.granted_at or one.claimed_at) >= since)


def _to_come(
    instalments: UpcomingReader, customer: str | None, order: str | None, limit: int
) -> Sequence[Upcoming]:
    if order:
        return instalments.of_order(order)
    return instalments.of_customer(customer) if customer else instalments.soonest(limit)


def _row(one: Entry, product: str) -> list[Cell]:
    return [
        format_age(one.granted_at) if one.granted_at else "not at Polar yet",
        plain(one.grant.units),
        one.grant.meter,
        ", ".join(one.grant.rules) or "hand",
        product,
        one.grant.customer_id,
        one.grant.key,
    ]


def _print_csv(found: Iterable[Entry]) -> None:
    """Print one row for each grant, with the names of the JSON fields; rules are separated by spaces."""
    rows = map(entry_json, found)
    names = ["key", "customer_id", "meter", "credits", "status", "order_id", "rules", "delivery",
             "claimed_at", "granted_at"]  # fmt: skip
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"rules": " ".join(row["rules"])} for row in rows)
