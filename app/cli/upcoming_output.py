"""Shows the instalments of orders that are to come."""

import csv
import sys
from collections.abc import Sequence
from itertools import groupby

from app.cli.output import Cell, console, print_json, print_table
from app.cli.shapes import UpcomingJson
from app.cli.to_json import iso, json_number
from workers.core.claims import Standing
from workers.core.upcoming import Upcoming, ended, upcoming
from workers.core.wording import credits_text, plain, utc


def upcoming_rows(standing: Standing) -> list[list[Cell]]:
    """Return table rows for what is to come of an order: the next on each meter, and how many follow."""
    rows: list[list[Cell]] = []
    by_meter = sorted(upcoming(standing), key=lambda one: (one.grant.meter, one.number))
    for _, group in groupby(by_meter, key=lambda one: one.grant.meter):
        first, *others = group
        text = f"{credits_text([first.grant])}, due {utc(first.at)}, key {first.grant.key}"
        more = f"; {len(others)} more until {utc(others[-1].at)}" if others else ""
        waits = f"; it waits: {first.waits}" if first.waits else ""
        rows.append(["to come", text + waits + more])
    rows += [["ended", f"no further instalments on {meter}: {why}"] for meter, why in ended(standing).items()]
    return rows


def upcoming_json(one: Upcoming) -> UpcomingJson:
    """Return the JSON of an instalment to come."""
    grant = one.grant
    return {
        "key": grant.key,
        "customer_id": grant.customer_id,
        "meter": grant.meter,
        "credits": json_number(plain(grant.units)),
        "status": "waiting" if one.waits else "upcoming",
        "order_id": grant.order_id,
        "rules": list(grant.rules),
        "number": one.number,
        "at": iso(one.at),
        "waits": one.waits or None,
        "delivery": None,
        "granted_at": None,
    }


def print_upcoming(found: Sequence[Upcoming], *, json: bool, as_csv: bool) -> None:
    """Print instalments to come, as a table, as JSON or as CSV."""
    rows = [upcoming_json(one) for one in found]
    if json:
        print_json(rows)
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, list(UpcomingJson.__annotations__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"rules": " ".join(row["rules"])} for row in rows)
    elif found:
        columns = ["due", "credits", "meter", "by", "customer", "key", "waits"]
        print_table(columns, [_row(one) for one in found])
    else:
        console().print("no instalments to come")


def _row(one: Upcoming) -> list[Cell]:
    grant = one.grant
    rules = ", ".join(grant.rules)
    return [utc(one.at), plain(grant.units), grant.meter, rules, grant.customer_id, grant.key, one.waits]
