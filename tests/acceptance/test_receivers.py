"""Several receivers on one port: each does the whole job, and one is enough."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest
from redis import Redis

from app.receiver.signature import sign
from tests.support.builders import order_webhook, some_id
from tests.support.processes import SECRET, Credits, Running, credits_in, eventually, living, post
from tests.support.raw_http import is_refused, post_with, read_until_closed, statuses, wire_to
from workers.store.deliveries import DeliveryStore

pytestmark = pytest.mark.heavy  # whole services start and stop under load

OPERATOR = "ops_of-these-tests"
TWO = ["--receivers", "2"]


@pytest.fixture
def credits_(tmp_path: Path, redis: Redis, redis_url: str) -> Credits:
    """Return the command on a real Redis; these tests do not contact Polar."""
    return credits_in(tmp_path, "http://127.0.0.1:9", REDIS_URL=redis_url, CREDITS_OPS_TOKEN=OPERATOR)


@pytest.fixture
def serve(credits_: Credits) -> Iterator[Running]:
    """Yield two receivers that are ready."""
    with credits_.running("serve", *TWO) as serve:
        eventually(lambda: len(each_that_answers(serve)) == 2)
        yield serve


def each_that_answers(serve: Running) -> list[int]:
    """Return the receivers that answer while the others are stopped."""
    url, pids = serve.url(), serve.parts("receiver")
    return [pid for pid in pids if _answers_alone(url, pid, pids)]


def _answers_alone(url: str, pid: int, pids: list[int]) -> bool:
    others = [other for other in pids if other != pid]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        return httpx.get(url + "/livez", timeout=0.5).is_success
    except httpx.TransportError:
        return False
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def test_each_receiver_accepts_webhooks_and_reports_its_health(serve: Running, redis: Redis) -> None:
    url, pids = serve.url(), serve.parts("receiver")
    for alone, still in (pids, reversed(pids)):
        os.kill(still, signal.SIGSTOP)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {OPERATOR}"}) as client:
            delivery_id = post(client, order_webhook(id=some_id(alone)))
            assert client.get("/readyz").status_code == 200
            assert client.get("/healthz").json()["checks"]["redis"]["ok"]
            assert "credits_workers 0.0" in client.get("/metrics").text
        os.kill(still, signal.SIGCONT)
        assert DeliveryStore(redis).get([delivery_id])


def test_a_killed_receiver_is_restarted_while_the_other_accepts_webhooks(serve: Running) -> None:
    killed, other = serve.parts("receiver")
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: not living([killed]))
    with httpx.Client(base_url=serve.url()) as client:
        post(client, order_webhook(id=some_id(1)))
    eventually(lambda: len(serve.parts("receiver")) == 2)
    assert other in serve.parts("receiver")


@pytest.mark.parametrize("command", ["serve", "up"])
def test_stopped_under_load_they_have_stored_every_acknowledged_webhook(
    credits_: Credits, redis: Redis, command: str
) -> None:
    stopping = Event()

    def send_until_it_stops(url: str, first: int) -> list[str]:
        acknowledged: list[str] = []
        with httpx.Client(base_url=url) as client:
            for number in range(first, first + 1_000_000):
                try:
                    acknowledged.append(post(client, order_webhook(id=some_id(number))))
                except (httpx.TransportError, AssertionError):  # no answer, or not 202
                    if stopping.is_set():
                        return acknowledged
        raise AssertionError("it never stopped")

    with credits_.running(command, *TWO) as service, ThreadPoolExecutor() as pool:
        url = service.url()
        eventually(lambda: len(service.parts("receiver")) == 2)
        senders = [pool.submit(send_until_it_stops, url, 10_000_000 * n) for n in range(8)]
        eventually(lambda: redis.zcard("credits:due") > 100)
        stopping.set()
        assert service.stop(signal.SIGTERM) == 0
        acknowledged = [one for sender in senders for one in sender.result()]
    assert len(DeliveryStore(redis).get(acknowledged)) == len(acknowledged) > 100


@pytest.mark.parametrize("command", ["serve", "up"])
def test_when_stopped_they_finish_open_requests_and_refuse_new_connections(
    credits_: Credits, redis: Redis, command: str
) -> None:
    """A refused client can try the next machine at once; in a socket's queue it would hang."""
    body = order_webhook()
    proof = sign(SECRET, "msg-1", int(time.time()), body)
    headers = [f"{name}: {value}".encode() for name, value in proof.items()]
    length, expect = b"Content-Length: %d" % len(body), b"Expect: 100-continue"
    with credits_.running(command, *TWO) as service:
        url = service.url()
        with wire_to(url) as wire:
            wire.sendall(post_with(*headers, length, expect))
            assert wire.recv(65_536).startswith(b"HTTP/1.1 100")  # the request is open
            service.process.send_signal(signal.SIGTERM)
            eventually(lambda: is_refused(url))
            wire.sendall(body)
            assert statuses(read_until_closed(wire)) == [202]
    assert DeliveryStore(redis).get(["msg-1"])


def test_a_port_in_use_is_a_one_line_error(credits_: Credits) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = credits_.with_settings(PORT=str(port)).run("serve", *TWO)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = [line for line in done.stderr.splitlines() if "cannot" in line]
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "up"])
def test_zero_receivers_is_a_usage_error(credits_: Credits, command: str) -> None:
    done = credits_.run(command, "--receivers", "0")
    assert done.returncode == 2
    assert "--receivers" in done.stderr
