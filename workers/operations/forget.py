"""Erases what was sent about a customer; ledger and deliveries stay, without names: money needs them."""

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import cast

from redis import Redis
from redis.exceptions import ResponseError

from config.rules import Rules
from workers.core.cases import open_case
from workers.core.delivery import Delivery, Leased, Status
from workers.store import keys
from workers.store.audit import Audit
from workers.store.deliveries import DeliveryStore
from workers.store.scripts import lua

MOST_READ = 10_000  # of the bodies that wait, one by one: a second

_AT_ONCE = 500  # while one script runs, everybody waits
_PATIENCE_SECONDS = 60  # some millions of keys are rewritten in this
_POLL_SECONDS = 0.05

_NO_RULES = Rules(meters={}, rules=(), credit_from=None, digest="")


class Forgetting:
    """Bodies in Redis, by customer."""

    def __init__(self, redis: Redis, deliveries: DeliveryStore, audit: Audit) -> None:
        self._redis = redis
        self._deliveries = deliveries
        self._audit = audit
        self._erase = redis.register_script(lua("erase"))

    def settled(self, customer_id: str) -> list[Delivery]:
        """Return the settled deliveries about a customer that still have their body, oldest first."""
        listed = cast(list[bytes], self._redis.zrange(keys.about(customer_id), 0, -1))
        claimed = {entry.delivery_id for entry in self._audit.of_customer(customer_id)}
        found = self._deliveries.get(sorted(claimed | {id_.decode() for id_ in listed}))
        kept = [one for one in found if one.status is not Status.WAITING and one.erased_at is None]
        return sorted(kept, key=lambda one: one.received_at)

    def waiting(self, customer_id: str) -> list[Delivery]:
        """Return the waiting deliveries about a customer, of the newest ``MOST_READ``: none is listed yet."""
        newest = islice(self._deliveries.newest([Status.WAITING]), MOST_READ)
        return [one for one in newest if self._is_about(customer_id, one)]

    def still_waiting(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Return those of ``deliveries`` that wait at present."""
        found = self._deliveries.get(list(dict.fromkeys(one.id for one in deliveries)))
        return [one for one in found if one.status is Status.WAITING]

    def erase(self, ids: Sequence[str]) -> list[str]:
        """Erase the bodies of these deliveries, but for those that wait; return those erased now."""
        erased: list[bytes] = []
        for start in range(0, len(ids), _AT_ONCE):
            erased += self._erase(keys=[], args=[keys.DELIVERY, keys.BODY, *ids[start : start + _AT_ONCE]])
        return [delivery_id.decode() for delivery_id in erased]

    def rewrite_log(self) -> str:
        """Have Redis write its append-only file anew, without what was erased; return why it did not."""
        try:
            if self._redis.info("persistence").get("aof_enabled") != 1:
                return ""
            self._await_rewriting()  # one that began before may still hold what was erased
            self._redis.bgrewriteaof()
            # An embedded server may end with this command, and a rewriting with it.
            if not self._await_rewriting():
                return "it is still being rewritten"
        except ResponseError as error:
            return f"Redis does not let us have it rewritten ({error})"
        done = self._redis.info("persistence").get("aof_last_bgrewrite_status") == "ok"
        return "" if done else "rewriting it failed: the log of Redis says why"

    def _await_rewriting(self) -> bool:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            info = self._redis.info("persistence")
            if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _is_about(self, customer_id: str, delivery: Delivery) -> bool:
        body = self._deliveries.body(delivery.id)
        leased = Leased(id=delivery.id, type=delivery.type, body=body, strikes=0, attempt=0)
        plan = open_case(leased, _NO_RULES).plan
        return plan is not None and plan.customer_id == customer_id
