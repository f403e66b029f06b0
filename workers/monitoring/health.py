"""Whether the whole is well: each check by name, with what was found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from redis import Redis
from redis.exceptions import (
    ConnectionError,  # noqa: A004 - Redis's own, and no relative of Python's
    RedisError,
    TimeoutError,  # noqa: A004
)

from config.durations import format_duration
from workers.core.pauses import PauseCause
from workers.monitoring.alerts import LONGEST_WAIT
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.queue import workers_alive
from workers.store.redis_errors import describe_redis_error
from workers.store.server_check import redis_findings
from workers.store.throttle import Throttle


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One question and its answer."""

    name: str
    ok: bool
    detail: str


def examine(redis: Redis) -> list[Check]:
    """Ask every question; a Redis that does not answer is one of the answers, and is asked no more."""
    now = datetime.now(UTC)
    checks: list[Check] = []
    for name, question in _QUESTIONS:
        try:
            ok, detail = question(redis, now)
        except (ConnectionError, TimeoutError, OSError) as error:
            # Each further question would wait as long as this one did, and whoever asks us gives up.
            away = f"Redis: {describe_redis_error(error)}"
            return checks + [Check(name=left, ok=False, detail=away) for left, _ in _QUESTIONS[len(checks) :]]
        except RedisError as error:
            ok, detail = False, f"Redis: {describe_redis_error(error)}"
        checks.append(Check(name=name, ok=ok, detail=detail))
    return checks


def all_well(checks: Iterable[Check]) -> bool:
    """Say whether every check is."""
    return all(check.ok for check in checks)


def _redis(redis: Redis, _now: datetime) -> tuple[bool, str]:
    """Redis must keep what it is given: on disk, and when memory is short."""
    redis.ping()  # raises where it is away: a finding would not, and the other questions be asked
    found = redis_findings(redis)
    well = all(one.level != "error" for one in found)
    return well, "; ".join(one.detail for one in found) or "takes writes, keeps them"


def _workers(redis: Redis, now: datetime) -> tuple[bool, str]:
    alive = workers_alive(redis, now)
    return alive > 0, f"{alive} alive"


def _waiting(redis: Redis, now: datetime) -> tuple[bool, str]:
    oldest = DeliveryStore(redis).oldest_waiting()
    if oldest is None:
        return True, "nothing waits"
    age = now - oldest
    return age < LONGEST_WAIT, f"the oldest waits for {format_duration(age)}"


def _rules(redis: Redis, _now: datetime) -> tuple[bool, str]:
    """Rules in force are not enough: with their file broken, the next worker could not start."""
    found = cast(list[bytes | None], redis.hmget(keys.RULES, "in_force", "refused"))
    in_force, refused = found
    if in_force is None:
        return False, "no worker has rules in force"
    return refused != b"1", in_force.decode()


def _polar(redis: Redis, now: datetime) -> tuple[bool, str]:
    """A pause of seconds is everyday life; an outage of minutes is not, nor what no waiting mends."""
    throttle = Throttle(redis)
    outage, pause = throttle.outage(), throttle.current_pause()
    again = f"it is asked again in {format_duration(pause.left)}" if pause else "it is asked again now"
    if outage is None:
        waits = f"{pause.reason.rstrip('.')}; {again}" if pause else "no outage"
        return True, waits + _thrift(throttle.reduced_for())
    age, denied = now - outage.since, outage.cause is PauseCause.DENIED
    advice = "; `credits check` says what to do" if denied else ""
    words = f"has taken nothing for {format_duration(age)}: {outage.reason.rstrip('.')}; {again}{advice}"
    return age < LONGEST_WAIT and not denied, words


def _thrift(left: timedelta) -> str:
    return f"; after a 429 we take less than our share for {format_duration(left)} more" if left else ""


_QUESTIONS: tuple[tuple[str, Callable[[Redis, datetime], tuple[bool, str]]], ...] = (
    ("redis", _redis),
    ("workers", _workers),
    ("waiting", _waiting),
    ("rules", _rules),
    ("polar", _polar),
)
