"""Credit events over HTTP: signed by Standard Webhooks, within a deadline, with no secret in what is said."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from tests.support.event_receivers import EVENTS_SECRET, HttpStorefront, http_storefront
from workers.core.credit_events import CreditEvent
from workers.operations.outbox.receiver import StorefrontReceiver

EVENT = CreditEvent(id="credits:order:1:api_usage", type="credit.granted", body=b'{"type":"credit.granted"}')


@pytest.fixture
def storefront() -> Iterator[HttpStorefront]:
    with http_storefront() as here:
        yield here


def post(url: str, event: CreditEvent = EVENT, seconds: float = 5.0) -> str:
    receiver = StorefrontReceiver(url=url, secret=EVENTS_SECRET, seconds=seconds)
    try:
        return receiver.post(event)
    finally:
        receiver.close()


def test_an_event_is_signed_so_that_the_library_takes_it(storefront: HttpStorefront) -> None:
    assert post(storefront.url) == ""
    (received,) = storefront.received
    assert (received.id, received.body) == (EVENT.id, {"type": "credit.granted"})


def test_the_time_in_the_header_is_that_of_the_attempt(storefront: HttpStorefront) -> None:
    storefront.status = 500
    post(storefront.url)
    (headers,) = storefront.refused
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert headers["content-type"] == "application/json"


def test_an_id_fits_a_header_whatever_the_meter_is_called(storefront: HttpStorefront) -> None:
    body = json.dumps({"data": {"meter": "größe 1"}}, ensure_ascii=False).encode()
    assert post(storefront.url, CreditEvent(id="credits:order:1:größe 1", type="", body=body)) == ""
    (received,) = storefront.received
    assert received.id == "credits:order:1:gr%C3%B6%C3%9Fe%201"
    assert received.body["data"]["meter"] == "größe 1"


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 429, 500, 503])
def test_anything_but_a_2xx_is_a_refusal(storefront: HttpStorefront, status: int) -> None:
    storefront.status = status
    error = post(storefront.url)
    assert error.startswith(f"answered {status}")
    assert len(storefront.refused) == 1  # no redirect is followed


def test_no_answer_is_a_refusal_that_does_not_show_the_url(storefront: HttpStorefront) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        begun = time.monotonic()
        assert post(f"http://127.0.0.1:{port}/s3cret", seconds=1) == "no answer: ReadTimeout"
        assert time.monotonic() - begun < 5
    assert post(f"http://127.0.0.1:{port}/s3cret") == "no answer: ConnectError"


@pytest.mark.parametrize("status", [299, 499, 520, 599])
def test_a_status_that_no_standard_names_is_judged_by_its_class(
    storefront: HttpStorefront, status: int
) -> None:
    storefront.status = status  # proxies answer 520 and the like in a storefront's place
    assert post(storefront.url) == ("" if status < 300 else f"answered {status}")


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    sent = 0

    def answer(listener: socket.socket) -> None:
        nonlocal sent
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while sent < 1_000_000_000:
                sent += connection.send(bytes(100_000))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=[listener])
        thread.start()
        assert post(f"http://127.0.0.1:{listener.getsockname()[1]}/events") == ""
        thread.join()
    assert sent < 20_000_000  # what the system holds between the two
