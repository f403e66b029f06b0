"""Fixtures for the acceptance tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.cli_session import NOWHERE, Desk, desk_in
from tests.support.processes import Credits, credits_in


@pytest.fixture
def desk(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[Desk]:
    """Yield a desk that has received nothing yet."""
    with desk_in(tmp_path, redis_url) as opened:
        yield opened


@pytest.fixture
def alone(tmp_path: Path) -> Credits:
    """Return the commands without a Redis, a Polar or a receiver to talk to."""
    return credits_in(tmp_path, NOWHERE)
