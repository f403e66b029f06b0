"""What ``/metrics`` counts and measures, as Prometheus reads it."""

from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest
from redis import Redis

from app.main import create_app
from app.receiver.server import server_config
from tests.support.builders import order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.fake_polar import FakePolar
from tests.support.fake_service import BROKEN, TEN
from tests.support.killed import KilledError
from tests.support.metrics_scrape import has_counted_anything, scraped
from tests.support.raw_http import post_with, send_raw
from tests.support.real_stores import RETAIN, accept, let_leases_end, now_ms, outcome, settled_story
from tests.support.receivers import OPS_TOKEN, PATH, deliver, settings_for
from tests.support.recordings import payload
from tests.support.servers import running_as
from workers.core.delivery import Status
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle


@pytest.fixture
def receiver(redis: Redis, redis_url: str) -> Iterator[str]:
    """Yield the base URL of a receiver that has counted nothing yet."""
    with running_as(server_config(create_app(settings_for(redis_url, CREDITS_OPS_TOKEN=OPS_TOKEN)))) as url:
        yield url


class Shop:
    """A worker on the real stores, before a Polar that never saw one customer."""

    def __init__(self, redis: Redis) -> None:
        self.polar = FakePolar(known=lambda customer: customer != some_id(9))
        self.rules = rules_of(
            rule("pack", {"api_usage": "10.25", "images": 3}, on_refund="revoke"),
            rule("bonus", {"seconds": 50}, once_per="customer"),
        )
        self._granter = Granter(
            deliveries=DeliveryStore(redis),
            ledger=Ledger(redis, retain=RETAIN),
            throttle=Throttle(redis),
            polar=self.polar,
            rules=lambda: self.rules,
        )

    def work(self) -> None:
        self._granter.drain()


@pytest.fixture
def shop(redis: Redis) -> Shop:
    return Shop(redis)


def test_an_empty_service_is_all_zeros_and_names_what_may_come(receiver: str) -> None:
    """An alert on an increase sees the first failure only where there was a zero before."""
    numbers = scraped(receiver)
    assert not has_counted_anything(numbers)
    assert {
        "credits_stored_deliveries failed",
        "credits_outcomes_total failed",
        "credits_webhooks_total accepted order.paid",
        "credits_webhooks_total accepted unreadable",
        "credits_webhooks_total ignored other",
        "credits_rejected_requests_total invalid_signature",
        "credits_rejected_requests_total malformed_http",
        "credits_retries_total",
        "credits_delivery_to_credit_seconds_bucket +Inf",
        "credits_delivery_to_credit_seconds_count",
    } <= set(numbers)


def test_what_waits_and_what_is_kept_shows(receiver: str, redis: Redis, redis_url: str, shop: Shop) -> None:
    accept(redis_url, "paid", body=order_webhook(id=some_id(1)))
    accept(redis_url, "broken", body=b"no webhook")
    shop.work()
    accept(redis_url, "later", body=order_webhook(id=some_id(2)))
    redis.zadd(keys.deliveries(Status.WAITING), {"later": 0})  # it came in 1970
    numbers = scraped(receiver)
    kept = [numbers[f"credits_stored_deliveries {one}"] for one in ("granted", "failed", "waiting")]
    assert kept == [1, 1, 1]
    assert numbers["credits_queued_jobs"] == 1
    assert numbers["credits_oldest_waiting_seconds"] > 10**9


def test_webhooks_are_counted_by_type_and_by_what_the_receiver_did(receiver: str) -> None:
    deliver(receiver, order_webhook(), "msg-1")
    deliver(receiver, order_webhook(), "msg-1")
    deliver(receiver, order_webhook(), "msg-2")
    deliver(receiver, refund_webhook(300), "msg-3")
    deliver(receiver, payload("customer_state_changed"), "msg-4")
    deliver(receiver, b'{"type": "something.made.up"}', "msg-5")
    deliver(receiver, b"no event", "msg-6")
    httpx.post(receiver + PATH, content=order_webhook())
    numbers = scraped(receiver)
    assert {name: value for name, value in numbers.items() if value and "_webhooks_total" in name} == {
        "credits_webhooks_total accepted order.paid": 2,
        "credits_webhooks_total accepted order.refunded": 1,
        "credits_webhooks_total accepted unreadable": 1,
        "credits_webhooks_total duplicate order.paid": 1,
        "credits_webhooks_total ignored other": 2,
    }
    assert numbers["credits_rejected_requests_total invalid_signature"] == 1


