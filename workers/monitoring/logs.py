"""How we log: structlog for us and for the libraries below, one line an event, for people or machines.

Whatever somebody else's words hold, they stay within their line, and tell no terminal what to do. Nor is
anybody's e-mail address told: it stands in keys of grants by hand, and in what Polar says.
"""

import logging
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

# Their information is our debugging: RQ tells of every job. uvicorn's warnings are of what strangers send,
# one line each: app.receiver.refusal_log logs them, in few.
_LIBRARIES = dict.fromkeys(("rq.worker", "rq.job", "rq.scheduler"), "WARNING")
_LIBRARIES["uvicorn.error"] = "ERROR"

# They tell of every request, with its URL; customers' addresses stand in some.
_NEVER_TALKATIVE = ("httpx", "httpcore")

_JSON = structlog.processors.JSONRenderer()  # all but printable ASCII is escaped

# Within its word: what stands before and behind it in a key is still to be read.
_LETTER = r"""[^\s@:;,/()<>\[\]{}"'=]"""
_ADDRESS = re.compile(f"(?<!{_LETTER}){_LETTER}++@{_LETTER}++")  # takes as long as the text is


def configure_logging(log_format: Literal["console", "json"] | None, level: str, *, process: str) -> None:
    """Log to standard error; without a format, for people on a terminal and else for machines."""
    pretty = log_format == "console" if log_format else sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_nothing,
    ]
    rendering = _rendering(pretty=pretty)
    # Not by way of the libraries' logging: a line for each webhook costs half as much without it.
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler()
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[without_meta, *rendering])
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, usual in _LIBRARIES.items():
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else usual)
    for name in _NEVER_TALKATIVE:
        logging.getLogger(name).setLevel("WARNING")


class _Lines:
    """Writes lines to standard error; one that cannot be written is lost, and nothing else."""

    def __init__(self, *_names: str) -> None:
        self._to = sys.stderr

    def msg(self, line: str) -> None:
        """Write one line in one go, so that those of several processes do not mix."""
        with suppress(OSError, ValueError):  # a full disk, a reader that has gone, a stream that is closed
            self._to.write(f"{line}\n")

    debug = info = warning = error = critical = exception = msg


def _rendering(*, pretty: bool) -> Sequence[Processor]:
    if pretty:
        return [
            _without_addresses,
            _within_its_line,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_traceback),
        ]
    return [structlog.processors.format_exc_info, _as_json]


def _without_nothing(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Leave out what is None, so that callers need not."""
    return {name: value for name, value in event.items() if value is not None}


def _as_json(logger: object, method: str, event: EventDict) -> str | bytes:
    line = _JSON(logger, method, event)
    # To look through every value costs as much as to write the line, and in next to none is an address.
    return _JSON(logger, method, _without_addresses(logger, method, event)) if "@" in line else line


def _without_addresses(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: _discreet(value) for name, value in event.items()}


def _discreet(value: object) -> object:
    if isinstance(value, str):
        return _ADDRESS.sub("...", value) if "@" in value else value
    return [_discreet(one) for one in value] if isinstance(value, list) else value


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
    lines = _ADDRESS.sub("...", written.getvalue()).split("\n")
    out.write("\n".join(f"    {_escaped(line)}" for line in lines))
