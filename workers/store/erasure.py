"""Erases the bodies of deliveries from Redis and from its append-only file."""

import time
from collections.abc import Sequence
from typing import cast

from redis import Redis
from redis.exceptions import ResponseError

from workers.store import keys
from workers.store.scripts import load_script

_AT_ONCE = 500  # while one script runs, everybody waits
_PATIENCE_SECONDS = 60  # some millions of keys are rewritten in this
_POLL_SECONDS = 0.05


class Erasure:
    """Bodies in Redis, as `forget` sees them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._erase = redis.register_script(load_script("erase"))

    def listed_about(self, customer_id: str) -> set[str]:
        """Return the ids of settled deliveries about a customer that no entry of the ledger names."""
        listed = cast(list[bytes], self._redis.zrange(keys.about(customer_id), 0, -1))
        return {delivery_id.decode() for delivery_id in listed}

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
