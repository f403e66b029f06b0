"""What a webhook is answered with, and how that is written as HTTP in one piece."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

MEDIA_TYPE = "application/json"

_to_json = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":")
).encode  # json.dumps makes one each time

_NO_HEADERS: Mapping[str, str] = {}
_STATUS_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Answer:
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
    return Answer(status, _to_json(content).encode(), headers, closes)


def to_http(answer: Answer, usual_headers: Iterable[tuple[bytes, bytes]], *, keep_alive: bool) -> bytes:
    """Return the whole answer. It is written at once, because each write wakes the client."""
    lines = [_STATUS_LINES[answer.status]]
    lines += [b"%b: %b\r\n" % header for header in usual_headers]
    lines += [f"{name}: {value}\r\n".encode() for name, value in answer.headers.items()]
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    lines.append(b"content-length: %d\r\ncontent-type: %b\r\n\r\n" % (len(answer.body), MEDIA_TYPE.encode()))
    lines.append(answer.body)
    return b"".join(lines)
