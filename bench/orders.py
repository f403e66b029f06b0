"""Makes the webhooks of the benchmarks: one recorded renewal, each time with another order and customer."""

import time
from collections.abc import Iterator, Sequence
from uuid import uuid4

from app.receiver.signature import sign
from config.samples import read_sample

PATH = "/webhooks/polar"
SECRET = "whsec_of-the-benchmarks"  # noqa: S105 - used by the benchmarks alone

_RENEWAL = read_sample("subscription_cycle")
_ORDER = "93e3408a-a637-4ec7-8e92-5913a24fad4d"  # these ids are replaced by new ones
_CUSTOMER = "def721d3-2354-4cfa-8da8-d7f93d0b698f"
_IGNORED = _RENEWAL.replace('"order.paid"', '"order.updated"', 1).encode()

BODY_BYTES = len(_RENEWAL)


def paid_orders(count: int) -> Iterator[bytes]:
    """Yield the bodies of ``count`` webhooks, each with a new order and a new customer."""
    for _ in range(count):
        yield _RENEWAL.replace(_ORDER, str(uuid4())).replace(_CUSTOMER, str(uuid4())).encode()


def ignored(count: int) -> Iterator[bytes]:
    """Yield the bodies of ``count`` webhooks of a type that the receiver ignores."""
    for _ in range(count):
        yield _IGNORED


def requests_with(bodies: Iterator[bytes]) -> Sequence[bytes]:
    """Return complete HTTP requests. They are signed now, so they are valid for five minutes."""
    return [request_with(body) for body in bodies]


def request_with(body: bytes) -> bytes:
    """Return the HTTP request with which Polar would send ``body``."""
    signed = sign(SECRET, str(uuid4()), int(time.time()), body)
    headers = {
        "host": "127.0.0.1",
        "accept": "*/*",
        "user-agent": "polar.sh webhooks",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **signed,
    }
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