def test_what_no_application_saw_is_counted_as_refused_too(receiver: str) -> None:
    send_raw(receiver, b"no HTTP\r\n\r\n", hang_up=False)
    send_raw(receiver, post_with(b"Transfer-Encoding: chunked", body=b"1\r\n{\r\n"), b"zz\r\n", hang_up=False)
    numbers = scraped(receiver)
    assert numbers["credits_rejected_requests_total malformed_http"] == 1
    assert numbers["credits_rejected_requests_total incomplete"] == 1


def test_credits_are_counted_by_meter_and_deliveries_by_their_end(
    receiver: str, redis_url: str, shop: Shop
) -> None:
    accept(redis_url, "one", body=order_webhook(id=some_id(1)))
    accept(redis_url, "again", body=order_webhook(id=some_id(1)))
    accept(redis_url, "two", body=order_webhook(id=some_id(2)))
    accept(redis_url, "stranger", body=order_webhook(id=some_id(3), customer_id=some_id(9)))
    shop.work()
    accept(redis_url, "refund", body=refund_webhook(10**6, id=some_id(2)))
    shop.work()
    numbers = scraped(receiver)
    grants = {name: value for name, value in numbers.items() if name.startswith("credits_grants_total")}
    assert grants == {
        "credits_grants_total api_usage": 3,
        "credits_grants_total images": 3,
        "credits_grants_total seconds": 1,
    }
    assert numbers["credits_granted_units_total api_usage"] == 20.5
    assert numbers["credits_granted_units_total seconds"] == 50
    assert numbers["credits_taken_back_units_total api_usage"] == 10.25
    ends = [numbers[f"credits_outcomes_total {one}"] for one in ("granted", "skipped", "failed")]
    assert ends == [3, 1, 1]


