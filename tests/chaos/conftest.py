"""Fixtures: models whose thousands of steps write no log, and a Polar for shops whose workers die."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from app.demo.polar import create_app
from tests.chaos.crashing_shop import Organization
from tests.support.processes import some_polar
from tests.support.servers import running


@pytest.fixture
def quiet() -> Iterator[None]:
    """Log nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def organization() -> Iterator[Organization]:
    """Yield a server that all tests of a module share; each test puts a Polar of its own behind it."""
    app = create_app(some_polar())
    with running(app) as url:
        yield app, url
