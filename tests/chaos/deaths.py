"""Every boundary between a webhook and its credit at which a process may die, by name."""

from dataclasses import dataclass
from typing import Any

from app.demo.polar import Status as Answer
from tests.support.crashing_cli import Boundary


@dataclass(frozen=True, kw_only=True)
class Death:
    """A boundary, what leads up to it, and how many events Polar has by then (None: who knows)."""

    boundary: Boundary
    events: int | None = 0
    answers: tuple[Answer, ...] = ()
    in_outage: bool = False
    in_replay: bool = False


def before(method: str, **others: Any) -> Death:
    return Death(boundary=Boundary(when="before", method=method), **others)


def after(method: str, **others: Any) -> Death:
    return Death(boundary=Boundary(when="after", method=method), **others)


DOWN = (Answer(503),)

# A delivery is stored and its drain queued in one script, and so are ledger and delivery settled: Redis
# knows no moment in between.
DEATHS = {
    "drain queued, by the tick": after("workers.pipeline.worker:GrantWorker.tick"),
    "drain taken from the queue": before("workers.pipeline.worker:GrantWorker.execute_job"),
    "delivery leased": after("workers.store.deliveries:DeliveryStore.lease"),
    "claim written": after("workers.store.ledger:Ledger.claim"),
    "refund's claim written": after("workers.store.ledger:Ledger.take_back"),
    "request allowed": after("workers.store.throttle:Throttle.take"),
    "request sent": before("h11:Connection.next_event", events=None),
    "answer received": after("workers.polar.client:Polar.ingest", events=5),
    "ledger settled, delivery settled": after("workers.store.ledger:Ledger.settle", events=5),
    "drain ended": after("workers.pipeline.granter:Granter.drain", events=5),
    "outage met": before("workers.store.throttle:Throttle.begin", answers=DOWN),
    "pause begun": after("workers.store.throttle:Throttle.begin", answers=DOWN),
    "probe leased": after("workers.store.deliveries:DeliveryStore.lease", in_outage=True),
    "probe answered": after("workers.polar.client:Polar.ingest", events=5, in_outage=True),
    "outage over": after("workers.store.throttle:Throttle.over", events=5, in_outage=True),
    "delivery reopened": after("workers.store.deliveries:DeliveryStore.reopen", in_replay=True),
    "claim of a replay written": after("workers.store.ledger:Ledger.claim", in_replay=True),
}
