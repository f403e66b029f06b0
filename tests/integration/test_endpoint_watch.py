"""The webhook endpoint at Polar is looked at regularly, and people are told what is wrong with it."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.support.alert_receiver import chat
from tests.support.polar_orders import Operations, operations_at
from workers.monitoring.alerter import Alerter
from workers.monitoring.health import examine
from workers.operations.check.endpoint import Wanted
from workers.operations.check.endpoint_watch import EndpointWatch
from workers.store import keys
from workers.store.endpoint_note import EndpointNotes

SECRET = "whsec_the-secret-of-this-endpoint"


@pytest.fixture
def operations(redis: Redis) -> Iterator[Operations]:
    with operations_at(redis) as opened:
        yield opened


def look(operations: Operations, **changes: Any) -> tuple[bool, str]:
    """Look at an endpoint with these fields; return what /healthz says of it."""
    usual = {
        "url": "https://credits.example.com/webhooks/polar",
        "events": ["order.paid", "order.refunded"],
        "secret": SECRET,
    }
    operations.polar.endpoints.clear()
    operations.polar.add_endpoint(**usual | changes)
    operations.redis.delete(keys.ENDPOINT_LOOK)
    watch = EndpointWatch(
        notes=EndpointNotes(operations.redis),
        polar=operations.client,
        pacer=operations.pacer,
        rules=lambda: operations.rules,
        wanted=Wanted(public_url="https://credits.example.com", secrets=(SECRET,)),
    )
    for _ in range(2):
        watch.run_if_due()
    (found,) = [one for one in examine(operations.redis) if one.name == "endpoint"]
    return found.ok, found.detail


def test_one_that_is_right_is_well(operations: Operations) -> None:
    assert look(operations) == (
        True,
        "https://credits.example.com/webhooks/polar gets what the rules need",
    )
    assert 0 < operations.redis.ttl(keys.ENDPOINT_LOOK) <= 600
    assert operations.redis.ttl(keys.ENDPOINT) > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"enabled": False}, "is disabled"),
        ({"url": "https://old.example.com/webhooks/polar"}, "CREDITS_PUBLIC_URL"),
        ({"format": "slack"}, "set it to Raw"),
        ({"events": ["order.created"]}, "does not get order.paid"),
        ({"secret": "whsec_another-secret-than-ours"}, "has another secret"),
    ],
)
def test_what_loses_webhooks_is_not_well_and_its_secret_is_stored_nowhere(
    operations: Operations, changes: Any, words: str
) -> None:
    with capture_logs() as lines:
        ok, detail = look(operations, **changes)
        look(operations, **changes)
    assert (ok, words in detail) == (False, True)
    assert [line["event"] for line in lines] == ["endpoint not right"]
    assert "whsec" not in repr(operations.redis.hgetall(keys.ENDPOINT))


def test_people_are_told_once_and_when_it_is_mended(operations: Operations) -> None:
    with chat() as room:
        alerter = Alerter(operations.redis, url=room.url)
        for is_enabled in (True, False, False, True):
            look(operations, enabled=is_enabled)
            alerter.check()
            alerter.finish()
    assert room.kinds == ["endpoint", "well"]
    assert "then run credits backfill" in room.posted[0]["text"]


def test_nobody_has_looked_yet(redis: Redis) -> None:
    assert EndpointNotes(redis).read() == ("", "not looked at yet")
