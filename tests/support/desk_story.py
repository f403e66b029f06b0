"""A month of a shop, for the desk to show: credits, refunds, failures, and what strangers wrote."""

import json
import math
from datetime import UTC, datetime
from typing import Any, cast

from redis import Redis

from config.rules import load_rules
from tests.support.builders import some_id
from tests.support.desk import DeskService
from tests.support.polar_standin import CUSTOMER, client_of
from tests.support.recordings import payload
from workers.core.delivery import Lease, Status
from workers.core.envelope import peek_type
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.clock import redis_now
from workers.store.deliveries import DeliveryStore
from workers.store.scripts import milliseconds_of
from workers.store.stores import stores_in

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"

RULES = """\
version: 1
meters:
  api_usage: {property: units}
  image_generations: {property: units}
rules:
  - name: starter-pack
    triggers: [purchase]
    grant: {api_usage: 10000}
    on_refund: revoke
  - name: team-plan
    triggers: [subscription_create, subscription_cycle]
    grant: {api_usage: "1000 * seats", image_generations: 250}
    on_refund: revoke
  - name: yearly-bonus
    triggers: [subscription_create]
    when: subscription.recurring_interval == "year"
    grant: {image_generations: 100}
offers:
  - name: referral
    grant: {api_usage: 200}
    most_per_customer: 20
"""

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_STRANGER = "0b2f8d2b-22cc-4f69-9af4-c55248621fca"  # Polar does not know them


def tell_story(redis: Redis, service: DeskService, *, orders: int = 60, product: str = HOSTILE) -> None:
    """Let a month pass: many orders, the last of which are refunded, failed, skipped and waiting.

    One of the last is for ``product``, and has it in its metadata, too.
    """
    held = stores_in(redis, service.settings)
    store, rules = held.deliveries, load_rules(service.rules_path)
    with client_of(service.polar) as polar:
        granter = Granter(
            deliveries=held.deliveries,
            ledger=held.ledger,
            throttle=held.throttle,
            polar=polar,
            rules=lambda: rules,
        )
        for number in range(orders):
            like = ("order_paid_purchase", "order_paid_seats_5", "order_paid_subscription_cycle")[number % 3]
            _deliver(store, granter, f"msg-{number:04}", like, id=some_id(number + 1), customer_id=CUSTOMER)
        _deliver(store, granter, "msg-refund", "order_refunded_full", id=some_id(1), customer_id=CUSTOMER)
        _deliver(
            store, granter, "msg-unknown", "order_paid_purchase", id=some_id(9001), customer_id=_STRANGER
        )
        named = _product() | {"name": product}
        hostile = {
            "id": some_id(9002),
            "customer_id": CUSTOMER,
            "product": named,
            "metadata": {"note": product},
        }
        _deliver(store, granter, "msg-hostile", "order_paid_purchase", **hostile)
        granter.run(Lease(deliveries=held.deliveries.store_and_lease([("msg-slack", "", product.encode())])))
        _deliver(
            store, granter, "msg-final", "order_paid_subscription_cancel_final_invoice", customer_id=CUSTOMER
        )
    waiting = json.dumps(json.loads(payload("order_paid_purchase"))).encode()
    held.deliveries.store_and_lease([("msg-waiting", "order.paid", waiting)])
    _let_worker_tick(redis)
    _let_weeks_pass(redis)
    _count_days(redis)


def _product() -> dict[str, Any]:
    return dict(json.loads(payload("order_paid_purchase"))["data"]["product"])


def _deliver(store: DeliveryStore, granter: Granter, delivery_id: str, like: str, **data: Any) -> None:
    body = json.loads(payload(like))
    body["data"] |= data
    text = json.dumps(body).encode()
    leased = store.store_and_lease([(delivery_id, peek_type(text) or "", text)])
    granter.run(Lease(deliveries=leased))
    granter.drain()


def _let_worker_tick(redis: Redis) -> None:
    """Note what a worker notes that is alive; it counts as dead in less than a minute."""
    redis.zadd(keys.WORKERS, {"worker-1": milliseconds_of(redis_now(redis))})
    redis.hset(keys.RULES, mapping={"in_force": "3 rules, version 8c1f0a2b", "refused": "0"})


def _let_weeks_pass(redis: Redis) -> None:
    """Make the deliveries older, the first ones most."""
    for status in Status:
        name = keys.deliveries(status)
        found = cast(list[tuple[bytes, float]], redis.zrange(name, 0, -1, withscores=True))
        for id_, score in found:
            delivery_id = id_.decode()
            number = int(delivery_id[4:]) if delivery_id[4:].isdigit() else 1000
            back = max(0, 60 - number) * 11 * 60 * _MINUTE_MS + 4 * _MINUTE_MS
            redis.zadd(name, {delivery_id: score - back})
            for field in ("received_at", "settled_at", "leased:1"):
                _set_back(redis, keys.delivery(delivery_id), field, back)
            subject = cast(bytes | None, redis.hget(keys.delivery(delivery_id), "subject"))
            if subject and redis.hget(subject.decode(), "delivery") == id_:
                for field in ("claimed_at", "settled:api_usage", "settled:image_generations"):
                    _set_back(redis, subject.decode(), field, back)


def _set_back(redis: Redis, key: str, field: str, back_ms: int) -> None:
    if at := redis.hget(key, field):
        redis.hset(key, field, int(float(at)) - back_ms)


def _count_days(redis: Redis) -> None:
    """Write the counts of the last days, as settlements would have."""
    today = int(datetime.now(UTC).timestamp() * 1000) // _DAY_MS
    for ago in range(30):
        wave = 1 + 0.6 * math.sin(ago / 2.3) + (0.8 if (today - ago) % 7 < 5 else 0)
        fields = {
            "granted_units api_usage": round(9000 * wave),
            "granted_units image_generations": round(500 * wave),
            "given_by_rule starter-pack api_usage": round(6000 * wave),
            "given_by_rule team-plan api_usage": round(3000 * wave),
            "given_by_rule team-plan image_generations": round(500 * wave),
            "outcomes granted": round(40 * wave),
            "outcomes skipped": round(9 * wave),
            "delivery_to_credit_seconds 0.5": round(30 * wave),
            "delivery_to_credit_seconds 1": round(8 * wave),
            "delivery_to_credit_seconds 10": 2 if ago != 12 else 30,
            "most_used_ms": round(9000 * wave),
        }
        if ago % 5 == 0:
            fields |= {"taken_back_units api_usage": 4000 + 300 * ago, "outcomes failed": 2}
        redis.delete(f"{keys.DAY}{today - ago}")
        redis.hset(f"{keys.DAY}{today - ago}", mapping=cast(Any, fields))
