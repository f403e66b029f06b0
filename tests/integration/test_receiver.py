"""A receiver under uvicorn with a real Redis: recorded webhooks, health endpoints, secrets."""

import json
import logging
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.demo.polar import Polar as StandIn
from app.demo.polar import create_app as create_polar
from app.main import create_app
from app.receiver.signature import sign
from config.errors import ConfigError
from config.setting_fields import read_fields
from config.settings import ReceiverSettings
from tests.support.builders import order_webhook, some_id
from tests.support.receivers import (
    OPS_TOKEN,
    PAID,
    PATH,
    SECRET,
    disposition,
    health,
    left_in,
    settings_for,
    signed,
)
from tests.support.recordings import PAYLOADS, payload
from tests.support.rulebooks import watch_in
from tests.support.servers import running
from workers.core.delivery import Status
from workers.monitoring.health import START_WORKERS
from workers.pipeline.worker import GrantWorker
from workers.polar.client import Polar
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.queue import queue_length

NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json") if not path.stem.endswith(".headers"))
STORED_TYPES = {
    "order.paid",
    "order.refunded",
    "subscription.created",
    "subscription.cycled",
    "subscription.resumed",
    "customer.created",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_real_webhook_is_stored_or_ignored_by_its_type(receiver: str, redis: Redis, name: str) -> None:
    body = payload(name)
    is_stored = json.loads(body)["type"] in STORED_TYPES
    assert disposition(receiver, body) == ("accepted" if is_stored else "ignored")
    assert disposition(receiver, body) == ("duplicate" if is_stored else "ignored")
    assert DeliveryStore(redis).body("msg-1") == (body if is_stored else b"")
    assert queue_length(redis) == is_stored


def test_a_deleted_customer_is_stored_where_that_erases_what_is_stored_about_them(
    redis: Redis, redis_url: str
) -> None:
    with running(create_app(settings_for(redis_url, CREDITS_FORGET_DELETED="1"))) as url:
        assert disposition(url, payload("customer_deleted")) == "accepted"
    assert DeliveryStore(redis).body("msg-1") == payload("customer_deleted")


def test_recorded_requests_are_refused_as_stale(receiver: str, redis: Redis) -> None:
    headers = json.loads((PAYLOADS / "order_paid_purchase.headers.json").read_bytes())
    stale = sign(SECRET, headers["webhook-id"], 1_700_000_000, PAID)
    answer = httpx.post(receiver + PATH, content=PAID, headers=headers | stale)
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("stale webhook-timestamp")
    assert left_in(redis) == []


def test_a_body_that_is_not_an_event_is_stored(receiver: str, redis: Redis) -> None:
    assert disposition(receiver, b"\xff\x00 no event") == "accepted"
    assert DeliveryStore(redis).body("msg-1") == b"\xff\x00 no event"


def test_a_hundred_senders_on_one_connection_each_are_all_stored(receiver: str, redis: Redis) -> None:
    with httpx.Client(base_url=receiver) as client:
        for number in range(100):
            body = order_webhook(id=some_id(number))
            answer = client.post(PATH, content=body, headers=signed(body, f"msg-{number}"))
            assert answer.status_code == 202
    assert DeliveryStore(redis).count_by_status()[Status.WAITING] == 100
    assert queue_length(redis) == 1


@pytest.mark.parametrize("missing", ["REDIS_URL", "POLAR_WEBHOOK_SECRET"])
def test_it_does_not_start_without_a_required_setting(missing: str) -> None:
    given = {"REDIS_URL": "redis://127.0.0.1", "POLAR_WEBHOOK_SECRET": SECRET}
    del given[missing]
    with pytest.raises(ConfigError, match=f"{missing} is not set"):
        create_app(read_fields(ReceiverSettings, given))


def test_it_is_alive_and_ready_without_any_worker(receiver: str, redis: Redis) -> None:
    assert httpx.get(receiver + "/livez").status_code == 200
    assert httpx.get(receiver + "/readyz").status_code == 200
    assert 0 < redis.ttl(keys.READY) <= 60


def test_an_operator_sees_each_check(receiver: str) -> None:
    checks = health(receiver, f"Bearer {OPS_TOKEN}")["checks"]
    assert checks["redis"] == {"ok": True, "detail": "accepts writes and keeps them"}
    assert checks["workers"] == {"ok": False, "detail": f"0 alive: {START_WORKERS}"}
    assert {"waiting", "rules"} <= checks.keys()


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ops_s3cre",
        f"bearer {OPS_TOKEN}x",
        OPS_TOKEN,
        f"Basic {OPS_TOKEN}",
    ],
)
def test_a_stranger_sees_only_whether_all_is_well(receiver: str, authorization: str | None) -> None:
    assert health(receiver, authorization) == {"status": "unwell"}


def test_without_an_ops_token_nobody_is_an_operator(redis: Redis, redis_url: str) -> None:
    with running(create_app(settings_for(redis_url))) as url:
        assert health(url, "Bearer") == health(url, "Bearer None") == {"status": "unwell"}


def test_all_is_well_when_a_worker_runs_with_rules_in_force(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """This starts its own receiver, because another one may still have a cached answer."""
    worker = GrantWorker(redis, rulebook=watch_in(tmp_path).rulebook, retain=timedelta(days=30))
    worker.register_birth()  # type: ignore[no-untyped-call]  # RQ has no types here
    worker.heartbeat()
    with running(create_app(settings_for(redis_url))) as url:
        answer = httpx.get(url + "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "well"})


def test_no_log_line_at_any_level_contains_a_secret(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every library logs at debug level here."""
    caplog.set_level(logging.DEBUG)
    stand_in = StandIn(token="polar_oat_s3cret")
    secret = "whsec_s3cret-of-sixteen"
    settings = settings_for(redis_url, POLAR_WEBHOOK_SECRET=secret, CREDITS_OPS_TOKEN=OPS_TOKEN)
    with running(create_app(settings)) as url, running(create_polar(stand_in)) as polar_url:
        httpx.post(url + PATH, content=PAID, headers=sign(secret, "msg-1", int(time.time()), PAID))
        httpx.post(url + PATH, content=PAID, headers=sign("other", "msg-1", int(time.time()), PAID))
        health(url, f"Bearer {OPS_TOKEN}")
        client = Polar(url=polar_url, token=stand_in.token)
        client.ingest([])
        client.close()
    assert caplog.records
    assert "s3cret" not in caplog.text
