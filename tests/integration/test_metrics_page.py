"""The page ``/metrics``: who may read it, what it says of all receivers, and of names that are new to it."""

from collections.abc import Iterator

import httpx
import pytest
from redis import Redis

from app.main import create_app
from app.receiver.server import server_config
from tests.support.metrics_scrape import OPERATOR, has_counted_anything, scraped
from tests.support.receivers import OPS_TOKEN, PATH, deliver, settings_for
from tests.support.recordings import payload
from tests.support.servers import running, running_as
from workers.store import keys


@pytest.fixture
def receiver(redis: Redis, redis_url: str) -> Iterator[str]:
    """Yield the base URL of a receiver that has counted nothing yet."""
    with running_as(server_config(create_app(settings_for(redis_url, CREDITS_OPS_TOKEN=OPS_TOKEN)))) as url:
        yield url


def test_every_receiver_tells_of_all_of_them(receiver: str, redis: Redis, redis_url: str) -> None:
    """And what the other has counted is not lost when it ends."""
    with running(create_app(settings_for(redis_url, CREDITS_OPS_TOKEN=OPS_TOKEN))) as other:
        for url in (receiver, other):
            httpx.post(url + PATH, content=b"forged")
            deliver(url, payload("customer_state_changed"), "msg-1")
    numbers = scraped(receiver)
    assert numbers["credits_rejected_requests_total invalid_signature"] == 2
    assert numbers["credits_webhooks_total ignored other"] == 2


def test_a_meter_of_any_name_is_told_as_it_is(receiver: str, redis: Redis) -> None:
    name = 'tokens "in", \\ out\n{1}'
    redis.hset(keys.COUNTS, f"grants {name}", 7)
    assert scraped(receiver)[f"credits_grants_total {name}"] == 7


def test_a_count_that_a_newer_version_makes_is_passed_over(receiver: str, redis: Redis) -> None:
    redis.hset(keys.COUNTS, "miracles holy", 7)
    assert not has_counted_anything(scraped(receiver))


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
