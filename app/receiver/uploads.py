"""Reads request bodies; limits the size and the time of each, and the memory of all."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.types import Message, Receive

from workers.store.bodies import MOST_BYTES

# All unfinished bodies together take as much as so many of the largest ones. They cannot be verified yet, so
# any of them may be a stranger's. Data that has arrived but was not read yet is not counted here;
# app.receiver.connections bounds it.
MOST_AT_ONCE = 64
_READ_SECONDS = 10  # Polar gives up by then
# What is still read after a refusal, so that the answer arrives (see discard_rest).
_MOST_DISCARDED = 4 * MOST_BYTES
_DISCARD_SECONDS = 1
_MOST_DIGITS = 18  # of a Content-Length; int() itself raises for thousands of them


class BodyTooLargeError(Exception):
    """The request's body is larger than it may be."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"the body is larger than {most_bytes} bytes")


class IncompleteBodyError(Exception):
    """The sender closed the connection or took too long, or the body was cancelled to free memory."""


class Uploads:
    """Reads bodies; when they take too much memory together, it cancels the one that began first.

    It does not refuse the newest, because then a stranger who sends without end could keep Polar out.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes: dict[asyncio.Timeout, int] = {}  # of each unfinished body, oldest first

    async def read(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return the whole body.

        Raises BodyTooLargeError without reading the rest, and IncompleteBodyError.
        """
        if self._is_too_large(headers.get("content-length", "0")):
            raise BodyTooLargeError(self._most_bytes)
        body = bytearray()
        # Polar's bodies arrive in one piece. They need no timer, which would cost half as much as verifying.
        # If a client sends nothing at all, app.receiver.connections closes its connection.
        if self._append(body, await receive()):
            await self._read_rest(body, receive)
        return bytes(body)

    async def _read_rest(self, body: bytearray, receive: Receive) -> None:
        try:
            async with asyncio.timeout(_READ_SECONDS) as timeout:
                try:
                    await self._read_counted(body, receive, timeout)
                finally:
                    self._bytes.pop(timeout, None)
        except TimeoutError:
            raise IncompleteBodyError from None

    async def _read_counted(self, body: bytearray, receive: Receive, timeout: asyncio.Timeout) -> None:
        has_more = True
        while has_more:
            self._bytes[timeout] = len(body)
            if sum(self._bytes.values()) > MOST_AT_ONCE * self._most_bytes:
                self._cancel_oldest()
            has_more = self._append(body, await receive())

    def _cancel_oldest(self) -> None:
        oldest = next(iter(self._bytes))
        del self._bytes[oldest]
        if not oldest.expired():
            oldest.reschedule(0)

    def _append(self, body: bytearray, message: Message) -> bool:
        """Append the message's bytes to ``body``; return whether more will follow."""
        if message["type"] == "http.disconnect":
            raise IncompleteBodyError
        body += message.get("body", b"")
        if len(body) > self._most_bytes:
            raise BodyTooLargeError(self._most_bytes)
        return bool(message.get("more_body", False))

    def _is_too_large(self, length: str) -> bool:
        # A length that is not a number is ignored: the body itself is counted.
        if len(length) > _MOST_DIGITS:
            return True
        return length.isascii() and length.isdigit() and int(length) > self._most_bytes


async def discard_rest(receive: Receive) -> None:
    """Read what a sender still sends, for a second at most, and keep nothing of it.

    If a connection is closed while sent data is unread, the system resets it. A sender that is busy sending,
    such as a proxy, then sees an error instead of the answer: Caddy turns it into a 502.
    """
    discarded = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while discarded < _MOST_DISCARDED:
                message = await receive()
                if not message.get("more_body", False):  # the end, or a disconnect
                    return
                discarded += len(message["body"])
