"""Many bodies at once: strangers can neither fill the memory nor keep Polar out."""

import asyncio

import pytest
from starlette.types import Message, Scope

from app.receiver import uploads
from tests.support.receivers import PAID, PATH, Receiver, signed

CHUNK = b"x" * 60_000


@pytest.fixture
def scarce_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the memory to more than one chunk but less than two."""
    monkeypatch.setattr(uploads, "MOST_AT_ONCE", 0.1)


class Sender:
    """Sends chunks when the test says so, and records the answer."""

    def __init__(self, receiver: Receiver, headers: dict[str, str] | None = None) -> None:
        self._waiting: asyncio.Queue[Message] = asyncio.Queue()
        self.status = 0
        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": PATH,
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            "query_string": b"",
            "http_version": "1.1",
        }
        self.answered = asyncio.ensure_future(receiver.app(scope, self._waiting.get, self._note))

    async def send(self, chunk: bytes, *, more: bool = True) -> None:
        """Send ``chunk``, and wait until it is read."""
        self._waiting.put_nowait({"type": "http.request", "body": chunk, "more_body": more})
        while not self._waiting.empty():
            await asyncio.sleep(0)

    async def end(self) -> int:
        """Disconnect; return the status of the answer."""
        self._waiting.put_nowait({"type": "http.disconnect"})
        await self.answered
        return self.status

    async def _note(self, message: Message) -> None:
        self.status = message.get("status", self.status)


async def take_whole(receiver: Receiver) -> int:
    """Deliver a recorded webhook in two parts; return its status."""
    polar = Sender(receiver, signed(PAID))
    await polar.send(PAID[:100])
    await polar.send(PAID[100:], more=False)
    await polar.answered
    return polar.status


def test_when_memory_is_scarce_the_oldest_upload_is_cancelled(
    receiver: Receiver, scarce_memory: None
) -> None:
    async def two_strangers() -> tuple[int, bool]:
        first, second = Sender(receiver), Sender(receiver)
        await first.send(CHUNK)
        await second.send(CHUNK)
        await first.answered
        goes_on = not second.answered.done()
        await second.end()
        return first.status, goes_on

    assert asyncio.run(two_strangers()) == (400, True)
    assert receiver.counted()["rejected_requests incomplete"] == 2


def test_strangers_who_hold_all_memory_do_not_keep_polar_out(receiver: Receiver, scarce_memory: None) -> None:
    async def many_strangers() -> tuple[int, int]:
        strangers = [Sender(receiver) for _ in range(20)]
        for stranger in strangers:
            await stranger.send(CHUNK)
        status = await take_whole(receiver)
        still_sending = sum(not stranger.answered.done() for stranger in strangers)
        for stranger in strangers:
            await stranger.end()
        return status, still_sending

    assert asyncio.run(many_strangers()) == (202, 1)


def test_a_finished_upload_holds_no_memory(receiver: Receiver, scarce_memory: None) -> None:
    """Complete, too large and disconnected uploads make room for others."""

    async def one_after_the_other() -> tuple[int, bool]:
        for _ in range(20):
            stranger = Sender(receiver)
            await stranger.send(CHUNK)
            await stranger.end()
            await take_whole(receiver)
        last = Sender(receiver)
        await last.send(CHUNK)
        goes_on = not last.answered.done()
        return await last.end(), goes_on

    assert asyncio.run(one_after_the_other()) == (400, True)


def test_a_stalled_upload_is_cancelled_no_later_than_polar_would_give_up(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_READ_SECONDS", 0)

    async def one_that_stops_midway() -> tuple[int, int]:
        stranger = Sender(receiver)
        await stranger.send(CHUNK)
        await stranger.answered
        polar = Sender(receiver, signed(PAID))  # arrives in one piece, so it needs no timeout
        await polar.send(PAID, more=False)
        await polar.answered
        return stranger.status, polar.status

    assert asyncio.run(one_that_stops_midway()) == (400, 202)
