"""What a webhook is answered with, and how that is written as HTTP in one piece."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus

from msgspec import Struct
from pydantic_core import to_json  # a sixth of the time of json's encoder

MEDIA_TYPE = "application/json"

_NO_HEADERS: Mapping[str, str] = {}
_STATUS_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}


class Answer(Struct, frozen=True):
    """A status, a body in JSON, and other headers than those about type, length and connection."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    closes: bool
    """Whether the connection is closed afterwards."""


def answer_of(
    status: int, *, headers: Mapping[str, str] = _NO_HEADERS, closes: bool = False, **content: str
) -> Answer:
    """Return an answer whose body is an object with ``content``."""
    return Answer(status, to_json(content), headers, closes)


def to_http(answer: Answer, usual_headers: Iterable[tuple[bytes, bytes]], *, keep_alive: bool) -> bytes:
    """Return the whole answer. It is written at once, because each write wakes the client."""
    start = _start_of_head(answer.status, tuple(usual_headers), keep_alive=keep_alive)
    others = b"".join([f"{name}: {value}\r\n".encode() for name, value in answer.headers.items()])
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (start, others, len(answer.body), answer.body)


@lru_cache(maxsize=16)  # the date among the usual headers changes each second
def _start_of_head(status: int, usual_headers: tuple[tuple[bytes, bytes], ...], *, keep_alive: bool) -> bytes:
    lines = [_STATUS_LINES[status], *(b"%b: %b\r\n" % header for header in usual_headers)]
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    lines.append(b"content-type: %b\r\n" % MEDIA_TYPE.encode())
    return b"".join(lines)
