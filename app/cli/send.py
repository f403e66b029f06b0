"""``credits send``: sign a webhook as Polar does, and deliver it."""

import json as json_module
import time
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx
import typer
from rich.text import Text

from app.cli.context import read_settings
from app.cli.options import Json
from app.cli.output import console, literal, print_json, status_text
from app.cli.shapes import SentJson
from app.cli.to_json import delivery_json
from app.cli.webhook_source import (
    Changes,
    CustomerInSample,
    OrderInSample,
    Product,
    Sample,
    SampleName,
    read_webhook,
)
from app.errors import CommandError
from app.receiver.server import webhook_url
from app.receiver.signature import WEBHOOK_ID, sign
from config.network import find_proxy, ssl_context
from config.settings import Settings
from workers.core.delivery import Delivery, Status
from workers.store.stores import stores

_SETTLE_SECONDS = 60  # a worker needs milliseconds; a pause of Polar may take longer
_LOOK_SECONDS = 0.02
_TIMEOUT_SECONDS = 10  # as long as Polar waits


def send(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(help="A file with a webhook's body, sent byte for byte unless --set changes it."),
    ] = None,
    sample_name: SampleName = None,
    url: Annotated[
        str | None, typer.Option("--url", help="The receiver's URL (default: from HOST and PORT).")
    ] = None,
    webhook_id: Annotated[
        str | None, typer.Option("--id", help="The webhook-id (default: a new one).")
    ] = None,
    product: Product = None,
    customer: CustomerInSample = None,
    order: OrderInSample = None,
    changes: Changes = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is settled, and show what became of it.")
    ] = False,
    json: Json = False,
) -> None:
    """Sign a webhook and deliver it to a receiver.

    Signs it with the first secret of POLAR_WEBHOOK_SECRET. With --wait the exit status is 1 if the delivery
    failed, or if it still waits after a minute.

    Example: credits send --sample purchase --product 5e4a1f0e-6d1c-4f1e-9a3b-0c8d2f7b6a11
    """
    settings = read_settings("send", quiet=True)
    if webhook_id is not None and WEBHOOK_ID.fullmatch(webhook_id) is None:
        raise typer.BadParameter("--id takes up to 200 visible ASCII characters")
    source = _source(file, sample_name, product, customer, order)
    body = read_webhook(source, changes)
    target = url or webhook_url(settings.host, settings.port)
    webhook_id = webhook_id or str(uuid4())
    response = deliver(settings, target, webhook_id, body)
    taken = response.status_code == httpx.codes.ACCEPTED
    one = _outcome(settings, webhook_id) if wait and taken else None
    _print(response, one, json=json)
    if not taken or (one and one.status in {Status.FAILED, Status.WAITING}):
        raise typer.Exit(1)


def deliver(settings: Settings, url: str, webhook_id: str, body: bytes) -> httpx.Response:
    """Send ``body`` as Polar does; CommandError if there is no answer."""
    headers = sign(settings.require_secrets()[0], webhook_id, int(time.time()), body)
    try:
        return httpx.post(
            url,
            content=body,
            headers={**headers, "Content-Type": "application/json", "User-Agent": "polar.sh webhooks"},
            timeout=_TIMEOUT_SECONDS,
            proxy=find_proxy(url),
            verify=ssl_context(),
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandError(
            f"no answer from {url}: {error}; is `credits up` running there? "
            f"(To send the same webhook again: --id {webhook_id})"
        ) from None


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
        raise typer.BadParameter("give either a file or --sample NAME")
    if product or customer or order:
        raise typer.BadParameter("--product, --customer and --order change a sample: use --set for a file")
    return file


def _print(response: httpx.Response, one: Delivery | None, *, json: bool) -> None:
    answer = _answer(response)
    if json:
        answered: SentJson = {
            "status": response.status_code,
            "answer": answer,
            "delivery": delivery_json(one) if one else None,
        }
        print_json(answered)
        return
    if isinstance(answer, dict):
        fields = "  ".join(f"{name} {value}" for name, value in answer.items())
        console().print(literal(f"{response.status_code}  {fields}"))
    else:
        console().print(literal(f"{response.status_code}  {answer}"))
    if one:
        reason = one.reason or "not settled yet: `credits status` shows whether a worker runs"
        console().print(Text.assemble(status_text(one.status), literal(f"  {reason}")))


def _answer(response: httpx.Response) -> Any:
    try:
        return json_module.loads(response.content)
    except ValueError:
        return response.text
