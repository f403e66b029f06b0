"""What all tests share: one real Redis, real payloads, and no hurry."""

import os
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import settings
from redis import Redis

from tests.support.examples import IS_SEARCH, examples
from workers.embedded import executable
from workers.embedded.server import EmbeddedRedis

# The tests run on another server, such as an old one, if TEST_REDIS_SERVER names its executable.
if "TEST_REDIS_SERVER" in os.environ:
    executable.find_server = partial(os.environ.__getitem__, "TEST_REDIS_SERVER")

# Machines are noisy: how long one example takes says nothing.
settings.register_profile("unhurried", deadline=None, derandomize=not IS_SEARCH, max_examples=examples(100))
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the property tests: `make test-heavy` runs them again, with all their examples."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.property)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a real, durable server that this run of the tests has to itself."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as embedded:
        yield embedded.url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """Yield a client of an empty server."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client
