"""Configures logging: structlog for us and for libraries, one line for each event, for people or machines.

Text from outside stays within its line and cannot send control sequences to a terminal. E-mail addresses are
replaced by ``...``: they occur in the keys of manual grants and in Polar's answers.
"""

import json
import logging
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

# What they log as info is debugging to us: RQ logs every job. uvicorn warns about each bad request, which
# app.receiver.refusal_log reports in a few lines.
_LIBRARIES = dict.fromkeys(("rq.worker", "rq.job", "rq.scheduler"), "WARNING")
_LIBRARIES["uvicorn.error"] = "ERROR"

# They log the URL of every request, and some URLs contain e-mail addresses.
_ALWAYS_QUIET = ("httpx", "httpcore")

_FIRST = ("timestamp", "level", "event")  # who reads a journal sees these before a line is cut

# Escapes everything but printable ASCII. structlog's own renderer makes an encoder for each line, which takes
# as long as the rest of the line.
_to_json = json.JSONEncoder(default=repr).encode

# An address ends at these characters, so that the parts of a key around it stay readable.
_LETTER = r"""[^\s@:;,/()<>\[\]{}"'=]"""
_ADDRESS = re.compile(f"(?<!{_LETTER}){_LETTER}++@{_LETTER}++")  # takes linear time


def configure_logging(log_format: Literal["console", "json"] | None, level: str, *, process: str) -> None:
    """Log to standard error; without a format, for people on a terminal and as JSON elsewhere."""
    pretty = log_format == "console" if log_format else sys.stderr.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_none,
    ]
    rendering = _rendering(pretty=pretty)
    # Our own lines bypass the logging module: that halves the cost of a line for each webhook.
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
    for name in _ALWAYS_QUIET:
        logging.getLogger(name).setLevel("WARNING")


class _Lines:
    """Writes lines to standard error; a line that cannot be written is lost, without an error."""

    def __init__(self, *_names: str) -> None:
        self._to = sys.stderr

    def msg(self, line: str) -> None:
        """Write one line in a single call, so that the lines of several processes do not mix."""
        with suppress(OSError, ValueError):  # a full disk, a closed pipe, a closed stream
            self._to.write(f"{line}\n")

    debug = info = warning = error = critical = exception = msg


def _rendering(*, pretty: bool) -> Sequence[Processor]:
    if pretty:
        return [
            _without_addresses,
            _escape_values,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_traceback),
        ]
    return [structlog.processors.format_exc_info, _as_json]


def _without_none(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Leave out fields that are None."""
    return {name: value for name, value in event.items() if value is not None}


def _as_json(logger: object, method: str, event: EventDict) -> str:
    event = {name: event[name] for name in _FIRST if name in event} | dict(event)
    line = _to_json(event)
    # Searching every value costs as much as writing the line, and almost no line contains an address.
    return _to_json(_without_addresses(logger, method, event)) if "@" in line else line


def _without_addresses(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: mask_addresses(value) for name, value in event.items()}


def mask_addresses(value: object) -> object:
    """Return a text, or a list of texts, with ``...`` in place of each e-mail address."""
    if isinstance(value, str):
        return _ADDRESS.sub("...", value) if "@" in value else value
    return [mask_addresses(one) for one in value] if isinstance(value, list) else value


def _escape_values(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape control characters in every value, before the renderer adds its own for colours."""
    return {name: value if name == "exc_info" else _escape_value(value) for name, value in event.items()}


def _escape_value(value: object) -> object:
    if isinstance(value, str):
        return _escaped(value)
    text = repr(value)  # as the renderer shows it
    return value if text.isprintable() else _escaped(text)


def _escaped(text: str) -> str:
    """Return ``text`` with unprintable characters as Python escapes."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _write_traceback(out: TextIO, error: ExcInfo) -> None:
    """Write a plain traceback, because the rich one shows local variables; indented, unlike event lines."""
    written = StringIO()
    structlog.dev.plain_traceback(written, error)
    lines = _ADDRESS.sub("...", written.getvalue()).split("\n")
    out.write("\n".join(f"    {_escaped(line)}" for line in lines))
