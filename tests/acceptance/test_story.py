"""The log shows a delivery's whole history by its id, and ``/metrics`` counts it."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from app.demo.polar import create_app as create_polar
from app.demo.polar.faults import Status as Answers
from app.receiver.signature import sign
from tests.support.builders import CUSTOMER, order_webhook, some_id
from tests.support.processes import SECRET, credits_in, eventually, some_polar
from tests.support.servers import running
from workers.core.delivery import Status
from workers.store.deliveries import DeliveryStore

STRANGER = some_id(9)  # unknown to Polar
ORDERS = [some_id(number) for number in range(1, 4)]
KEYS = [f"credits:order:{order}:api_usage" for order in ORDERS]

Line = Mapping[str, Any]


def deliver(receiver: httpx.Client, body: bytes, delivery_id: str) -> None:
    headers = sign(SECRET, delivery_id, int(time.time()), body)
    assert receiver.post("/webhooks/polar", content=body, headers=headers).status_code == 202


def story_of(delivery_id: str, lines: Sequence[Line]) -> list[Line]:
    """Return a delivery's log lines by time, because receiver and worker write side by side."""
    found = [line for line in lines if line.get("delivery") == delivery_id]
    return sorted(found, key=lambda line: str(line["timestamp"]))


def events_of(story: Sequence[Mapping[str, Any]], process: str) -> list[str]:
    """Return what one process tells; a worker may be done before the receiver has logged a delivery."""
    return [line["event"] for line in story if line["process"] == process]


def test_each_log_line_of_a_delivery_names_its_order_customer_rules_and_keys(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    polar = some_polar(CUSTOMER)
    polar.faults.append(Answers(503))
    settings = {"REDIS_URL": redis_url, "LOG_LEVEL": "debug", "CREDITS_OPS_TOKEN": "ops-of-the-story"}
    store = DeliveryStore(redis)
    with running(create_polar(polar)) as polar_url:
        credits_ = credits_in(tmp_path, polar_url, **settings)
        with credits_.running("up") as up, httpx.Client(base_url=up.url()) as receiver:
            deliver(receiver, order_webhook(id=ORDERS[0]), "paid")
            eventually(lambda: store.count_by_status()[Status.GRANTED])
            deliver(receiver, order_webhook(id=ORDERS[0]), "paid")
            deliver(receiver, order_webhook(id=ORDERS[0]), "again")
            deliver(receiver, order_webhook(id=ORDERS[1], customer_id=STRANGER), "stranger")
            deliver(receiver, b"no event", "unreadable")
            eventually(lambda: not store.count_by_status()[Status.WAITING])
            numbers = receiver.get("/metrics", headers={"Authorization": "Bearer ops-of-the-story"}).text
    lines = [json.loads(line) for line in up.said.splitlines() if line.startswith("{")]

    ids = ("paid", "again", "stranger", "unreadable")
    paid, again, stranger, unreadable = (story_of(one, lines) for one in ids)
    assert events_of(paid, "receiver") == ["accepted", "duplicate"]
    assert events_of(paid, "worker") == ["waiting", "granted"]
    for story, ending in ((again, "skipped"), (stranger, "failed"), (unreadable, "failed")):
        assert events_of(story, "receiver") == ["accepted"]
        assert events_of(story, "worker") == [ending]
    for story, order, customer in ((paid, 0, CUSTOMER), (again, 0, CUSTOMER), (stranger, 1, STRANGER)):
        for line in story:
            if line["process"] == "worker":
                assert (line["order"], line["customer"]) == (ORDERS[order], customer)
                assert (line["rules"], line["keys"]) == (["pack"], [KEYS[order]])
    assert 'credits_polar_requests_total{status="503"} 1.0' in numbers
    assert 'credits_polar_requests_total{status="422"} 1.0' in numbers
    assert 'credits_granted_units_total{meter="api_usage"} 10.0' in numbers
