"""``credits forget``: erase a customer's personal data."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain

import click

from app.cli.options import json_option, parse_customer_id, yes_option
from app.cli.output import (
    Cell,
    console,
    format_age,
    literal,
    print_first,
    print_json,
    status_text,
    streamed,
)
from app.cli.prompts import confirm
from app.cli.settings import read_settings
from app.cli.shapes import ForgottenJson
from app.cli.stores import open_stores
from config.wording import format_count
from workers.core.batches import in_batches
from workers.core.delivery import Delivery
from workers.operations.forget import CustomerEraser
from workers.operations.spool import Spool, SpooledList
from workers.operations.whole_history import oldest_first
from workers.store.audit import Audit
from workers.store.erasure import Erasure

_AT_ONCE = 500


@click.command("forget")
@click.option(
    "--customer", type=parse_customer_id, required=True, metavar="ID", help="The customer's id at Polar."
)
@yes_option
@json_option
def forget(*, customer: str, yes: bool, json: bool) -> None:
    """Erase the bodies of the webhooks about a customer.

    The bodies hold the name, the e-mail address and the postal address. The ids, times and reasons of the
    deliveries are kept, and so is the ledger: they are records of money. A delivery without a body can no
    longer be replayed. A waiting delivery needs its body, so it is not erased, and the exit status is 1.
    Bodies that Polar sends later are stored again: run the command again then.

    Example: credits forget --customer 99130a7b-29f6-4003-9a81-21b0361c7186
    """
    with open_stores(read_settings("forget")) as held:
        eraser = CustomerEraser(Erasure(held.redis), held.deliveries, Audit(held.redis, held.ledger))
        waiting = eraser.waiting(customer)  # first: one that settles meanwhile is in the other list
        unread = eraser.count_unread()
        found = oldest_first(eraser.settled(customer, Spool().set()))
        if found and not json:
            _print(found)
        if found and not confirm(f"erase {format_count(len(found), 'body')} for ever", yes=yes):
            return
        erased = _erase(eraser, found)
        left_in_log = eraser.rewrite_log() if erased else ""
        waiting = eraser.still_waiting(chain(waiting, found))  # while we asked, a replay may have started
    _print_result(customer, erased, waiting, left_in_log=left_in_log, unread=unread, json=json)
    if waiting or unread or left_in_log:
        raise click.exceptions.Exit(1)


def _erase(eraser: CustomerEraser, found: Iterable[Delivery]) -> Collection[str]:
    """Erase the bodies of these deliveries; return the ids of those erased, on disk."""
    erased: SpooledList[str] = Spool().list(str)
    for some in in_batches((one.id for one in found), _AT_ONCE):
        for one in eraser.erase(some):
            erased.append(one)
    return erased


def _print(found: Iterable[Delivery]) -> None:
    rows: Iterator[list[Cell]] = (
        [format_age(one.received_at), one.id, one.type, status_text(one.status), one.order_id or "-"]
        for one in found
    )
    print_first(["received", "delivery", "type", "status", "order"], rows)


def _print_result(
    customer: str,
    erased: Collection[str],
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
            "erased": streamed(erased),
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
