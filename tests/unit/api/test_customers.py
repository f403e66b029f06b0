"""Few customers are read at a time. The others get at once what was read last, or an error."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from app.api import customers
from app.api.answers import CustomerAnswer
from app.api.customers import MOST_READINGS, Customers
from app.api.errors import UnavailableError
from tests.support.builders import some_id
from workers.core.customers import CustomerName, NameKind
from workers.errors import PolarUnreachableError
from workers.operations.credits.reader import CustomerCredits, MeterCredits

ALICE = CustomerName(NameKind.ID, some_id(1_000_000))


def others(count: int) -> list[CustomerName]:
    return [CustomerName(NameKind.ID, some_id(number)) for number in range(count)]


class Polar:
    """Reads a customer once it is told to, or fails."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.is_away = False
        self.readings = 0

    def read(self, name: CustomerName) -> CustomerCredits:
        self.readings += 1
        self.open.wait(60)
        if self.is_away:
            raise PolarUnreachableError("away")
        meter = MeterCredits(balance=Decimal(self.readings), as_of=datetime.now(UTC), source="live")
        return CustomerCredits(customer_id=name.text, external_id=None, meters={"api_usage": meter})

    def find_id(self, external_id: str) -> str | None:
        raise NotImplementedError


@pytest.fixture
def polar(monkeypatch: pytest.MonkeyPatch) -> Iterator[Polar]:
    monkeypatch.setattr(customers, "_FRESH_SECONDS", -1.0)
    polar = Polar()
    yield polar
    polar.open.set()


def test_while_as_many_are_read_as_may_be_the_next_is_answered_at_once(polar: Polar) -> None:
    async def story() -> None:
        api = Customers(polar)
        first = await api.credits_of(ALICE)
        polar.open.clear()
        reading = [asyncio.create_task(api.credits_of(name)) for name in others(MOST_READINGS)]
        await asyncio.sleep(0.1)
        assert await asyncio.wait_for(api.credits_of(ALICE), 5) == first
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(api.credits_of(CustomerName(NameKind.EXTERNAL, "new")), 5)
        sharing = asyncio.create_task(api.credits_of(others(1)[0]))  # who is read already is waited for
        await asyncio.sleep(0.1)
        polar.open.set()
        assert all(isinstance(one, CustomerAnswer) for one in await asyncio.gather(*reading, sharing))

    asyncio.run(story())
    assert polar.readings == 1 + MOST_READINGS


def test_a_thousand_failures_are_a_line_or_two_in_the_log(polar: Polar) -> None:
    async def ask(api: Customers, name: CustomerName) -> None:
        with pytest.raises(UnavailableError):
            await api.credits_of(name)

    async def story() -> None:
        api = Customers(polar)
        await asyncio.gather(*(ask(api, name) for name in others(1000)))

    polar.is_away = True
    with capture_logs() as lines:
        asyncio.run(story())
    assert 1 <= len(lines) <= 3
    assert {line["event"] for line in lines} == {"credits cannot be read"}
