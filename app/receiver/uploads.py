"""Bodies on their way: how large one may be, how long it may take, and how much memory all may hold."""

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Receive

from workers.store.bodies import MOST_BYTES

# Of all that are not whole yet, and so not known to be Polar's. What came and was not read yet is on top
# of it, and bounded by app.receiver.connections.
MOST_BYTES_AT_ONCE = 64 * MOST_BYTES
_READ_SECONDS = 10  # Polar itself would have given up
_MOST_DIGITS = 18  # of a length; int() itself refuses thousands of them


class BodyTooLargeError(Exception):
    """The request's body passes ``MOST_BYTES``."""

    def __init__(self) -> None:
        super().__init__(f"more than {MOST_BYTES} bytes")


class IncompleteBodyError(Exception):
    """The sender hung up, or took too long."""


class Uploads:
    """Reads bodies; when all together hold too much memory, the one begun first has taken too long.

    Not the last one: then whoever sends without end would keep Polar's webhooks out.
    """

    def __init__(self) -> None:
        self._bytes: dict[asyncio.Timeout, int] = {}  # of each that is not whole, by when it began

    async def read(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return the body, unless it is too large: then the rest of it is not read."""
        if _is_too_much(headers.get("content-length", "0")):
            raise BodyTooLargeError
        body = bytearray()
        # Polar's come whole at once, and so without a timer, which costs as much as half of the verification.
        # Who sends nothing at all is hung up on by app.receiver.connections.
        if _add(body, await receive()):
            await self._read_on(body, receive)
        return bytes(body)

    async def _read_on(self, body: bytearray, receive: Receive) -> None:
        try:
            async with asyncio.timeout(_READ_SECONDS) as patience:
                try:
                    await self._read_counted(body, receive, patience)
                finally:
                    self._bytes.pop(patience, None)
        except TimeoutError:
            raise IncompleteBodyError from None

    async def _read_counted(self, body: bytearray, receive: Receive, patience: asyncio.Timeout) -> None:
        has_more = True
        while has_more:
            self._bytes[patience] = len(body)
            if sum(self._bytes.values()) > MOST_BYTES_AT_ONCE:
                self._make_room()
            has_more = _add(body, await receive())

    def _make_room(self) -> None:
        oldest = next(iter(self._bytes))
        del self._bytes[oldest]
        if not oldest.expired():
            oldest.reschedule(0)


def _add(body: bytearray, message: Message) -> bool:
    """Add what came to ``body``; say whether more is to come."""
    if message["type"] == "http.disconnect":
        raise IncompleteBodyError
    body += message.get("body", b"")
    if len(body) > MOST_BYTES:
        raise BodyTooLargeError
    return bool(message.get("more_body", False))


def _is_too_much(length: str) -> bool:
    # What is no number at all is not believed; the body itself is counted.
    return len(length) > _MOST_DIGITS or (length.isascii() and length.isdigit() and int(length) > MOST_BYTES)
