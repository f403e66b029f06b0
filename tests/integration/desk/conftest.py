"""What the tests of the desk share: a desk that serves, and a browser whose operator has logged in."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.desk import Browser, DeskService, desk_at


@pytest.fixture(scope="module")
def service(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskService]:
    with desk_at(redis_url, tmp_path_factory.mktemp("desk")) as served:
        yield served


@pytest.fixture
def desk(service: DeskService, redis: Redis) -> Iterator[Browser]:
    with service.operator() as browser:
        yield browser
