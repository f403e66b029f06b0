"""Erases the bodies of deliveries, from Redis and from its append-only file."""

import time
from collections.abc import Sequence

from redis import Redis
from redis.exceptions import ResponseError

from workers.core.batches import in_batches
from workers.store import keys
from workers.store.bodies import compress_body
from workers.store.scripts import load_script

_BATCH = 500  # every other client waits while a script runs
_REWRITE_SECONDS = 60  # enough for some millions of keys
_POLL_SECONDS = 0.05


class Erasure:
    """The bodies in Redis, as `credits forget` erases them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._erase = redis.register_script(load_script("erase"))

    def erase(self, ids: Sequence[str]) -> list[str]:
        """Erase the bodies of these deliveries, except those that wait; return the ids of those erased."""
        erased: list[bytes] = []
        for some in in_batches(ids, _BATCH):
            erased += self._erase(keys=[], args=[keys.DELIVERY, keys.BODY, *some])
        return [delivery_id.decode() for delivery_id in erased]

    def replace_body(self, delivery_id: str, body: bytes) -> None:
        """Store another body for a delivery that has one, for as long as the first would be kept."""
        self._redis.set(keys.body(delivery_id), compress_body(body), xx=True, keepttl=True)

    def rewrite_log(self) -> str:
        """Make Redis rewrite its append-only file without what was erased; return the problem, or ``""``."""
        try:
            if self._redis.info("persistence").get("aof_enabled") != 1:
                return ""
            self._await_rewrite()  # a rewrite that began earlier may still contain what was erased
            self._redis.bgrewriteaof()
            # An embedded server may stop when this command ends, and would then never finish its rewrite.
            if not self._await_rewrite():
                return "it is still being rewritten"
        except ResponseError as error:
            return f"Redis refuses to rewrite it ({error})"
        done = self._redis.info("persistence").get("aof_last_bgrewrite_status") == "ok"
        return "" if done else "the rewrite failed: see the log of Redis"

    def _await_rewrite(self) -> bool:
        deadline = time.monotonic() + _REWRITE_SECONDS
        while time.monotonic() < deadline:
            info = self._redis.info("persistence")
            if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
                return True
            time.sleep(_POLL_SECONDS)
        return False
