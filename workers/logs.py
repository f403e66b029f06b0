"""How we log: structlog for us and for the libraries below, one line an event, for people or machines."""

import logging
import sys
from collections.abc import Sequence
from typing import Literal

import structlog
from structlog.typing import Processor

# Their information is our debugging: RQ tells of every job, httpx of every request.
_CHATTY = ("rq.worker", "rq.job", "rq.scheduler", "httpx", "httpcore", "uvicorn.error")


def configure_logging(log_format: Literal["console", "json"] | None, level: str, *, process: str) -> None:
    """Log to standard error; without a format, for people on a terminal and else for machines."""
    pretty = log_format == "console" if log_format else sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_nothing,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(pretty=pretty))
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else "WARNING")


def _rendering(*, pretty: bool) -> Sequence[Processor]:
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if pretty:
        return [
            without_meta,
            # A plain traceback: the rich one shows local variables, and secrets among them.
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    return [
        without_meta,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]


def _without_nothing(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Leave out what is None, so that callers need not."""
    return {name: value for name, value in event.items() if value is not None}
