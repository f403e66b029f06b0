"""``/metrics``, as Prometheus reads it."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from app.main import create_app
from tests.builders import order_webhook, some_id
from tests.receivers import OPS_TOKEN, settings_for
from tests.servers import running
from tests.shops import TEN
from tests.stores import accept
from workers import keys
from workers.deliveries import DeliveryStore
from workers.granting import Granter
from workers.ledger import Ledger
from workers.pauses import Pauses
from workers.records import Status

OPERATOR = {"Authorization": f"Bearer {OPS_TOKEN}"}


class Polar:
    """Takes everything."""

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Take ``events``."""


Numbers = dict[str, float]


def scraped(receiver: str) -> Numbers:
    """Return every sample by its name and, where it has one, its label's value."""
    answer = httpx.get(receiver + "/metrics", headers=OPERATOR)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_an_empty_service_is_all_zeros(receiver: str) -> None:
    assert scraped(receiver) == {
        "credits_deliveries waiting": 0,
        "credits_deliveries granted": 0,
        "credits_deliveries skipped": 0,
        "credits_deliveries failed": 0,
        "credits_oldest_waiting_seconds": 0,
        "credits_outage_seconds": 0,
        "credits_pause_seconds": 0,
        "credits_workers": 0,
        "credits_queued_jobs": 0,
        "credits_grants_total": 0,
    }


def test_what_came_and_what_became_of_it_is_counted(
    receiver: str, redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    accept(redis_url, "paid", body=order_webhook(id=some_id(1)))
    accept(redis_url, "broken", body=b"no webhook")
    Granter(inbox=store, book=ledger, gate=Pauses(redis), polar=Polar(), rules=lambda: TEN).drain()
    accept(redis_url, "later", body=order_webhook(id=some_id(2)))
    redis.zadd(keys.deliveries(Status.WAITING), {"later": 0})  # it came in 1970
    numbers = scraped(receiver)
    assert (numbers["credits_deliveries granted"], numbers["credits_deliveries failed"]) == (1, 1)
    assert (numbers["credits_deliveries waiting"], numbers["credits_queued_jobs"]) == (1, 1)
    assert numbers["credits_grants_total"] == 1
    assert numbers["credits_oldest_waiting_seconds"] > 10**9


def test_an_outage_of_polars_shows(receiver: str, redis: Redis) -> None:
    Pauses(redis).begin(60, "Polar answered 503")
    numbers = scraped(receiver)
    assert 0 < numbers["credits_pause_seconds"] <= 60
    assert numbers["credits_outage_seconds"] >= 0


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ops_s3cre", OPS_TOKEN])
def test_for_a_stranger_there_is_no_such_page(receiver: str, authorization: str) -> None:
    headers = {"Authorization": authorization}
    assert httpx.get(receiver + "/metrics", headers=headers).status_code == 404
    assert httpx.get(receiver + "/metrics").status_code == 404


def test_without_an_ops_token_there_is_no_such_page(redis: Redis, redis_url: str) -> None:
    with running(create_app(settings_for(redis_url))) as url:
        assert httpx.get(url + "/metrics", headers={"Authorization": "Bearer None"}).status_code == 404


def test_while_redis_is_away_there_are_no_numbers() -> None:
    nowhere = "redis://127.0.0.1:1/0"
    with running(create_app(settings_for(nowhere, CREDITS_OPS_TOKEN=OPS_TOKEN))) as url:
        assert httpx.get(url + "/metrics", headers=OPERATOR).status_code == 503
