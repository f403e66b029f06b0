"""What the tests of alerts share: a chat room, what tells it, and deliveries that fail."""

from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from tests.support.alert_receiver import Chat, chat
from tests.support.real_stores import accept, outcome
from workers.core.delivery import Status
from workers.monitoring.alerter import Alerter
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger


@pytest.fixture
def room() -> Iterator[Chat]:
    with chat() as opened:
        yield opened


@pytest.fixture
def alerter(redis: Redis, room: Chat) -> Alerter:
    return Alerter(redis, url=room.url)


@pytest.fixture
def park(redis_url: str, store: DeliveryStore, ledger: Ledger) -> Callable[..., None]:
    """Return what lets deliveries come and fail."""

    def park_all(*ids: str, reason: str = "Customer not found") -> None:
        accept(redis_url, *ids)
        leased = store.lease(100).deliveries
        ledger.settle([], [outcome(one, Status.FAILED, reason) for one in leased])

    return park_all