def test_what_is_settled_twice_is_counted_once(
    receiver: str, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    """A connection may break after the script has run: the client sends it again."""
    leased, grant = settled_story(redis_url, store, ledger)
    ledger.settle([grant], [outcome(leased)])
    numbers = scraped(receiver)
    assert numbers["credits_grants_total api_usage"] == 1
    assert numbers["credits_outcomes_total granted"] == 1
    assert numbers["credits_delivery_to_credit_seconds_count"] == 1


def test_what_is_sent_twice_is_counted_once(receiver: str, redis_url: str, redis: Redis, shop: Shop) -> None:
    """A worker that was killed before it settled is followed by one that sends the same again."""
    accept(redis_url, "one", body=order_webhook())
    shop.polar.loses_answers = 1
    shop.work()
    redis.delete(keys.PAUSE)
    let_leases_end(redis)
    shop.work()
    numbers = scraped(receiver)
    assert len(shop.polar.requests) == 2
    assert numbers["credits_granted_units_total api_usage"] == 10.25
    assert numbers["credits_retries_total"] == 1
    assert numbers["credits_outcomes_total granted"] == 1
    assert numbers["credits_delivery_to_credit_seconds_count"] == 1


def test_the_wait_for_credit_is_over_when_another_delivery_sees_the_claim_through(
    receiver: str, redis: Redis, redis_url: str, shop: Shop
) -> None:
    accept(redis_url, "one", body=order_webhook())
    shop.polar.script = [KilledError()]
    with pytest.raises(KilledError):
        shop.work()
    accept(redis_url, "two", body=order_webhook())
    shop.work()
    let_leases_end(redis)
    shop.work()
    numbers = scraped(receiver)
    assert numbers["credits_outcomes_total granted"] == 2
    assert numbers["credits_grants_total api_usage"] == 1
    assert numbers["credits_delivery_to_credit_seconds_count"] == 1


def test_many_small_amounts_add_up_without_dust(receiver: str, redis_url: str, shop: Shop) -> None:
    shop.rules = rules_of(rule("dust", {"api_usage": "0.000000001", "images": "0.1"}))
    for number in range(1, 31):
        accept(redis_url, f"msg-{number}", body=order_webhook(id=some_id(number)))
        if not number % 10:
            shop.work()
    numbers = scraped(receiver)
    assert Decimal(str(numbers["credits_granted_units_total api_usage"])) == Decimal("3e-8")
    assert numbers["credits_granted_units_total images"] == 3


def test_the_time_from_delivery_to_credit_is_a_histogram(
    receiver: str, redis: Redis, redis_url: str, shop: Shop
) -> None:
    shop.rules = TEN
    for name, seconds in (("quick", 0.0), ("slow", 20.0), ("old", 90_000.0)):
        accept(redis_url, name, body=order_webhook(id=some_id(len(name) * 7 + int(seconds))))
        redis.hset(keys.delivery(name), "received_at", round(now_ms(redis) - seconds * 1000))
    accept(redis_url, "credited-already", body=order_webhook(id=some_id(35)))
    shop.work()
    numbers = scraped(receiver)
    name = "credits_delivery_to_credit_seconds"
    assert numbers[f"{name}_count"] == numbers[f"{name}_bucket +Inf"] == 3
    assert [numbers[f"{name}_bucket {bound}"] for bound in ("10", "30", "3600")] == [1, 2, 2]
    assert 90_020 <= numbers[f"{name}_sum"] < 90_030


def test_what_is_taken_back_is_no_wait_for_credit(receiver: str, redis_url: str, shop: Shop) -> None:
    accept(redis_url, "paid", body=order_webhook(id=some_id(1)))
    shop.work()
    accept(redis_url, "refund", body=refund_webhook(10**6, id=some_id(1)))
    shop.work()
    assert scraped(receiver)["credits_delivery_to_credit_seconds_count"] == 1


def test_a_bonus_alone_is_a_wait_for_credit(receiver: str, redis_url: str, shop: Shop) -> None:
    shop.rules = rules_of(rule("bonus", {"seconds": 50}, once_per="customer"))
    accept(redis_url, "paid", body=order_webhook(id=some_id(1)))
    shop.work()
    assert scraped(receiver)["credits_delivery_to_credit_seconds_count"] == 1


def test_an_outage_of_polars_and_each_try_again_shows(
    receiver: str, redis: Redis, redis_url: str, shop: Shop
) -> None:
    accept(redis_url, "one", body=order_webhook())
    shop.polar.script = [BROKEN]
    shop.work()
    numbers = scraped(receiver)
    assert numbers["credits_retries_total"] == 1
    assert 0 < numbers["credits_polar_pause_remaining_seconds"] <= 60
    assert numbers["credits_polar_outage_seconds"] >= 0
    assert numbers["credits_stored_deliveries waiting"] == 1
    assert sum(value for name, value in numbers.items() if "_outcomes_" in name) == 0


def test_our_share_of_the_rate_limit_shows_as_it_is_used_up(receiver: str, redis: Redis) -> None:
    throttle = Throttle(redis, requests_per_minute=100)
    throttle.take_request()
    assert 0.01 < scraped(receiver)["credits_polar_rate_limit_used_ratio"] <= 0.02
    while throttle.take_request():
        pass
    assert 0.95 < scraped(receiver)["credits_polar_rate_limit_used_ratio"] <= 1


def test_after_a_429_it_shows_how_long_we_take_less(receiver: str, redis: Redis) -> None:
    assert scraped(receiver)["credits_polar_backoff_remaining_seconds"] == 0
    Throttle(redis).pause_for_rate_limit(60, "Polar answered 429")
    assert 350 < scraped(receiver)["credits_polar_backoff_remaining_seconds"] <= 360
