"""Readiness asks Redis at most once a second, however many clients ask."""

import asyncio
from typing import cast

import pytest
from starlette.requests import Request

from app.receiver import health
from app.receiver.health import Readiness
from workers.errors import StoreUnavailableError
from workers.store.intake import Intake


class Store:
    """A fake intake that can or cannot store, and counts how often it is asked."""

    def __init__(self) -> None:
        self.is_away = False
        self.asked = 0

    async def check(self) -> None:
        """Answer after yielding to the event loop."""
        self.asked += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise StoreUnavailableError("away")


class Probes:
    """A receiver's readiness, and clients that ask for it."""

    def __init__(self) -> None:
        self.store = Store()
        self._readiness = Readiness(cast(Intake, self.store))

    async def ask(self, count: int = 1) -> set[int]:
        """Ask ``count`` times at once; return the statuses."""
        request = Request({"type": "http"})
        answers = await asyncio.gather(*[self._readiness.readyz(request) for _ in range(count)])
        return {answer.status_code for answer in answers}


@pytest.fixture
def time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_FRESH_SECONDS", 3600.0)


@pytest.fixture
def time_flies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_FRESH_SECONDS", -1.0)


@pytest.mark.parametrize(("is_away", "status"), [(False, 200), (True, 503)])
def test_many_probes_ask_redis_once_whatever_the_answer(
    time_stands_still: None, is_away: bool, status: int
) -> None:
    async def crowd(probes: Probes) -> set[int]:
        return await probes.ask(50) | await probes.ask(50)

    probes = Probes()
    probes.store.is_away = is_away
    assert asyncio.run(crowd(probes)) == {status}
    assert probes.store.asked == 1


def test_redis_is_asked_again_after_a_second(time_flies: None) -> None:
    async def outage(probes: Probes) -> list[set[int]]:
        seen = [await probes.ask()]
        for probes.store.is_away in (True, False):
            seen.append(await probes.ask())
        return seen

    assert asyncio.run(outage(Probes())) == [{200}, {503}, {200}]
