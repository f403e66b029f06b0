"""The stand-in for Polar on a real socket, and as a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from app.demo.polar import CommitThenBreak, Polar, Slow, create_app
from tests.support.polar_standin import CUSTOMER, INGEST, TOKEN, event, organization
from tests.support.servers import running


@pytest.fixture
def polar() -> Polar:
    """Return the organization of the recordings."""
    return organization()


@pytest.fixture
def server(polar: Polar) -> Iterator[httpx.Client]:
    """Return a client of a real server on a real socket."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with running(create_app(polar)) as url, httpx.Client(base_url=url, headers=headers) as client:
        yield client


def test_a_cut_connection_gives_no_answer_though_the_events_are_stored(
    polar: Polar, server: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    polar.faults.append(CommitThenBreak())
    batch = {"events": [event(external_id="key")]}

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        server.post(INGEST, json=batch)

    assert server.post(INGEST, json=batch).json() == {"inserted": 0, "duplicates": 1}
    assert polar.balance(CUSTOMER, "api_usage") == 10
    assert [
        r.getMessage() for r in caplog.records if r.name.startswith("uvicorn") and r.levelname == "ERROR"
    ] == []


def test_a_slow_polar_stores_events_after_the_client_has_given_up(polar: Polar, server: httpx.Client) -> None:
    polar.faults.append(Slow(0.2))

    with pytest.raises(httpx.ReadTimeout):
        server.post(INGEST, json={"events": [event()]}, timeout=0.05)

    while not polar.received:
        time.sleep(0.01)
    assert polar.balance(CUSTOMER, "api_usage") == 10


def test_the_connection_is_closed_after_a_500(polar: Polar, server: httpx.Client) -> None:
    answer = server.post(INGEST, json={"events": [event(external_id="k" * 3000)]})

    assert (answer.status_code, answer.headers["connection"]) == (500, "close")
    assert server.post(INGEST, json={"events": [event()]}).status_code == 200


def test_the_command_prints_its_url_and_serves_until_stopped() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    arguments = ["--port", str(port), "--customer", CUSTOMER, "--meter", "seconds:length"]
    with subprocess.Popen(
        [sys.executable, "-m", "app.demo.polar", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            meters = first_answer(process, f"http://127.0.0.1:{port}/v1/meters/")
        finally:
            process.terminate()
        printed, _ = process.communicate()

    assert [item["aggregation"] for item in meters["items"]] == [{"func": "sum", "property": "length"}]
    server_url = f"http://127.0.0.1:{port}"
    assert (
        printed == f"The stand-in for Polar is ready: POLAR_SERVER={server_url} POLAR_ACCESS_TOKEN={TOKEN}\n"
    )


def first_answer(process: subprocess.Popen[str], url: str) -> dict[str, Any]:
    """Return the server's first answer."""
    while process.poll() is None:
        try:
            answer = httpx.get(url, headers={"Authorization": f"Bearer {TOKEN}"})
        except httpx.ConnectError:
            time.sleep(0.05)
            continue
        body: dict[str, Any] = answer.json()
        return body
    raise RuntimeError(f"the server ended with status {process.returncode}")
