"""Tells people at ``CREDITS_ALERT_URL``: looks at each tick, lets one worker of all speak, and posts."""

import atexit
import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import copy_context
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

import httpx
import structlog
from redis import Redis
from redis.exceptions import RedisError

from workers.core.delivery import Status
from workers.monitoring.alerts import AlertKind, AlertState, alert_body, due_alerts
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.scripts import load_script, moment_of
from workers.timings import DEFAULT_TIMINGS, Timings

log = structlog.get_logger(__name__)

_HUSH_SECONDS = 600  # nobody wants to hear of one kind of trouble more often
_GAP_SECONDS = 240  # longer than the longest job keeps a worker from looking, shorter than what is told
_MOST_REASONS = 3

_TROUBLES = (AlertKind.STUCK, AlertKind.POLAR)
_KEYS = [
    keys.ALERTS, keys.WATCH, keys.deliveries(Status.FAILED), keys.deliveries(Status.WAITING), keys.OUTAGE,
    keys.AUDIT, *map(keys.hush, AlertKind),
]  # fmt: skip


class Alerter:
    """One worker's eye on how things stand for all of them, and its voice."""

    def __init__(self, redis: Redis, *, url: str, timings: Timings = DEFAULT_TIMINGS) -> None:
        self._redis = redis
        self._url = url
        self._timeout_seconds = timings.alert_seconds
        self._deliveries = DeliveryStore(redis)
        self._watch = redis.register_script(load_script("alert_situation"))
        self._voice = threading.Thread()
        atexit.register(self.finish)

    def check(self) -> None:
        """Tell people what is due, unless another worker does; takes one round trip where nothing is."""
        state = _view(json.loads(self._watch(keys=_KEYS, args=[_GAP_SECONDS])))
        kinds = due_alerts(state)
        # While one hangs there is none behind it: another worker may have better luck, or this one later.
        if kinds and not self._voice.is_alive():
            self._speak([kind for kind in kinds if self._may_tell(kind)], state)

    def finish(self) -> None:
        """Give a message that is under way as long as an answer may take."""
        if self._voice.is_alive():
            self._voice.join(self._timeout_seconds)

    def _may_tell(self, kind: AlertKind) -> bool:
        return bool(self._redis.set(keys.hush(kind), 1, nx=True, ex=_HUSH_SECONDS))

    def _speak(self, kinds: Iterable[AlertKind], state: AlertState) -> None:
        messages = {kind: alert_body(kind, state, self._reasons(kind, state)) for kind in kinds}
        if not messages:
            return
        # Apart, for the URL may hang; a daemon, for a worker that is told to stop waits for it no longer
        # than ``finish`` does.
        alerted = partial(copy_context().run, self._tell, messages, state)  # its log lines say whose they are
        self._voice = threading.Thread(target=alerted, daemon=True)
        try:
            self._voice.start()
        except RuntimeError as error:  # the system has no more threads
            log.error("alert failed", kinds=list(messages), reason=str(error))  # noqa: TRY400 - no bug

    def _reasons(self, kind: AlertKind, state: AlertState) -> list[str]:
        if kind is AlertKind.FAILED:
            newest = self._deliveries.newest([Status.FAILED])
            return list(dict.fromkeys(one.reason for one in islice(newest, _MOST_REASONS)))
        return [state.outage_reason] if kind is AlertKind.POLAR else []

    def _tell(self, messages: Mapping[AlertKind, Mapping[str, Any]], state: AlertState) -> None:
        for kind, words in messages.items():
            try:
                post(self._url, words, timeout_seconds=self._timeout_seconds)
            except Exception as error:  # noqa: BLE001 - whatever it is, the worker works on
                # The same is due again when the hush is over, and not before.
                log.error("alert failed", kind=kind.value, reason=_reason(error))  # noqa: TRY400 - the URL
                continue
            log.info("alert sent", kind=kind.value)
            with suppress(RedisError):  # then they are told again
                self._note(kind, state)

    def _note(self, kind: AlertKind, state: AlertState) -> None:
        """Write down what people know now: where a worker dies before, another tells them."""
        if kind is AlertKind.FAILED:
            self._redis.hset(keys.ALERTS, "known", state.failed_ever)
        elif kind is AlertKind.WELL:
            self._redis.hdel(keys.ALERTS, *state.alerted)
        else:
            self._redis.hset(keys.ALERTS, kind.value, 1)


def _view(answer: Mapping[str, Any]) -> AlertState:
    return AlertState(
        now=moment_of(answer["now"]),
        steady_since=moment_of(answer["same_since"]),
        failed=answer["failed"],
        failed_ever=answer["parked"],
        failed_reported=answer["known"],
        waiting=answer["waiting"],
        oldest_waiting=_moment(answer.get("oldest_waiting")),
        last_credit=_moment(answer.get("last_credit")),
        outage_since=_moment(answer.get("away_since")),
        outage_reason=answer.get("away_reason", ""),
        alerted=_marked(_TROUBLES, answer["told"]),
        muted=_marked(AlertKind, answer["hushed"]),
    )


def _moment(milliseconds: str | None) -> datetime | None:
    return None if milliseconds is None else moment_of(milliseconds)


def _marked(kinds: Iterable[AlertKind], marks: Iterable[int]) -> frozenset[AlertKind]:
    return frozenset(kind for kind, mark in zip(kinds, marks, strict=True) if mark)


class _NoRedirect(HTTPRedirectHandler):
    """What is posted would be got from elsewhere, and nobody told."""

    def redirect_request(self, *_: object) -> None:
        """Let a redirect be the error that it is."""


def post(url: str, words: Mapping[str, Any], *, timeout_seconds: float) -> None:
    """Post JSON once; raises whatever goes wrong, anything but a 2xx included.

    Not by httpx: at LOG_LEVEL=debug that logs the URL. It lends its certificates.
    """
    request = Request(  # noqa: S310 - the settings take http and https alone
        url,
        data=json.dumps(words).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "credit-granter"},
    )
    opener = build_opener(HTTPSHandler(context=httpx.create_ssl_context()), _NoRedirect)
    opener.open(request, timeout=timeout_seconds).close()


def _reason(error: Exception) -> str:
    """Return what went wrong without the text of the error, which may show the URL."""
    if isinstance(error, HTTPError):
        return f"CREDITS_ALERT_URL answered {error.code}"
    cause = error.reason if isinstance(error, URLError) else error
    name = type(cause if isinstance(cause, Exception) else error).__name__
    return f"CREDITS_ALERT_URL did not answer: {name}"
