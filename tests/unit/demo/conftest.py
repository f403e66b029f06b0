"""Fixtures for the tests of the stand-in."""

import pytest

from app.demo.polar import Polar
from tests.support.polar_standin import organization


@pytest.fixture
def polar() -> Polar:
    """Return the organization of the recordings."""
    return organization()
