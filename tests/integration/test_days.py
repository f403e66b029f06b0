"""Each settlement is also counted for its day, so that the desk can draw charts."""

from datetime import UTC, datetime, timedelta

from redis import Redis

from tests.support.builders import order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.fake_polar import FakePolar
from tests.support.real_stores import RETAIN, accept, now_ms
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.clock import redis_now
from workers.store.days import Day, read_days
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

RULES = rules_of(
    rule("pack", {"api_usage": "10.25", "images": 3}, on_refund="revoke"),
    rule("gift", {"api_usage": 5}),
)


def work(redis: Redis) -> None:
    """Settle everything that is due."""
    Granter(
        deliveries=DeliveryStore(redis),
        ledger=Ledger(redis, retain=RETAIN),
        throttle=Throttle(redis),
        polar=FakePolar(),
        rules=lambda: RULES,
    ).drain()


def today(redis: Redis) -> Day:
    return read_days(redis, redis_now(redis), 1)[0]


def test_a_day_counts_credits_by_meter_and_by_rule_outcomes_and_waits(redis: Redis, redis_url: str) -> None:
    accept(redis_url, "one", body=order_webhook(id=some_id(1)))
    accept(redis_url, "two", body=order_webhook(id=some_id(2)))
    accept(redis_url, "broken", body=b"no webhook")
    work(redis)
    day = today(redis)
    assert day.granted == {"api_usage": 30.5, "images": 6}
    assert day.by_rule == {("pack", "api_usage"): 20.5, ("pack", "images"): 6, ("gift", "api_usage"): 10}
    assert day.outcomes == {"granted": 2, "failed": 1}
    assert sum(day.waits.values()) == 2
    assert day.taken_back == {}


def test_what_is_taken_back_counts_for_itself(redis: Redis, redis_url: str) -> None:
    body = order_webhook(id=some_id(1))
    accept(redis_url, "paid", body=body)
    work(redis)
    accept(redis_url, "refunded", body=refund_webhook(10**9, id=some_id(1), status="refunded"))
    work(redis)
    day = today(redis)
    assert day.taken_back == {"api_usage": 10.25, "images": 3}
    assert day.by_rule[("pack", "api_usage")] == 10.25


def test_a_grant_that_is_settled_again_does_not_count_again(redis: Redis, redis_url: str) -> None:
    accept(redis_url, "one", body=order_webhook(id=some_id(1)))
    work(redis)
    accept(redis_url, "again", body=order_webhook(id=some_id(1)))
    work(redis)
    assert today(redis).by_rule[("gift", "api_usage")] == 5


def test_the_busiest_moment_of_the_rate_limit_stays(redis: Redis, redis_url: str) -> None:
    for number in range(3):
        used_ms = 30_000 if number == 1 else 5_000
        redis.set(keys.BUDGET, now_ms(redis) + used_ms, px=used_ms)
        accept(redis_url, f"msg-{number}", body=order_webhook(id=some_id(number)))
        work(redis)
        redis.delete(keys.BUDGET)
    assert 0.45 < today(redis).most_used <= 0.51


def test_days_come_oldest_first_and_a_day_without_counts_is_empty(redis: Redis, redis_url: str) -> None:
    accept(redis_url, "one", body=order_webhook(id=some_id(1)))
    work(redis)
    now = redis_now(redis)
    days = read_days(redis, now, 30)
    assert len(days) == 30
    assert [days[0].date, days[-1].date] == [(now - timedelta(days=29)).date(), now.date()]
    assert [bool(one.outcomes) for one in days] == [False] * 29 + [True]


def test_a_day_is_kept_for_400_days(redis: Redis, redis_url: str) -> None:
    accept(redis_url, "one", body=order_webhook(id=some_id(1)))
    work(redis)
    days_since_1970 = (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    assert abs(redis.ttl(f"{keys.DAY}{days_since_1970}") - 400 * 86_400) < 100
