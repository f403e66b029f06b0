"""``credits send``: sign a webhook as Polar does, and deliver it; or a credit event, as the service does."""

import time
from pathlib import Path
from uuid import uuid4

import click
import httpx

from app.cli.options import json_option
from app.cli.send_event import TYPES, send_sample_event
from app.cli.sent import post_signed, print_answer
from app.cli.settings import read_settings
from app.cli.webhook_source import (
    Sample,
    changes_option,
    customer_in_sample_option,
    order_in_sample_option,
    product_option,
    read_webhook,
    sample_option,
)
from app.receiver.server import webhook_url
from app.receiver.signature import WEBHOOK_ID, sign
from config.settings import Settings
from workers.core.delivery import Delivery, Status
from workers.store.stores import stores

_SETTLE_SECONDS = 60  # a worker needs milliseconds; a pause of Polar may take longer
_LOOK_SECONDS = 0.02


@click.command("send")
@click.argument(
    "file",
    type=click.Path(path_type=Path),
    required=False,
    help="A file with a webhook's body, sent byte for byte unless --set changes it. "
    f"With --event a type: {', '.join(TYPES)}.",
)
@sample_option
@click.option("--event", is_flag=True, help="A sample credit event for the storefront instead.")
@click.option(
    "--url",
    metavar="URL",
    help="The receiver's URL (default: from HOST and PORT; with --event CREDITS_EVENTS_URL).",
)
@click.option("--id", "webhook_id", metavar="ID", help="The webhook-id (default: a new one).")
@product_option
@customer_in_sample_option
@order_in_sample_option
@changes_option
@click.option("--wait", is_flag=True, help="Wait until it is settled, and show what became of it.")
@json_option
def send(
    *,
    file: Path | None,
    sample_name: str | None,
    event: bool,
    url: str | None,
    webhook_id: str | None,
    product: str | None,
    customer: str | None,
    order: str | None,
    changes: tuple[str, ...],
    wait: bool,
    json: bool,
) -> None:
    """Sign a webhook and deliver it to a receiver.

    Signs it with the first secret of POLAR_WEBHOOK_SECRET. With --wait the exit status is 1 if the delivery
    failed, or if it still waits after a minute. With --event it sends a credit event to the storefront,
    signed with CREDITS_EVENTS_SECRET, so that its receiver can be tried.

    Example: credits send --sample purchase --product 5e4a1f0e-6d1c-4f1e-9a3b-0c8d2f7b6a11
    """
    settings = read_settings("send")
    if event:
        if sample_name or webhook_id or product or changes or wait:
            raise click.UsageError("with --event, give only a type, --url, --customer, --order and --json")
        answer = send_sample_event(settings, str(file or TYPES[0]), url=url, customer=customer, order=order)
        print_answer(answer, None, json=json)
        raise click.exceptions.Exit(0 if answer.is_success else 1)
    if webhook_id is not None and WEBHOOK_ID.fullmatch(webhook_id) is None:
        raise click.UsageError("--id takes up to 200 visible ASCII characters")
    source = _source(file, sample_name, product, customer, order)
    body = read_webhook(source, changes)
    target = url or webhook_url(settings.host, settings.port)
    webhook_id = webhook_id or str(uuid4())
    response = deliver(settings, target, webhook_id, body)
    taken = response.status_code == httpx.codes.ACCEPTED
    one = _outcome(settings, webhook_id) if wait and taken else None
    print_answer(response, one, json=json)
    if not taken or (one and one.status in {Status.FAILED, Status.WAITING}):
        raise click.exceptions.Exit(1)


def deliver(settings: Settings, url: str, webhook_id: str, body: bytes) -> httpx.Response:
    """Send ``body`` as Polar does; CommandError if there is no answer."""
    headers = sign(settings.require_secrets()[0], webhook_id, int(time.time()), body)
    advice = f"is `credits up` running there? (To send the same webhook again: --id {webhook_id})"
    return post_signed(url, body, {**headers, "User-Agent": "polar.sh webhooks"}, advice=advice)


def _outcome(settings: Settings, webhook_id: str) -> Delivery | None:
    """Return the delivery once it is settled, or as it is after a minute; None if it was not stored."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    with stores(settings) as held:
        while True:
            found = held.deliveries.get([webhook_id])
            if not found or found[0].status is not Status.WAITING or time.monotonic() > deadline:
                return found[0] if found else None
            time.sleep(_LOOK_SECONDS)


def _source(
    file: Path | None, name: str | None, product: str | None, customer: str | None, order: str | None
) -> Path | Sample:
    if name is not None and file is None:
        return Sample(name=name, product=product, customer=customer, order=order)
    if file is None or name is not None:
        raise click.UsageError("give either a file or --sample NAME")
    if product or customer or order:
        raise click.UsageError("--product, --customer and --order change a sample: use --set for a file")
    return file
