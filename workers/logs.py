"""How we log: structlog for us and for the libraries below, one line an event, for people or machines.

Whatever somebody else's words hold, they stay within their line, and tell no terminal what to do.
"""

import logging
import sys
from collections.abc import Sequence
from io import StringIO
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

# Their information is our debugging: RQ tells of every job. uvicorn's warnings are of what strangers send,
# one line each: app.refusals tells of that, in few.
_LIBRARIES = dict.fromkeys(("rq.worker", "rq.job", "rq.scheduler"), "WARNING")
_LIBRARIES["uvicorn.error"] = "ERROR"

# They tell of every request, with its URL; customers' addresses stand in some.
_NEVER_TALKATIVE = ("httpx", "httpcore")


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
    for name, usual in _LIBRARIES.items():
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else usual)
    for name in _NEVER_TALKATIVE:
        logging.getLogger(name).setLevel("WARNING")


def _rendering(*, pretty: bool) -> Sequence[Processor]:
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if pretty:
        return [
            without_meta,
            _within_its_line,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_traceback),
        ]
    return [
        without_meta,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),  # all but printable ASCII is escaped
    ]


def _without_nothing(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Leave out what is None, so that callers need not."""
    return {name: value for name, value in event.items() if value is not None}


def _within_its_line(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Make each text fit to be shown: before there are colours, which are control characters too."""
    return {name: value if name == "exc_info" else _shown(value) for name, value in event.items()}


def _shown(value: object) -> object:
    if isinstance(value, str):
        return _escaped(value)
    text = repr(value)  # as the renderer would show it
    return value if text.isprintable() else _escaped(text)


def _escaped(text: str) -> str:
    """Return ``text`` with what is not printable written as Python writes it."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _write_traceback(out: TextIO, error: ExcInfo) -> None:
    """Write a plain traceback, for the rich one shows local variables; indented, as no event's line is."""
    written = StringIO()
    structlog.dev.plain_traceback(written, error)
    out.write("\n".join(f"    {_escaped(line)}" for line in written.getvalue().split("\n")))
