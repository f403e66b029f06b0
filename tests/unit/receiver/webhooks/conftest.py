"""What the tests of the webhook endpoint share."""

import pytest

from tests.support.receivers import Receiver


@pytest.fixture
def receiver() -> Receiver:
    """Return a receiver that nobody has asked yet."""
    return Receiver()
