"""``credits forget``: erase what was sent about a customer."""

from collections.abc import Sequence
from typing import Annotated

import typer

from app.cli.context import open_stores, read_settings
from app.cli.options import Json, Yes, parse_customer_id
from app.cli.output import (
    Cell,
    console,
    format_age,
    format_count,
    literal,
    print_json,
    print_table,
    status_text,
)
from app.cli.prompts import confirm
from app.cli.shapes import ForgottenJson
from workers.core.delivery import Delivery, Status
from workers.operations.forget import MOST_READ, CustomerEraser
from workers.store.audit import Audit
from workers.store.erasure import Erasure


def forget(
    *,
    customer: Annotated[
        str, typer.Option("--customer", metavar="ID", help="Whose, by Polar's id.", parser=parse_customer_id)
    ],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Erase the stored bodies of the webhooks about a customer.

    With them go name, e-mail and address; the rest of each delivery (ids, times, reasons) stays, and so does
    the ledger: money needs both. What is erased cannot be replayed. What still waits needs its body to be
    granted and is left, with exit status 1; what Polar sends later is stored anew: then say it again.

    Example: credits forget --customer 99130a7b-29f6-4003-9a81-21b0361c7186
    """
    with open_stores(read_settings("forget", quiet=True)) as held:
        eraser = CustomerEraser(Erasure(held.redis), held.deliveries, Audit(held.redis, held.ledger))
        waiting = eraser.waiting(customer)  # first: what is settled meanwhile is in the other list
        unread = max(0, held.deliveries.count_by_status()[Status.WAITING] - MOST_READ)
        found = eraser.settled(customer)
        if found and not json:
            _print(found)
        if found and not confirm(f"erase {format_count(len(found), 'body')} for ever", yes=yes):
            return
        erased = eraser.erase([one.id for one in found])
        left_in_log = eraser.rewrite_log() if erased else ""
        waiting = eraser.still_waiting([*waiting, *found])  # some are run again while we ask
    _tell(customer, erased, waiting, left_in_log=left_in_log, unread=unread, json=json)
    if waiting or unread or left_in_log:
        raise typer.Exit(1)


def _print(found: Sequence[Delivery]) -> None:
    rows: list[list[Cell]] = [
        [format_age(one.received_at), one.id, one.type, status_text(one.status), one.order_id or "-"]
        for one in found
    ]
    print_table(["received", "delivery", "type", "status", "order"], rows)


def _tell(
    customer: str,
    erased: Sequence[str],
    waiting: Sequence[Delivery],
    *,
    left_in_log: str,
    unread: int,
    json: bool,
) -> None:
    ids = [one.id for one in waiting]
    if json:
        told: ForgottenJson = {
            "customer_id": customer,
            "erased": list(erased),
            "waiting": ids,
            "unread": unread,
            "append_only_file": left_in_log or None,
        }
        print_json(told)
    elif erased:
        console().print(f"{format_count(len(erased), 'body')} erased")
    elif not waiting:
        console().print("nothing to erase")
    for words in _left(ids, left_in_log, unread):
        console(stderr=True).print(literal(words))


def _left(waiting: Sequence[str], left_in_log: str, unread: int) -> list[str]:
    """Return what is still there, and what to do about it."""
    texts = []
    if waiting:
        named = ", ".join(waiting)
        texts.append(f"left, as they wait to be granted: {named}; say it again once they are settled")
    if unread:
        texts.append(f"not looked into, as they wait: {format_count(unread, 'delivery')}; say it again later")
    if left_in_log:
        texts.append(
            f"the append-only file of Redis still has what was erased: {left_in_log}; "
            "run BGREWRITEAOF on the server"
        )
    return texts
