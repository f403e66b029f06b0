"""``credits grants``: list the ledger."""

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

import click

from app.cli.customer_options import (
    customer_option,
    email_option,
    external_customer_option,
    facts_to_read,
    find_customer_id,
    named_customer,
    tell_of_older,
)
from app.cli.options import json_option, limit_option, parse_order_id, parse_time
from app.cli.output import Cell, console, format_age, print_json, print_table, streamed
from app.cli.settings import read_settings
from app.cli.stores import open_stores_to_read
from app.cli.to_json import entry_json
from app.cli.upcoming_output import print_upcoming
from workers.core.claims import Entry
from workers.core.upcoming import Upcoming
from workers.core.wording import plain
from workers.store.audit import Audit
from workers.store.stores import Stores
from workers.store.upcoming import UpcomingReader


@click.command("grants")
@customer_option
@external_customer_option
@email_option
@click.option("--order", type=parse_order_id, metavar="ID", help="Only this order's.")
@click.option(
    "--since", type=parse_time, metavar="WHEN", help="Only those granted since WHEN: 24h, or a time."
)
@limit_option()
@click.option(
    "--upcoming", "is_upcoming", is_flag=True, help="Instead, the instalments of orders that are to come."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
@json_option
def grants(
    *,
    customer: str | None,
    external_customer: str,
    email: str,
    order: str | None,
    since: datetime | None,
    limit: int,
    is_upcoming: bool,
    as_csv: bool,
    json: bool,
) -> None:
    """List what was granted and taken back, newest first.

    For an order or a customer, the list includes grants that are claimed but not at Polar yet. With
    --upcoming it has all instalments of theirs that are to come; without either, the next of each order.
    Of a customer with more than a thousand orders it looks at the newest ones, and says so.

    Example: credits grants --customer 99130a7b-29f6-4003-9a81-21b0361c7186
    """
    if as_csv and json:
        raise click.UsageError("give either --csv or --json, not both")
    name = named_customer(customer, external_customer, email)
    if name and order:
        raise click.UsageError("give either an order or a customer, not both")
    if is_upcoming and since:
        raise click.UsageError("give either --upcoming or --since, not both")
    settings = read_settings("grants")
    with open_stores_to_read(settings) as held:
        customer_id = find_customer_id(name, settings, held) if name else None
        if is_upcoming:
            instalments = UpcomingReader(held.redis, held.ledger)
            to_come = islice(_to_come(instalments, customer_id, order, limit), limit)
            print_upcoming(list(to_come), json=json, as_csv=as_csv)
            return
        audit = Audit(held.redis, held.ledger)
        selected = islice(_select(audit, customer_id, order, since, limit), limit)
        # Programs get each row as it is read: the ledger may be larger than our memory.
        if as_csv:
            _print_csv(selected)
        elif json:
            print_json(streamed(map(entry_json, selected)))
        else:
            _print_grants(held, list(selected))


def _select(
    audit: Audit, customer: str | None, order: str | None, since: datetime | None, limit: int
) -> Iterator[Entry]:
    if order:
        found = audit.of_order(order)
    elif customer:
        found, has_older = audit.newest_of_customer(customer, facts_to_read(limit))
        if has_older:
            tell_of_older(limit)
    else:
        return audit.newest(since=since)
    return (one for one in found if since is None or (one.granted_at or one.claimed_at) >= since)


def _to_come(
    instalments: UpcomingReader, customer: str | None, order: str | None, limit: int
) -> Sequence[Upcoming]:
    if order:
        return instalments.of_order(order)
    if not customer:
        return instalments.soonest(limit)
    found, has_older = instalments.of_customer(customer, facts_to_read(limit))
    if has_older:
        tell_of_older(limit)
    return found


def _print_grants(held: Stores, found: Sequence[Entry]) -> None:
    if not found:
        console().print("no grants")
        return
    products = held.deliveries.product_names(one.delivery_id for one in found)
    columns = ["granted", "credits", "meter", "by", "product", "customer", "key"]
    print_table(columns, [_row(one, products.get(one.delivery_id, "-")) for one in found])


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
