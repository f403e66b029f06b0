"""``credits forget``: erase a customer's personal data."""

from collections.abc import Sequence
from typing import Annotated

import typer

from app.cli.options import Json, Yes, parse_customer_id
from app.cli.output import (
    Cell,
    console,
    format_age,
    literal,
    print_json,
    print_table,
    status_text,
)
from app.cli.prompts import confirm
from app.cli.settings import read_settings
from app.cli.shapes import ForgottenJson
from app.cli.stores import open_stores
from config.wording import format_count
from workers.core.delivery import Delivery
from workers.operations.forget import CustomerEraser
from workers.store.audit import Audit
from workers.store.erasure import Erasure


def forget(
    *,
    customer: Annotated[
        str,
        typer.Option(
            "--customer", metavar="ID", help="The customer's id at Polar.", parser=parse_customer_id
        ),
    ],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Erase the bodies of the webhooks about a customer.

    The bodies hold the name, the e-mail address and the postal address. The ids, times and reasons of the
    deliveries are kept, and so is the ledger: they are records of money. A delivery without a body can no
    longer be replayed. A waiting delivery needs its body, so it is not erased, and the exit status is 1.
    Bodies that Polar sends later are stored again: run the command again then.

    Example: credits forget --customer 99130a7b-29f6-4003-9a81-21b0361c7186
    """
    with open_stores(read_settings("forget", quiet=True)) as held:
        eraser = CustomerEraser(Erasure(held.redis), held.deliveries, Audit(held.redis, held.ledger))
        waiting = eraser.waiting(customer)  # first: one that settles meanwhile is in the other list
        unread = eraser.count_unread()
        found = eraser.settled(customer)
        if found and not json:
            _print(found)
        if found and not confirm(f"erase {format_count(len(found), 'body')} for ever", yes=yes):
            return
        erased = eraser.erase([one.id for one in found])
        left_in_log = eraser.rewrite_log() if erased else ""
        waiting = eraser.still_waiting([*waiting, *found])  # while we asked, a replay may have started
    _print_result(customer, erased, waiting, left_in_log=left_in_log, unread=unread, json=json)
    if waiting or unread or left_in_log:
        raise typer.Exit(1)


def _print(found: Sequence[Delivery]) -> None:
    rows: list[list[Cell]] = [
        [format_age(one.received_at), one.id, one.type, status_text(one.status), one.order_id or "-"]
        for one in found
    ]
    print_table(["received", "delivery", "type", "status", "order"], rows)


def _print_result(
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
        answer: ForgottenJson = {
            "customer_id": customer,
            "erased": list(erased),
            "waiting": ids,
            "unread": unread,
            "append_only_file_error": left_in_log or None,
        }
        print_json(answer)
    elif erased:
        console().print(f"{format_count(len(erased), 'body')} erased")
    elif not waiting:
        console().print("nothing to erase")
    for text in _describe_rest(ids, left_in_log, unread):
        console(stderr=True).print(literal(text))


def _describe_rest(waiting: Sequence[str], left_in_log: str, unread: int) -> list[str]:
    """Return what is not erased, and what to do about it."""
    texts = []
    if waiting:
        named = ", ".join(waiting)
        texts.append(
            f"not erased, because they still wait: {named}; run the command again once they are settled"
        )
    if unread:
        texts.append(f"{format_count(unread, 'waiting delivery')} not checked; run the command again later")
    if left_in_log:
        texts.append(
            f"the append-only file of Redis still contains the erased bodies: {left_in_log}; "
            "run BGREWRITEAOF on the server"
        )
    return texts
