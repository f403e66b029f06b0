"""Lets a year of a subscription pass in seconds: a Redis and a Polar whose clocks a test moves together."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from redis import Redis

from app.demo.polar import Polar
from config.rules import Rules
from tests.support.builders import order_webhook, rule, rules_of, some_id
from tests.support.moving_clock import MovableServer, movable_redis
from tests.support.polar_standin import client_of
from tests.support.real_stores import RETAIN
from tests.support.rulebooks import watch_in
from workers.core.claims import Standing
from workers.core.delivery import Delivery, Outcome
from workers.core.envelope import peek_type
from workers.core.grants import order_subject
from workers.core.manual import ManualRevoke
from workers.operations.disputes import DisputeFinder
from workers.operations.pacing import Pacer
from workers.operations.polar_clock import PolarClockWatch
from workers.pipeline.granter import Granter
from workers.pipeline.subscriptions import SubscriptionFinder
from workers.pipeline.worker import GrantWorker
from workers.polar.client import Polar as Client
from workers.store import keys
from workers.store.clock import ClockWatch, PolarClock
from workers.store.deliveries import DeliveryStore
from workers.store.instalments import InstalmentQueue
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

BOUGHT = datetime(2027, 1, 31, 12, tzinfo=UTC)
"""When the year of the plan begins."""
_LITTLE = timedelta(seconds=4)
YEARLY = "order_paid_subscription_create_yearly"
PRODUCT = "e08ca2f4-e692-4763-9f06-c3534156b990"
CUSTOMER = "d3d8d69a-7c11-4630-9ee3-cb825425e54a"
SUBSCRIPTION = "a9676fd3-64fd-4c31-b6af-8cdead4324bf"
ORDER = some_id(7001)
CENTS = 20_000
"""What the plan costs without tax."""

TRIGGERS = ["subscription_create", "subscription_cycle", "subscription_update"]
REVOKED = {"every": "month", "triggers": TRIGGERS, "on_refund": "revoke", "on_dispute": "revoke"}
MONTHLY = rules_of(rule("pro", {"api_usage": 1000}, **REVOKED))


def date(month: int, day: int, year: int = 2027) -> datetime:
    """Return noon of a day."""
    return datetime(year, month, day, 12, tzinfo=UTC)


def instalments(first: int, last: int, each: int = 1000) -> dict[str, int]:
    """Return the credits of these instalments by their short keys, as ``Years.given`` does."""
    return {f"instalment:{number}": each for number in range(first, last + 1)}


@dataclass
class Years:
    """The service, its Redis and Polar; time passes only when it is told to."""

    movable: MovableServer
    redis: Redis
    polar: Polar
    client: Client
    folder: Path
    rules: Rules = field(default_factory=lambda: MONTHLY)
    now: datetime = BOUGHT

    def __post_init__(self) -> None:
        self._steady = 0.0
        self._began = time.monotonic()
        (self.folder / "rules").mkdir()
        self._rulebook = watch_in(self.folder / "rules").rulebook
        self.store, self.ledger = DeliveryStore(self.redis), Ledger(self.redis, retain=RETAIN)
        self.throttle = Throttle(self.redis)
        self.worker = self.new_worker()
        self.clock_watch = PolarClockWatch(
            clock=PolarClock(self.redis),
            queue=InstalmentQueue(self.redis),
            polar=self.client,
            pacer=Pacer(throttle=self.throttle),
        )
        self.sent = 0
        self.go_to(BOUGHT)
        self.polar.add_customer(CUSTOMER)
        self.polar.add_meter("api_usage")
        self.polar.add_meter("images")

    def go_to(self, moment: datetime, *, redis_ahead: timedelta = timedelta()) -> None:
        """Let time pass until a moment, and a little longer: dates at Polar have whole seconds."""
        passes = (moment - self.now).total_seconds()
        self.now, self._steady = moment, self._steady + passes
        self.polar.ahead = moment + _LITTLE - datetime.now(UTC)
        self.set_redis_clock(redis_ahead)

    def set_redis_clock(self, ahead: timedelta = timedelta()) -> None:
        """Set the clock of Redis, to the right time or so far from it."""
        self.movable.set_clock(round((self.polar.ahead + ahead).total_seconds()))

    def new_worker(self) -> GrantWorker:
        """Return a worker with a steady clock that nobody can set."""
        worker = GrantWorker(self.redis, rulebook=self._rulebook, retain=RETAIN)
        worker._clock = ClockWatch(self.redis, lambda: time.monotonic() + self._steady)
        return worker

    @property
    def granter(self) -> Granter:
        """Return the granter of a new worker process."""
        return Granter(
            deliveries=self.store,
            ledger=self.ledger,
            throttle=self.throttle,
            polar=self.client,
            rules=lambda: self.rules,
            subscriptions=SubscriptionFinder(self.client, self.throttle),
            jitter=lambda: 0.0,
        )

    def work(self, granter: Granter | None = None) -> list[Outcome]:
        """Tick, look at Polar's clock as the background process does, and work until nothing is due."""
        outcomes: list[Outcome] = []
        self.worker.tick()  # it notices a step of the clock
        for _ in range(100):
            self.clock_watch.run_if_due()
            self.worker.tick()
            lease = self.store.lease(500)
            if not lease.deliveries:
                return outcomes
            outcomes += (granter or self.granter).run(lease)
        raise AssertionError(f"it never ends: {outcomes[-3:]}")

    def work_until(self, moment: datetime, *, step: timedelta = timedelta(days=1)) -> None:
        """Let time pass in steps, and work after each."""
        while self.now < moment:
            self.go_to(min(moment, self.now + step))
            self.work()

    def receive(self, body: bytes) -> str:
        """Store a webhook, as the receiver does; return its id."""
        self.sent += 1
        delivery_id = f"msg-{self.sent}"
        self.store.store_and_lease([(delivery_id, peek_type(body) or "", body)])
        self.redis.zadd(keys.DUE, {delivery_id: 1})
        return delivery_id

    def buy(self, order: str = ORDER, **data: Any) -> bytes:
        """Sell a year of the plan; return the webhook, which has arrived."""
        at = self.now
        period = {"current_period_start": _iso(at), "current_period_end": _iso(at.replace(year=at.year + 1))}
        body = json.loads(order_webhook(YEARLY, id=order, created_at=_iso(at), **data))
        body["data"]["subscription"] |= period
        whole = json.dumps(body).encode()
        self.polar.add_order(**body["data"])
        self.polar.add_subscription(**{**body["data"]["subscription"], "started_at": _iso(BOUGHT)})
        self.receive(whole)
        return whole

    def change(self, **fields: Any) -> None:
        """Change the subscription at Polar; no webhook says so."""
        known = self.polar.subscriptions[SUBSCRIPTION].model_dump(mode="json")
        self.polar.add_subscription(**{**known, **fields})

    def refund(self, cents: int, order: str = ORDER) -> None:
        """Refund the order up to ``cents`` in all, and receive the webhook."""
        data = self.polar.orders[order].model_dump(mode="json")
        data |= {
            "refunded_amount": cents,
            "status": "refunded" if cents >= CENTS else "partially_refunded",
        }
        self.polar.add_order(**data)
        self.receive(json.dumps({"type": "order.refunded", "data": data}).encode())

    def lose_dispute(self, cents: int) -> None:
        """Lose a dispute about so much; the reconciler finds it."""
        self.polar.add_dispute(ORDER, amount=cents)
        pacer = Pacer(throttle=self.throttle)
        finder = DisputeFinder(store=self.store, ledger=self.ledger, polar=self.client, pacer=pacer)
        list(finder.take_back(finder.find_new(), self.granter))

    def revoke(self, meter: str | None = None) -> None:
        """Take the order's credits back by hand, on one meter or on all."""
        request = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER, meter=meter)
        self.store.store_and_lease([request.delivery()])
        self.redis.zadd(keys.DUE, {request.delivery_id: 1})

    def given(self, meter: str = "api_usage") -> dict[str, Decimal]:
        """Return the credits that Polar has, by the key without the order and the meter."""
        events = (event for event in self.polar.events if event["name"] == meter)
        return {
            _short(event["external_id"], meter): -Decimal(str(event["metadata"]["units"])) for event in events
        }

    def dates(self) -> dict[str, datetime]:
        """Return when Polar got each event, by its calendar, to the minute; by the short key."""
        return {
            _short(one.sent["external_id"], one.sent["name"]): one.timestamp.replace(second=0, microsecond=0)
            for one in self.polar.stored
        }

    def balance(self, meter: str = "api_usage") -> Decimal:
        """Return what the customer has at Polar."""
        return self.polar.balance(CUSTOMER, meter)

    def standing(self, order: str = ORDER) -> Standing:
        """Return what the ledger has of the order."""
        return self.ledger.find(order_subject(order))

    def delivery(self, number: int, order: str = ORDER, meter: str = "api_usage") -> Delivery | None:
        """Return the delivery of an instalment."""
        found = self.store.get([f"instalment-{order}-{number}-{meter}"])
        return found[0] if found else None

    def to_come(self) -> dict[str, datetime]:
        """Return when each instalment to come is looked at next, by its number and meter."""
        found: Any = self.redis.zrange(keys.INSTALMENTS, 0, -1, withscores=True)
        return {
            member.decode().split(" ", 1)[1]: datetime.fromtimestamp(score / 1000, tz=UTC)
            for member, score in found
        }

    def check(self) -> None:
        """Check that the credits at Polar are those in the ledger, and that nothing was sent early."""
        standing = self.standing()
        for claim in standing.claims:
            for grant in claim.grants:
                key = _short(grant.key, grant.meter)
                if grant.meter in claim.settled:
                    assert self.given(grant.meter)[key] == grant.units


@contextmanager
def years(folder: Path) -> Iterator[Years]:
    """Run a Redis, and yield the service at the moment of the sale."""
    polar = Polar(requests_per_minute=10**6)
    with (
        movable_redis(folder / "redis") as movable,
        movable.server.client() as redis,
        client_of(polar) as client,
    ):
        client._note_clock = PolarClock(redis).note
        yield Years(movable=movable, redis=redis, polar=polar, client=client, folder=folder)


def shifted(granter: Granter, **parts: Any) -> Granter:
    """Return a granter with other parts."""
    return replace(granter, **parts)


def _short(key: str, meter: str) -> str:
    kind, _, *rest = key.removeprefix("credits:").removesuffix(f":{meter}").split(":")
    return ":".join([kind, *rest])


def _iso(moment: datetime) -> str:
    return moment.isoformat()
