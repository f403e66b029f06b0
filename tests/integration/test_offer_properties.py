"""Whatever is killed, refused and replayed: each key gives once, and nobody gets more than the most."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from tests.support.builders import offer, offer_request, offers_of, some_id
from tests.support.examples import examples
from tests.support.fake_polar import FakePolar
from tests.support.killed import KilledError
from tests.support.real_stores import RETAIN, let_leases_end, let_pause_end
from workers.core.delivery import Lease, Outcome, Status
from workers.core.grants import Grant
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.core.offers import OfferRequest, offer_delivery
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.offers import OfferStore
from workers.store.throttle import Throttle

MOST = 2
RULES = offers_of(
    offer("capped", {"api_usage": 5, "images": 1}, most_per_customer=MOST),
    offer("once", {"api_usage": 2}, once_per="customer"),
)
OFFERS = ("capped", "once")
CUSTOMERS = (some_id(1), some_id(2))
KEYS = ("k1", "k2", "k3")


class Found:
    """Finds every customer under its own id."""

    def find(self, requests: Iterable[OfferRequest]) -> tuple[Mapping[str, str | None], str]:
        return {one.delivery_id: one.customer_id for one in requests}, ""


class Doomed(Ledger):
    """A ledger whose worker is killed before it settles."""

    def settle(
        self,
        accepted: Sequence[Grant],
        outcomes: Sequence[Outcome],
        unconfirmed: Collection[str] = (),
        following: Mapping[str, NextInstalment] = NONE_FOLLOWS,
    ) -> set[str]:
        raise KilledError


class Shop:
    """A real Redis, a fake of Polar, and workers that may die."""

    def __init__(self, redis: Redis, redis_url: str) -> None:
        self.redis = redis
        self.url = redis_url
        self.unknown: set[str] = set()
        self.polar = FakePolar(known=lambda id_: id_ not in self.unknown)
        self.store, self.ledger = DeliveryStore(redis), Ledger(redis, retain=RETAIN)

    @property
    def granter(self) -> Granter:
        return Granter(
            deliveries=self.store,
            ledger=self.ledger,
            throttle=Throttle(self.redis, requests_per_minute=100_000),
            polar=self.polar,
            customers=Found(),
            rules=lambda: RULES,
        )

    def request(self, name: str, key: str, customer: str) -> None:
        async def ask() -> None:
            async with AsyncRedis.from_url(self.url) as redis:
                await OfferStore(redis).request(offer_request(name, key, customer))

        asyncio.run(ask())

    def run(self, granter: Granter) -> None:
        let_pause_end(self.redis)
        with suppress(KilledError):
            granter.run(self.store.lease(100))
        let_leases_end(self.redis)
        self.redis.delete(keys.PROBE)  # it ends with its worker's lease

    def check(self) -> None:
        """Check what must hold at every moment."""
        got: Counter[tuple[str, str]] = Counter()
        owners: dict[str, str] = {}
        for key, event in self.polar.events.items():
            if not key.endswith(":api_usage"):
                continue
            _, _, name, *_ = key.split(":")
            got[name, event["customer_id"]] += 1
            assert owners.setdefault(key, event["customer_id"]) == event["customer_id"]
        assert all(number <= (MOST if name == "capped" else 1) for (name, _), number in got.items())
        for customer in CUSTOMERS:
            counted = int(self.redis.hget(keys.OFFERED + customer, "capped") or 0)
            assert counted == self._places(customer) <= MOST

    def _places(self, customer: str) -> int:
        facts = list(self.redis.scan_iter("credits:offer:capped:key:*"))
        owners = [self.redis.hget(fact, "customer") for fact in facts if self.redis.hexists(fact, "place")]
        return owners.count(customer.encode())


Step = Callable[[Shop], object]


def _requests(name: str, key: str, customer: str) -> Step:
    return lambda shop: shop.request(name, key, customer)


def _replays(name: str, key: str, *, by_name: bool) -> Step:
    def step(shop: Shop) -> None:
        let_pause_end(shop.redis)
        with suppress(KilledError):
            shop.granter.run(
                Lease(deliveries=shop.store.reopen([offer_delivery(name, key)], by_name=by_name))
            )

    return step


def _works(shop: Shop) -> None:
    shop.run(shop.granter)


def _is_killed_before_polar(shop: Shop) -> None:
    shop.polar.script = [KilledError()]
    shop.run(shop.granter)
    shop.polar.script = []


def _is_killed_before_settling(shop: Shop) -> None:
    shop.run(replace(shop.granter, ledger=Doomed(shop.redis, retain=RETAIN)))


def _loses_an_answer(shop: Shop) -> None:
    shop.polar.loses_answers = 1
    shop.run(shop.granter)
    shop.polar.loses_answers = 0


def _dismisses_what_failed(shop: Shop) -> None:
    failed = [one.id for one in shop.store.newest([Status.FAILED])]
    shop.store.dismiss(failed, retain=RETAIN)


def _forgets(customer: str) -> Step:
    """Let Polar not know the customer from now on, or know them. A customer who was deleted never returns."""

    def step(shop: Shop) -> None:
        had_credits = any(event["customer_id"] == customer for event in shop.polar.events.values())
        if customer not in shop.unknown or not had_credits:
            shop.unknown.symmetric_difference_update({customer})

    return step


_names, _keys, _customers = map(st.sampled_from, (OFFERS, KEYS, CUSTOMERS))
steps = st.one_of(
    st.builds(_requests, _names, _keys, _customers),
    st.builds(_requests, _names, _keys, _customers),
    st.builds(_replays, _names, _keys, by_name=st.booleans()),
    st.builds(_forgets, _customers),
    st.sampled_from(
        [
            _works,
            _works,
            _is_killed_before_polar,
            _is_killed_before_settling,
            _loses_an_answer,
            _dismisses_what_failed,
        ]
    ),
)


@settings(
    max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(steps, min_size=4, max_size=25))
def test_each_key_gives_once_and_nobody_more_than_the_most(
    redis: Redis, redis_url: str, story: list[Step]
) -> None:
    redis.flushall()
    shop = Shop(redis, redis_url)
    for step in story:
        step(shop)
        shop.check()
    for _ in range(3):
        shop.run(shop.granter)
    shop.check()
    assert not list(shop.store.newest([Status.WAITING]))
