"""Sends alerts to ``CREDITS_ALERT_URL``: reads the state from Redis at each tick and posts what is due.

This module does the I/O. Which alerts are due, and their texts, are decided in ``workers.monitoring.alerts``.
"""

import atexit
import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from redis import Redis
from redis.exceptions import RedisError

from config.errors import ConfigError
from config.log import get_log
from config.network import find_proxy, ssl_context
from workers.core.delivery import Status
from workers.core.outbox_state import OutboxState
from workers.monitoring.alerts import LONGEST_WAIT, AlertKind, AlertState, alert_body, due_alerts, over
from workers.store import keys
from workers.store.arrivals import read_arrivals
from workers.store.deliveries import DeliveryStore
from workers.store.losses import LOST, TO_DO
from workers.store.outbox_view import read_attempts
from workers.store.scripts import load_script, moment_of
from workers.store.unconfirmed import Doubts
from workers.timings import DEFAULT_TIMINGS, Timings

log = get_log(__name__)

_MUTE_SECONDS = 600  # at most one alert of each kind in this time
# After this time without a check, `steady_since` starts anew: longer than the longest job, which delays a
# check, and shorter than LONGEST_WAIT.
_GAP_SECONDS = 240
_MOST_REASONS = 3

_LASTING_KINDS = (
    AlertKind.STUCK, AlertKind.POLAR, AlertKind.LEDGER, AlertKind.WEBHOOKS, AlertKind.ENDPOINT,
    AlertKind.EVENTS,
)  # fmt: skip
_KEYS = [
    keys.ALERTS, keys.WATCH, keys.deliveries(Status.FAILED), keys.deliveries(Status.WAITING), keys.OUTAGE,
    keys.AUDIT, keys.MISMATCHES, keys.LOST, keys.WEBHOOKS, keys.ENDPOINT,
    keys.OUTBOX, keys.OUTBOX_REFUSED, keys.OUTBOX_ATTEMPTS, keys.OUTBOX_SENT, *map(keys.muted, AlertKind),
]  # fmt: skip
_ARGS = [_GAP_SECONDS, _MUTE_SECONDS * 1000, *(kind.value for kind in _LASTING_KINDS)]


class Alerter:
    """Checks for due alerts in one worker, on behalf of all of them, and sends them."""

    def __init__(
        self,
        redis: Redis,
        *,
        url: str,
        tells_storefront: bool = False,
        timings: Timings = DEFAULT_TIMINGS,
    ) -> None:
        self._redis = redis
        self._tells_storefront = tells_storefront
        self._url = url
        self._timeout_seconds = timings.alert_seconds
        self._deliveries = DeliveryStore(redis)
        self._doubts = Doubts(redis)
        self._read_state = redis.register_script(load_script("alert_situation"))
        self._sender = threading.Thread()
        atexit.register(self.finish)

    def check(self) -> None:
        """Send the alerts that are due and that no other worker sends; one round trip if there are none."""
        answer = json.loads(self._read_state(keys=_KEYS, args=_ARGS))
        state = _state(answer if self._tells_storefront else answer | {"outbox": None})
        kinds = due_alerts(state)
        # While a request hangs, start no other: another worker may succeed, or this one at a later tick.
        if kinds and not self._sender.is_alive():
            self._send_in_background([kind for kind in kinds if self._reserve(kind)], state)

    def finish(self) -> None:
        """Wait for an alert that is being sent, at most as long as its timeout."""
        if self._sender.is_alive():
            self._sender.join(self._timeout_seconds)

    def _reserve(self, kind: AlertKind) -> bool:
        """Reserve this kind of alert for this worker; return whether no other worker has reserved it."""
        return bool(self._redis.set(keys.muted(kind), 1, nx=True, ex=_MUTE_SECONDS))

    def _send_in_background(self, kinds: Iterable[AlertKind], state: AlertState) -> None:
        bodies = {kind: alert_body(kind, state, self._reasons(kind, state)) for kind in kinds}
        if not bodies:
            return
        # A thread, because the URL may hang. A daemon, because a stopping worker waits for it only in
        # ``finish``.
        self._sender = threading.Thread(target=self._send, args=(bodies, state), daemon=True)
        try:
            self._sender.start()
        except RuntimeError as error:  # the system has no more threads
            log.error("alert failed", kinds=list(bodies), reason=str(error))  # noqa: TRY400 - no bug

    def _reasons(self, kind: AlertKind, state: AlertState) -> list[str]:
        if kind is AlertKind.FAILED:
            newest = self._deliveries.newest([Status.FAILED])
            return list(dict.fromkeys(one.reason for one in islice(newest, _MOST_REASONS)))
        if kind is AlertKind.MISMATCH:
            return [str(one) for one in self._doubts.mismatches(_MOST_REASONS)]
        return [state.outage_reason] if kind is AlertKind.POLAR else []

    def _send(self, bodies: Mapping[AlertKind, Mapping[str, Any]], state: AlertState) -> None:
        for kind, body in bodies.items():
            try:
                post(self._url, body, timeout_seconds=self._timeout_seconds)
            except Exception as error:  # noqa: BLE001 - no failed alert may stop a worker
                # It stays due and is sent again when the kind is no longer muted.
                log.error("alert failed", kind=kind.value, reason=describe_failure(error))  # noqa: TRY400 - it may show the URL
                continue
            log.info("alert sent", kind=kind.value)
            with suppress(RedisError):  # then the alert is repeated
                self._record(kind, state)

    def _record(self, kind: AlertKind, state: AlertState) -> None:
        """Record what was reported; if the worker dies before this, another one repeats the alert."""
        if kind is AlertKind.FAILED:
            self._redis.hset(keys.ALERTS, "failed_reported", state.failed_ever)
        elif kind is AlertKind.MISMATCH:
            self._redis.hset(keys.ALERTS, "mismatched_reported", state.mismatched_ever)
        elif kind is AlertKind.WELL:
            self._redis.hdel(keys.ALERTS, *over(state))
        else:
            self._redis.hset(keys.ALERTS, kind.value, 1)


