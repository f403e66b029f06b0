"""What the tests with real servers share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.main import create_app
from app.receiver.server import server_config
from tests.support.embedded_server import guarded, served
from tests.support.processes import eventually
from tests.support.real_stores import RETAIN
from tests.support.receivers import OPS_TOKEN, settings_for
from tests.support.servers import running_as
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.timings import Timings


@pytest.fixture
def store(redis: Redis) -> DeliveryStore:
    return DeliveryStore(redis)


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, retain=RETAIN)


@pytest.fixture(scope="module")
def one_receiver(redis_url: str) -> Iterator[str]:
    """Yield the base URL of a receiver that all tests share: what one sends must not harm the next."""
    timings = Timings(loss_check_seconds=3600)  # each test empties Redis, which is no loss
    app = create_app(settings_for(redis_url, CREDITS_OPS_TOKEN=OPS_TOKEN), timings)
    with running_as(server_config(app)) as url:
        yield url


@pytest.fixture
def receiver(one_receiver: str, redis: Redis) -> str:
    """Return the base URL of the receiver, its Redis emptied."""
    return one_receiver


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a data folder that is not there yet; nothing may live in it after the test."""
    data = tmp_path / "data"
    yield data
    if data.is_dir():
        eventually(lambda: not guarded(data) and not served(data))
