"""Starts the service and the stand-in for Polar, as separate processes, and reads what they did."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from app.demo.storefront import Storefront, start_storefront
from app.errors import CommandError
from app.receiver.signature import sign
from config.settings import SETTING_NAMES
from workers.core.delivery import Delivery, Status
from workers.embedded.server import EmbeddedRedis
from workers.polar.client import Polar
from workers.polar.lists import Listing
from workers.polar.sums import read_sum
from workers.store.connect import connect
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

CUSTOMER = "99130a7b-29f6-4003-9a81-21b0361c7186"
METERS = ("api_usage", "image_generations")

_TOKEN = "polar_oat_demo"  # noqa: S105 - valid only at the stand-in
_SECRET = "whsec_only-for-the-demo"  # noqa: S105
_API_TOKEN = "api-token-of-the-demo"  # noqa: S105
_EVENTS_SECRET = "whsec_" + "b25seS1mb3ItdGhlLWRlbW8="
_START_SECONDS = 30
_SETTLE_SECONDS = 30


class Harness(Struct, frozen=True, kw_only=True):
    """The running service, stand-ins and ledger, for the demo to send to and to read from."""

    url: str
    api_url: str
    storefront: Storefront
    polar: Polar
    deliveries: DeliveryStore
    ledger: Ledger

    def post(self, webhook_id: str, body: bytes, *, secret: str = _SECRET) -> httpx.Response:
        """Send a signed webhook as Polar does; return the receiver's response."""
        headers = sign(secret, webhook_id, int(time.time()), body)
        return httpx.post(
            f"{self.url}/webhooks/polar", content=body, headers=headers, timeout=10, trust_env=False
        )

    def await_settled(self, webhook_id: str) -> Delivery:
        """Return the delivery once it is settled; CommandError after 30 seconds."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline:
            for one in self.deliveries.get([webhook_id]):
                if one.status is not Status.WAITING:
                    return one
            time.sleep(0.005)
        raise CommandError(f"delivery {webhook_id} was not settled within {_SETTLE_SECONDS} seconds")

    def ask_about(self, order_id: str) -> httpx.Response:
        """Ask the storefront API about an order; return its response."""
        return httpx.get(
            f"{self.api_url}/v1/orders/{order_id}",
            headers={"Authorization": f"Bearer {_API_TOKEN}"},
            timeout=10,
            trust_env=False,
        )

    def await_told(self) -> dict[str, dict[str, Any]]:
        """Return the events that the storefront was told, once it was told of all grants or after 30 s."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while len(self.storefront.events) < self.ledger.count_grants() and time.monotonic() < deadline:
            time.sleep(0.005)
        return dict(self.storefront.events)

    def balances(self) -> dict[str, float]:
        """Return the customer's balance at Polar by meter."""
        listing = Listing(path="/v1/customer-meters/", query={"customer_id": CUSTOMER})
        found = {
            row["meter"]["name"]: float(read_sum(row["balance"])) for row in self.polar.page(listing).items
        }
        return {meter: found.get(meter, 0) for meter in METERS}


@contextmanager
def start_harness(folder: Path) -> Iterator[Harness]:
    """Run the stand-in, and ``credits up`` with an embedded Redis, while the block runs."""
    port, polar_port, api_port = _free_port(), _free_port(), _free_port()
    polar_url, url, api_url = (f"http://127.0.0.1:{one}" for one in (polar_port, port, api_port))
    environment = {
        "POLAR_ACCESS_TOKEN": _TOKEN,
        "POLAR_WEBHOOK_SECRET": _SECRET,
        "POLAR_SERVER": polar_url,
        "CREDITS_RULES": str(files("app.demo") / "rules.yaml"),
        "CREDITS_DATA_DIR": str(folder / "redis"),
        "CREDITS_API_TOKEN": _API_TOKEN,
        "CREDITS_API_PORT": str(api_port),
        "CREDITS_EVENTS_SECRET": _EVENTS_SECRET,
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "LOG_LEVEL": "error",
    }
    stand_in = ["app.demo.polar", f"--port={polar_port}", f"--token={_TOKEN}", f"--customer={CUSTOMER}"]
    embedded = EmbeddedRedis(folder / "redis")
    with ExitStack() as stack:
        # Runs last: the folder can be removed only after the embedded server has ended.
        stack.callback(embedded.await_end)
        storefront = stack.enter_context(start_storefront(_EVENTS_SECRET))
        environment["CREDITS_EVENTS_URL"] = storefront.url
        stack.enter_context(_process([*stand_in, *(f"--meter={meter}" for meter in METERS)], folder, {}))
        stack.enter_context(_process(["app", "up"], folder, environment))
        _wait_for(f"{polar_url}/v1/meters/")
        _wait_for(f"{url}/readyz")
        _wait_for(f"{api_url}/readyz")
        polar = Polar(url=polar_url, token=_TOKEN)
        stack.callback(polar.close)
        redis = stack.enter_context(connect(stack.enter_context(embedded).url))
        yield Harness(
            url=url,
            api_url=api_url,
            storefront=storefront,
            polar=polar,
            deliveries=DeliveryStore(redis),
            ledger=Ledger(redis, retain=timedelta(days=1)),
        )


@contextmanager
def _process(args: Sequence[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run one of our modules while the block runs, without the user's own settings, .env file or proxy."""
    left_out = {*SETTING_NAMES, "SSL_CERT_FILE", "SSL_CERT_DIR"}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in left_out and not name.lower().endswith("_proxy")
    }
    process = subprocess.Popen(  # noqa: S603 - our own modules, by our own interpreter
        [sys.executable, "-P", "-m", *args],
        cwd=folder,
        env=inherited | environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for(url: str) -> None:
    """Return once ``url`` answers with anything but a 5xx; CommandError after 30 seconds."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=5, trust_env=False).status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise CommandError(f"{url} did not answer within {_START_SECONDS} seconds")
