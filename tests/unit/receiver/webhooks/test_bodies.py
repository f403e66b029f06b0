"""How much of a body is read, and when it is too large."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from tests.support.receivers import PAID, PATH, Receiver, signed
from workers.store.bodies import MOST_BYTES


class Upload:
    """A body in chunks of 64 KiB that counts the bytes read."""

    def __init__(self, size_bytes: int) -> None:
        self._left = size_bytes
        self.taken_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._left > 0:
            chunk = b"x" * min(self._left, 65_536)
            self._left -= len(chunk)
            self.taken_bytes += len(chunk)
            yield chunk


def test_a_body_of_exactly_the_limit_is_accepted(receiver: Receiver) -> None:
    assert receiver.deliver(b" " * MOST_BYTES).status_code == 202


def test_a_body_one_byte_above_the_limit_is_refused_even_if_signed(receiver: Receiver) -> None:
    answer = receiver.deliver(b" " * (MOST_BYTES + 1))
    assert (answer.status_code, answer.json()["error"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"
    assert receiver.redis.stored == {}


def test_a_chunked_body_of_exactly_the_limit_is_accepted(receiver: Receiver) -> None:
    upload = Upload(MOST_BYTES)
    answer = receiver.ask(headers=signed(b"x" * MOST_BYTES), content=aiter(upload))
    assert answer.status_code == 202


def test_only_four_mebibytes_are_discarded_of_a_chunked_body_that_is_too_large(receiver: Receiver) -> None:
    upload = Upload(64 * MOST_BYTES)
    assert receiver.ask(headers=signed(b""), content=aiter(upload)).status_code == 413
    assert upload.taken_bytes < 5 * MOST_BYTES + 200_000


@pytest.mark.parametrize("length", [str(MOST_BYTES + 1), "9" * 18, "9" * 5000])
def test_only_four_mebibytes_are_discarded_of_a_body_whose_length_is_too_large(
    receiver: Receiver, length: str
) -> None:
    upload = Upload(64 * MOST_BYTES)
    answer = receiver.ask(headers={"content-length": length}, content=aiter(upload))
    assert answer.status_code == 413
    assert upload.taken_bytes < 4 * MOST_BYTES + 200_000


@pytest.mark.parametrize("length", ["0", "1", "-1", "", "many", "1e3", "\xb2"])
def test_a_wrong_content_length_is_not_trusted(receiver: Receiver, length: str) -> None:
    upload = Upload(2 * MOST_BYTES)
    headers = [(b"content-length", length.encode("latin-1"))]
    assert receiver.ask(headers=headers, content=aiter(upload)).status_code == 413


def test_a_sender_that_disconnects_midway_stores_nothing(receiver: Receiver) -> None:
    sent: list[int] = []

    async def receive() -> dict[str, object]:
        if not sent:
            sent.append(0)
            return {"type": "http.request", "body": PAID[:100], "more_body": True}
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            sent.append(cast(int, message["status"]))

    headers = [(name.encode(), value.encode()) for name, value in signed(PAID).items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "headers": headers,
        "query_string": b"",
        "http_version": "1.1",
    }
    asyncio.run(receiver.app(scope, receive, send))  # type: ignore[arg-type]  # plain dicts are ASGI's messages
    assert sent == [0, 400]
    assert receiver.redis.stored == {}
