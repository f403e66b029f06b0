"""Operators of the desk, as the benchmarks need them: they log in, and reload pages."""

import re
import time
from http.client import HTTPConnection

import httpx

from bench.rounds import NotMeasuredError

DESK_TOKEN = "desk-token-of-the-bench"  # noqa: S105 - used by the benchmarks alone

_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


class DeskLoadError(NotMeasuredError):
    """The desk did not show a page, so that its time would mean nothing."""


def log_in(port: int) -> str:
    """Log in to the desk; return the cookie of the session."""
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url) as client:
        form = _FORM_TOKEN.search(client.get("/desk/login").text)
        fields = {"name": "Ada", "token": DESK_TOKEN, "form_token": form[1] if form else ""}
        client.post("/desk/login", data=fields, headers={"Origin": url})
        return f"credits_desk={client.cookies.get('credits_desk')}"


class Reader:
    """Opens pages over one connection, and takes the time."""

    def __init__(self, port: int, cookie: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port)
        self._connection.connect()
        self._headers = {"Cookie": cookie}

    def seconds(self, path: str) -> float:
        """Return how long it takes until a page is there as a whole; DeskLoadError if it is not shown."""
        begun = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        page = answer.read()
        seconds = time.perf_counter() - begun
        if answer.status != httpx.codes.OK:
            raise DeskLoadError(
                f"{path} was answered {answer.status}: {page[-500:].decode(errors='replace')}"
            )
        return seconds
