"""Every point between a webhook and its credit at which a process may die, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from h11 import Connection

from app.demo.polar import Status as Answer
from tests.support.crashing_cli import Boundary, name_of
from workers.pipeline.granter import Granter
from workers.pipeline.subscriptions import SubscriptionFinder
from workers.pipeline.worker import GrantWorker
from workers.polar.client import Polar
from workers.store.deliveries import DeliveryStore
from workers.store.instalments import InstalmentQueue
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle


@dataclass(frozen=True, kw_only=True)
class CrashPoint:
    """A boundary, the state it needs, and how many events Polar has then (None: it depends)."""

    boundary: Boundary
    events: int | None = 0
    answers: tuple[Answer, ...] = ()
    in_outage: bool = False
    in_replay: bool = False


def before(method: Callable[..., object], **others: Any) -> CrashPoint:
    return CrashPoint(boundary=Boundary(when="before", method=name_of(method)), **others)


def after(method: Callable[..., object], **others: Any) -> CrashPoint:
    return CrashPoint(boundary=Boundary(when="after", method=name_of(method)), **others)


DOWN = (Answer(503),)

# As above, there is no point within a script: one turns what is due into deliveries, and one settles an
# instalment and puts the next into the set. Here, Polar's events are the later instalments alone.
INSTALMENT_POINTS = {
    "nothing moved yet": before(InstalmentQueue.move_due),
    "moved by the tick": after(InstalmentQueue.move_due),
    "drain taken from the queue": before(GrantWorker.execute_job),
    "leased": after(DeliveryStore.lease),
    "look-up allowed": after(Throttle.background_delay),
    "look-up sent": before(Connection.next_event),
    "look-up answered": after(Polar.subscription),
    "looked up": after(SubscriptionFinder.find),
    "order read": after(Ledger.claim_and_ask),
    "decided": before(Ledger.take_back),
    "claimed": after(Ledger.take_back),
    "request allowed": after(Throttle.take_request),
    "about to be sent": before(Polar.ingest),
    "answer received": after(Polar.ingest, events=2),
    "about to be settled": before(Ledger.settle, events=2),
    "settled, and the next in the set": after(Ledger.settle, events=2),
    "drain ended": after(Granter.drain, events=None),
    "outage met": before(Throttle.pause, answers=DOWN),
    "pause begun": after(Throttle.pause, answers=DOWN),
    "reopened by a replay": after(DeliveryStore.reopen, in_replay=True),
    "read by a replay": after(Ledger.claim_and_ask, in_replay=True),
    "answer to a replay received": after(Polar.ingest, events=1, in_replay=True),
}

# One script stores a delivery and queues its drain job; one script settles ledger and delivery. So there is
# no point in between.
CRASH_POINTS = {
    "drain queued, by the tick": after(GrantWorker.tick),
    "drain taken from the queue": before(GrantWorker.execute_job),
    "delivery leased": after(DeliveryStore.lease),
    "claim written, its request allowed": after(Ledger.claim_and_ask),
    "refund's claim written": after(Ledger.take_back, events=3),
    "refund's request allowed": after(Throttle.take_request, events=3),
    "request sent": before(Connection.next_event, events=None),
    "answer received": after(Polar.ingest, events=3),
    "ledger settled, delivery settled": after(Ledger.settle, events=3),
    "drain ended": after(Granter.drain, events=5),
    "outage met": before(Throttle.pause, answers=DOWN),
    "pause begun": after(Throttle.pause, answers=DOWN),
    "probe leased": after(DeliveryStore.lease, in_outage=True),
    "probe answered": after(Polar.ingest, events=3, in_outage=True),
    "outage over": after(Throttle.end_outage, events=3, in_outage=True),
    "delivery reopened": after(DeliveryStore.reopen, in_replay=True),
    "claim of a replay written": after(Ledger.claim_and_ask, in_replay=True),
}