def _state(answer: Mapping[str, Any]) -> AlertState:
    return AlertState(
        now=moment_of(answer["now"]),
        steady_since=moment_of(answer["steady_since"]),
        failed=answer["failed"],
        failed_ever=answer["failed_ever"],
        failed_reported=answer["failed_reported"],
        mismatched=answer["mismatched"],
        mismatched_ever=answer["mismatched_ever"],
        mismatched_reported=answer["mismatched_reported"],
        waiting=answer["waiting"],
        oldest_waiting=_moment(answer.get("oldest_waiting")),
        last_credit=_moment(answer.get("last_credit")),
        outage_since=_moment(answer.get("outage_since")),
        outage_reason=answer.get("outage_reason", ""),
        lasting=_lasting(answer),
        alerted=_kinds_marked(_LASTING_KINDS, answer["alerted"]),
        muted=_kinds_marked(AlertKind, answer["muted"]),
    )


def _lasting(answer: Mapping[str, Any]) -> dict[AlertKind, str]:
    came = read_arrivals(answer["webhooks"], moment_of(answer["now"]))
    found = {
        AlertKind.LEDGER: f"{LOST}: {TO_DO}" if answer["is_lost"] else "",
        AlertKind.WEBHOOKS: came.problem,
        AlertKind.ENDPOINT: answer["endpoint_problem"],
        AlertKind.EVENTS: _outbox_problem(answer),
    }
    return {kind: text for kind, text in found.items() if text}


def _outbox_problem(answer: Mapping[str, Any]) -> str:
    """Return why the storefront takes no credit events; empty just after a start: they need some time."""
    found, now = answer.get("outbox"), moment_of(answer["now"])
    if not found or now - moment_of(answer["steady_since"]) < LONGEST_WAIT:
        return ""
    _, error = read_attempts(found.get("attempts"))
    outbox = OutboxState(
        waiting=found["waiting"],
        oldest=_moment(found["oldest"]),
        last_sent=_moment(found.get("last_sent")),
        error=error,
    )
    return outbox.problem(now)


def _moment(milliseconds: str | None) -> datetime | None:
    return None if milliseconds is None else moment_of(milliseconds)


def _kinds_marked(kinds: Iterable[AlertKind], marks: Iterable[int]) -> frozenset[AlertKind]:
    return frozenset(kind for kind, mark in zip(kinds, marks, strict=True) if mark)


class _NoRedirect(HTTPRedirectHandler):
    """Refuses redirects: following one would turn the POST into a GET, and nobody would see the alert."""

    def redirect_request(self, *_: object) -> None:
        """Return None, which makes the redirect an HTTPError."""


def post(url: str, body: Mapping[str, Any], *, timeout_seconds: float) -> None:
    """Post JSON once; raises an error for anything but a 2xx.

    Uses urllib because httpx logs the URL at LOG_LEVEL=debug.
    """
    request = Request(  # noqa: S310 - the settings allow only http and https
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "credit-granter"},
    )
    proxy = find_proxy(url)
    through = ProxyHandler({url.partition(":")[0]: proxy} if proxy else {})
    opener = build_opener(through, HTTPSHandler(context=ssl_context()), _NoRedirect)
    opener.open(request, timeout=timeout_seconds).close()


def describe_failure(error: Exception) -> str:
    """Return what went wrong, without the error's own text, which may contain the secret URL."""
    if isinstance(error, ConfigError):
        return str(error)  # it names a variable of the environment, not the URL
    if isinstance(error, HTTPError):
        return f"CREDITS_ALERT_URL answered {error.code}"
    cause = error.reason if isinstance(error, URLError) else error
    name = type(cause if isinstance(cause, Exception) else error).__name__
    return f"CREDITS_ALERT_URL did not answer: {name}"
