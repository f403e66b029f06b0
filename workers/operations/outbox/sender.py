"""Sends credit events to the storefront: several at a time, and each until it is taken or given up.

A killed sender's leases end, and its events are sent again: at least once, and usually once.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from config.log import get_log
from workers.core.batches import in_batches
from workers.core.credit_events import CreditEvent
from workers.core.event_names import EventName
from workers.operations.outbox.pace import Pace
from workers.operations.outbox.reader import EventReader
from workers.operations.outbox.receiver import Storefront
from workers.store.outbox import LeasedEvent, Outbox, Sending
from workers.timings import DEFAULT_TIMINGS, Timings

# What reading a damaged entry of the ledger may raise.
_DAMAGE = (ArithmeticError, LookupError, TypeError, ValueError)

log = get_log(__name__)

_LEASED_FOR_EACH = 4  # events for each request under way, so that no thread waits for Redis
_GATHER_SECONDS = 0.05  # what was sent within this time is recorded together


class EventSender:
    """Sends what is in the outbox."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        reader: EventReader,
        storefront: Storefront,
        jitter: Callable[[], float] = random.random,
        timings: Timings = DEFAULT_TIMINGS,
    ) -> None:
        self._outbox = outbox
        self._reader = reader
        self._storefront = storefront
        self._jitter = jitter
        self._timings = timings
        self._most = _LEASED_FOR_EACH * timings.events_in_flight
        self._pace = Pace(
            most=self._most,
            refusals=timings.events_in_flight,
            longest_pause_seconds=timings.longest_event_pause_seconds,
        )
        self._threads = ThreadPoolExecutor(timings.events_in_flight)
        self._pending: set[Future[Sending | None]] = set()
        self._done: list[Sending] = []  # and not recorded yet

    def send_due(self) -> None:
        """Send what is due; return when nothing is left, or when the storefront needs a pause.

        After an error of Redis, the next call goes on where this one stopped.
        """
        next_lease_at = 0.0
        while True:
            room = self._pace.room - len(self._pending)
            if room > 0 and time.monotonic() >= next_lease_at:
                leased = self._outbox.lease(room)
                self._begin(leased)
                if len(leased) < room:
                    next_lease_at = time.monotonic() + self._timings.event_check_seconds
            if not self._pending:
                self._record()
                return
            wait(self._pending, timeout=_GATHER_SECONDS)
            self._record()

    def resend(self, names: Sequence[EventName]) -> Iterator[Sending]:
        """Send these events once, whatever became of them before; yield what becomes of each."""
        for page in in_batches(names, self._most):
            self._begin(self._outbox.resend(page))
            wait(self._pending)
            yield from self._record()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, leased: Sequence[LeasedEvent]) -> None:
        leased_at = time.monotonic()
        for one, event in zip(leased, self._read(leased), strict=True):
            if isinstance(event, str):
                log.error("credit event cannot be sent", id=one.name.id, reason=event)
                self._done.append(Sending(name=one.name, error=event))
            else:
                self._pending.add(self._threads.submit(self._send, one, event, leased_at))

    def _read(self, leased: Sequence[LeasedEvent]) -> Sequence[CreditEvent | str]:
        try:
            return self._reader.read(leased)
        except _DAMAGE as error:  # what one event finds damaged must not stop the others
            if len(leased) > 1:
                return [event for one in leased for event in self._read([one])]
            log.exception("writing a credit event failed", id=leased[0].name.id)
            return [f"it cannot be written: {type(error).__name__}"]

    def _send(self, one: LeasedEvent, event: CreditEvent, leased_at: float) -> Sending | None:
        """Send one event; None if its lease may end meanwhile, because then another sender sends it."""
        left = self._timings.event_lease_seconds - (time.monotonic() - leased_at)
        if left < self._timings.event_seconds:
            return None
        error = self._post(event)
        if not error:
            return Sending(name=one.name, type=event.type)
        log.warning("credit event refused", id=one.name.id, reason=error, attempt=one.attempts + 1)
        again = self._retry_seconds(one.attempts)
        return Sending(name=one.name, type=event.type, error=error, after_seconds=again)

    def _post(self, event: CreditEvent) -> str:
        try:
            return self._storefront.post(event)
        except Exception as error:  # a bug that one event or its answer triggers must not stop the others
            log.exception("sending a credit event failed", id=event.id)
            return f"it cannot be sent: {type(error).__name__}"

    def _retry_seconds(self, attempts: int) -> float:
        """Return how long to wait after another refusal: twice as long each time, less up to a half."""
        doubled = self._timings.first_event_retry_seconds * 2.0 ** min(attempts, 30)
        return min(doubled, self._timings.longest_event_retry_seconds) * (1 - self._jitter() / 2)

    def _record(self) -> list[Sending]:
        """Record what is done; return it."""
        done = {one for one in self._pending if one.done()}
        self._pending -= done
        for sending in filter(None, (one.result() for one in done)):
            self._pace.note(is_taken=not sending.error)
            self._done.append(sending)
        if given_up := self._outbox.record(self._done):
            log.error("credit events given up", count=given_up, to_do="see credits outbox --failed")
        recorded, self._done = self._done, []
        return recorded
