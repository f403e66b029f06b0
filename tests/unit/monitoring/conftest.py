"""What the tests of logs share: each leaves logging as it was."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.support.logs import LIBRARIES


@pytest.fixture(autouse=True)
def others_logging_is_left_alone() -> Iterator[None]:
    """Put back what ``configure_logging`` sets for the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()
