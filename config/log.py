"""The log of each module. It is structlog's, which is imported with the first line that is logged.

A command that prints results seldom logs, and importing structlog takes a sixth of the time of a list.
"""

import logging
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import Any

Configure = Callable[[], object]


class Log:
    """What a module logs to; its methods are those of structlog's loggers."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _log(self) -> Any:
        import structlog  # noqa: PLC0415

        _first_line.configure()
        return structlog.get_logger(self._name)

    def __getattr__(self, method: str) -> Any:
        """Return a method of structlog's logger."""
        return getattr(self._log, method)


class _FirstLine(logging.Handler):
    """Waits for the first line of a library, until the log is configured and has a handler of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._configure: Configure | None = None

    def await_line(self, configure: Configure) -> None:
        """Call ``configure`` as soon as a line is to be logged."""
        self._configure = configure
        logging.getLogger().handlers = [self]

    def configure(self) -> None:
        """Configure the log, unless that is done."""
        with self._lock:
            configure, self._configure = self._configure, None
            if configure:
                configure()

    def emit(self, record: logging.LogRecord) -> None:
        """Configure the log, and hand the line to the handler that it has now."""
        self.configure()
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


_first_line = _FirstLine()


def get_log(name: str) -> Log:
    """Return the log of the module of this name."""
    return Log(name)


def configure_at_first_line(configure: Configure) -> None:
    """Have ``configure`` called when we or a library log the first line."""
    _first_line.await_line(configure)
