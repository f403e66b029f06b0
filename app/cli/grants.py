"""``credits grants``: list the ledger."""

import csv
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from app.cli.context import open_stores, read_settings
from app.cli.options import Json, parse_customer_id, parse_order_id, parse_time
from app.cli.output import Cell, console, format_age, print_json, print_table
from app.cli.to_json import entry_json
from workers.core.claims import Entry
from workers.core.wording import plain
from workers.store.audit import Audit


def grants(
    *,
    customer: Annotated[
        str | None,
        typer.Option("--customer", metavar="ID", help="Only this customer's.", parser=parse_customer_id),
    ] = None,
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
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")] = False,
    json: Json = False,
) -> None:
    """List what was granted and taken back, newest first.

    With --order or --customer the list includes grants that are claimed but not at Polar yet.

    Example: credits grants --customer 99130a7b-29f6-4003-9a81-21b0361c7186
    """
    if as_csv and json:
        raise typer.BadParameter("give either --csv or --json, not both")
    with open_stores(read_settings("grants", quiet=True)) as held:
        found = list(islice(_select(Audit(held.redis, held.ledger), customer, order, since), limit))
    if json:
        print_json([entry_json(one) for one in found])
    elif as_csv:
        _print_csv(found)
    elif found:
        print_table(["granted", "credits", "meter", "by", "customer", "key"], [_row(one) for one in found])
    else:
        console().print("no grants")


def _select(audit: Audit, customer: str | None, order: str | None, since: datetime | None) -> Iterator[Entry]:
    if customer and order:
        raise typer.BadParameter("give either --customer or --order, not both")
    if order:
        found = audit.of_order(order)
    elif customer:
        found = audit.of_customer(customer)
    else:
        return audit.newest(since=since)
    return (one for one in found if since is None or (one.granted_at or one.claimed_at) >= since)


def _row(one: Entry) -> list[Cell]:
    return [
        format_age(one.granted_at) if one.granted_at else "not at Polar yet",
        plain(one.grant.units),
        one.grant.meter,
        ", ".join(one.grant.rules) or "hand",
        one.grant.customer_id,
        one.grant.key,
    ]


def _print_csv(found: list[Entry]) -> None:
    """Print one row for each grant, with the names of the JSON fields; rules are separated by spaces."""
    rows = [entry_json(one) for one in found]
    names = ["key", "customer_id", "meter", "credits", "status", "order_id", "rules", "delivery",
             "claimed_at", "granted_at"]  # fmt: skip
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"rules": " ".join(row["rules"])} for row in rows)
