"""Fixtures for the tests of Polar's client."""

from collections.abc import Iterator

import pytest
import respx

from tests.support.answers import TOKEN, URL
from workers.polar.client import Polar


@pytest.fixture
def polar() -> Iterator[Polar]:
    """Yield a client; the test mocks the answers."""
    client = Polar(url=URL, token=TOKEN)
    yield client
    client.close()


@pytest.fixture
def api() -> Iterator[respx.MockRouter]:
    """Yield the mock of Polar."""
    with respx.mock(base_url=URL) as router:
        yield router
