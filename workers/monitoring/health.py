"""The checks behind ``/healthz`` and ``credits status``: Redis, workers, waiting deliveries, rules, Polar."""

from collections.abc import Callable, Iterable
from datetime import timedelta

from msgspec import Struct
from redis import Redis
from redis.exceptions import (
    ConnectionError,  # noqa: A004 - Redis has its own, unrelated to Python's
    RedisError,
    TimeoutError,  # noqa: A004
)

from config.durations import format_duration
from config.wording import joined
from workers.core.clocks import CLOCK_ADVICE, describe_difference
from workers.core.pauses import PauseCause
from workers.monitoring.alerts import LONGEST_WAIT
from workers.store.clock import PolarClock, clock_ahead, redis_now
from workers.store.deliveries import DeliveryStore
from workers.store.endpoint_note import EndpointNotes
from workers.store.format import format_findings
from workers.store.instalments import InstalmentQueue
from workers.store.losses import LOST, TO_DO, lost_at
from workers.store.queue import foreign_workers, workers_alive
from workers.store.reconcile_note import ReconcileNote
from workers.store.redis_errors import describe_redis_error
from workers.store.rules_note import read_rules_note
from workers.store.server_check import describe_no_answer, redis_findings
from workers.store.throttle import Throttle


class Check(Struct, frozen=True, kw_only=True):
    """The result of one check; ``detail`` is for operators."""

    name: str
    ok: bool
    detail: str


def examine(redis: Redis) -> list[Check]:
    """Run every check; once Redis does not answer, the remaining checks fail without asking it."""
    checks: list[Check] = []
    for name, run in _CHECKS:
        try:
            ok, detail = run(redis)
        except (ConnectionError, TimeoutError, OSError) as error:
            # Each further check would wait as long as this one, and the caller would give up.
            away = f"Redis: {describe_no_answer(redis, error)}"
            return checks + [Check(name=left, ok=False, detail=away) for left, _ in _CHECKS[len(checks) :]]
        except RedisError as error:
            ok, detail = False, f"Redis: {describe_redis_error(error)}"
        checks.append(Check(name=name, ok=ok, detail=detail))
    return checks


def all_well(checks: Iterable[Check]) -> bool:
    """Return whether every check passed."""
    return all(check.ok for check in checks)


START_WORKERS = "start credits work, or credits up, and look at its log if it ends again"


def _redis(redis: Redis) -> tuple[bool, str]:
    """Check that Redis keeps what it stores: on disk, and when memory is short."""
    redis.ping()  # raises if Redis is away; a finding would not, and the other checks would then wait too
    found = [one for one in redis_findings(redis) if one.level != "ok"]
    well = all(one.level != "error" for one in found)
    return well, "; ".join(one.detail for one in found) or "accepts writes and keeps them"


def _clock(redis: Redis) -> tuple[bool, str]:
    """Check that this host's clock agrees with Redis's and Polar's: a receiver's decides what is stale."""
    clocks = {"Redis's": clock_ahead(redis), "Polar's": PolarClock(redis).ahead()}
    known = {other: ahead for other, ahead in clocks.items() if ahead is not None}
    problems = [text for other, ahead in known.items() if (text := describe_difference(ahead, other))]
    if problems:
        return False, "; ".join([*problems, CLOCK_ADVICE])
    return True, f"agrees with {' and '.join(known)}"


def _ledger(redis: Redis) -> tuple[bool, str]:
    """Check that this version knows the format, and that Redis has all that it has ever confirmed.

    The latter as far as processes remember it.
    """
    if too_new := format_findings(redis):
        return False, too_new[0].detail
    noticed = lost_at(redis)
    if noticed is None:
        return True, "nothing is known to be lost"
    return False, f"{LOST}, noticed {format_duration(redis_now(redis) - noticed)} ago: {TO_DO}"


def _workers(redis: Redis) -> tuple[bool, str]:
    alive = workers_alive(redis)
    foreign = foreign_workers(redis)
    note = (
        f"; not ours, but on our queue: {joined(foreign)} (stop them: they take our jobs)" if foreign else ""
    )
    hint = "" if alive else f": {START_WORKERS}"
    return alive > 0, f"{alive} alive{hint}{note}"


def _waiting(redis: Redis) -> tuple[bool, str]:
    oldest = DeliveryStore(redis).oldest_waiting()
    if oldest is None:
        return True, "no delivery is waiting"
    age = redis_now(redis) - oldest
    return age < LONGEST_WAIT, f"the oldest delivery has been waiting for {format_duration(age)}"


def _instalments(redis: Redis) -> tuple[bool, str]:
    """Check that instalments become deliveries when they are due; then the check of what waits has them."""
    queue = InstalmentQueue(redis)
    late = queue.overdue()
    if late and late > LONGEST_WAIT:
        hint = f"the next should have been looked at {format_duration(late)} ago: {START_WORKERS}"
        return False, hint
    return True, f"{queue.count()} to come"


def _rules(redis: Redis) -> tuple[bool, str]:
    """Check that rules are in force and their file is usable: with a broken file no worker can start."""
    note = read_rules_note(redis)
    if not note.summary:
        return False, f"no worker has rules in force: {START_WORKERS}"
    return not note.is_file_refused, note.summary


def _polar(redis: Redis) -> tuple[bool, str]:
    """Check for outages of Polar: short pauses are normal, long ones and a refused token are not."""
    throttle = Throttle(redis)
    outage, pause = throttle.outage(), throttle.current_pause()
    next_try = f"next request in {format_duration(pause.left)}" if pause else "next request now"
    if outage is None:
        detail = f"{pause.reason.rstrip('.')}; {next_try}" if pause else "no outage"
        return True, detail + _reduced_rate(throttle.reduced_for())
    age, denied = redis_now(redis) - outage.since, outage.cause is PauseCause.DENIED
    advice = "; `credits check` says what to do" if denied else ""
    detail = (
        f"has accepted nothing for {format_duration(age)}: {outage.reason.rstrip('.')}; {next_try}{advice}"
    )
    return age < LONGEST_WAIT and not denied, detail


def _endpoint(redis: Redis) -> tuple[bool, str]:
    """Check what the last look at the endpoint found; while nobody has looked, nothing is wrong with it."""
    problem, detail = EndpointNotes(redis).read()
    return not problem, problem or detail


def _reconciler(redis: Redis) -> tuple[bool, str]:
    """Check that the reconciler's rounds are not interrupted by a problem that a person must solve."""
    problem = ReconcileNote(redis).read()
    return not problem, problem or "nothing interrupts its rounds"


def _reduced_rate(left: timedelta) -> str:
    return f"; after a 429, fewer requests for {format_duration(left)} more" if left else ""


_CHECKS: tuple[tuple[str, Callable[[Redis], tuple[bool, str]]], ...] = (
    ("redis", _redis),
    ("clock", _clock),
    ("ledger", _ledger),
    ("workers", _workers),
    ("waiting", _waiting),
    ("instalments", _instalments),
    ("rules", _rules),
    ("polar", _polar),
    ("endpoint", _endpoint),
    ("reconciler", _reconciler),
)
