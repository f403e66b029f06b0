"""Fixtures for the tests of the webhook endpoint."""

import pytest

from tests.support.receivers import Receiver


@pytest.fixture
def receiver() -> Receiver:
    """Return a new receiver."""
    return Receiver()
