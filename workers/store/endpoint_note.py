"""What the last look at the webhook endpoint at Polar found."""

from datetime import timedelta
from typing import cast

from redis import Redis

from workers.store import keys

_KNOWN_FOR = timedelta(days=1)


class EndpointNotes:
    """The note in Redis, and when the next look is due."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def begin(self, *, every: timedelta) -> bool:
        """Begin a look; return False if none is due."""
        return bool(self._redis.set(keys.ENDPOINT_LOOK, 1, nx=True, px=every))

    def write(self, *, problem: str, detail: str) -> bool:
        """Note what was found; return whether the last look found another problem, or none."""
        before = cast(bytes | None, self._redis.hget(keys.ENDPOINT, "problem"))
        pipeline = self._redis.pipeline()
        pipeline.hset(keys.ENDPOINT, mapping={"problem": problem, "detail": detail})
        pipeline.expire(keys.ENDPOINT, _KNOWN_FOR)
        pipeline.execute()
        return before != problem.encode()

    def read(self) -> tuple[str, str]:
        """Return the problem, or an empty text, and what to show if there is none."""
        problem, detail = cast(list[bytes | None], self._redis.hmget(keys.ENDPOINT, "problem", "detail"))
        return (problem or b"").decode(), (detail or b"not looked at yet").decode()
