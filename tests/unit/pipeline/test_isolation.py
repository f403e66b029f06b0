"""Bad events among hundreds: each fails with its reason, and all others are ingested."""

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.builders import grant_of, some_id
from tests.support.examples import examples
from tests.support.fake_polar import Event, FakePolar
from workers.core.grants import Grant
from workers.core.outcomes import IngestionResult
from workers.pipeline.ingestion import Ingestion
from workers.timings import DEFAULT_TIMINGS

STRANGER = "customer_id: Customer does not exist."
MISSHAPEN = "name: String should have at most 128 characters"
STONE = "Polar answered 500 (6 times, while others passed)"

_MOST_CULPRITS = 25
_MOST_ROUNDS = 300  # three times the most that was seen, where nearly all of a small batch is bad
_SHARE = DEFAULT_TIMINGS.events_per_request  # of one lease, while Polar is well
_FIRST_SALE = 10_000  # numbers from here on are of orders that come later


def grant_number(number: int, kind: str | None = None) -> Grant:
    """Return a grant whose key sorts as its number does, for a customer of its own."""
    meter = "m" * 129 if kind == MISSHAPEN else "api_usage"
    return grant_of(number, meter=meter, customer_id=some_id(number))


@dataclass(kw_only=True)
class Shop:
    """Grants that wait for a Polar which minds some of them, each in its way; it goes on selling."""

    kinds: Mapping[int, str]
    """Of the bad ones, by number."""
    waiting: deque[Grant]
    polar: FakePolar = field(init=False)
    accepted: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    strikes: Counter[str] = field(default_factory=Counter)
    outages: int = 0
    sold: set[str] = field(default_factory=set)
    """The keys of orders that came during the work."""

    def __post_init__(self) -> None:
        stones = {grant_number(number).key for number in self._those(STONE)}
        strangers = {some_id(number) for number in self._those(STRANGER)}
        self.polar = FakePolar(
            known=lambda customer_id: customer_id not in strangers,
            breaks_at=lambda event: event["external_id"] in stones,
        )

    def _those(self, kind: str) -> list[int]:
        return [number for number, one in self.kinds.items() if one == kind]

    @property
    def bad(self) -> dict[str, str]:
        """Return Polar's reasons for refusing the bad ones, by key."""
        return {grant_number(number, kind).key: kind for number, kind in self.kinds.items()}

    def sell(self) -> None:
        """Let another, good order come."""
        sale = grant_number(_FIRST_SALE + len(self.sold))
        self.sold.add(sale.key)
        self.waiting.append(sale)

    def round(self) -> list[list[Event]]:
        """Work on a lease's share as a worker does; return the requests that it took."""
        most = max(1, _SHARE // 2**self.outages)
        share = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
        self.polar.requests.clear()
        done = Ingestion(
            self.polar.ingest,
            may_send=lambda: True,
            strikes=self.strikes,
            outages=self.outages,
            jitter=lambda: 0.0,
        ).run(share, leased_at=time.monotonic())
        self._write_down(share, done)
        return list(self.polar.requests)

    def work_off(self) -> list[list[list[Event]]]:
        """Work until nothing waits; return the requests of each round.

        When none but bad ones are left it sells once a round: by others that pass, what breaks alone is
        told from a Polar that is broken.
        """
        rounds = [self.round()]
        while self.waiting:
            assert len(rounds) < _MOST_ROUNDS, "it does not end"
            if all(grant.key in self.bad for grant in self.waiting):
                self.sell()
            rounds.append(self.round())
        return rounds

    def _write_down(self, share: list[Grant], done: IngestionResult) -> None:
        self.accepted |= done.accepted
        self.refused |= done.refused
        self.strikes.update(done.later.keys())
        self.outages = 0 if done.accepted or done.refused else self.outages
        self.outages += done.pause is not None
        self.waiting.extend(one for one in share if one.key not in done.accepted | done.refused.keys())


def shop_of(count: int, kinds: Mapping[int, str]) -> Shop:
    return Shop(kinds=kinds, waiting=deque(grant_number(n, kinds.get(n)) for n in range(count)))


@st.composite
def shops(draw: st.DrawFn) -> Shop:
    """Draw up to 500 grants, of which up to a quarter are bad in any of three ways."""
    count = draw(st.integers(1, DEFAULT_TIMINGS.events_per_request))
    kind = st.sampled_from([STRANGER, MISSHAPEN, STONE])
    culprits = st.dictionaries(st.integers(0, count - 1), kind, max_size=min(count // 4, _MOST_CULPRITS))
    return shop_of(count, draw(culprits))


many_shops = settings(max_examples=examples(60))


@many_shops
@given(shops())
def test_bad_events_fail_with_their_reason_and_all_others_are_ingested(shop: Shop) -> None:
    everybody = {grant.key for grant in shop.waiting}
    shop.work_off()
    assert shop.refused == shop.bad
    assert shop.accepted == everybody - shop.bad.keys() | shop.sold


@many_shops
@given(shops())
def test_each_round_takes_few_requests_by_how_many_are_bad(shop: Shop) -> None:
    """One for all, one more for each named event, and two for each halving that finds an unnamed one."""
    count = len(shop.waiting)
    stones = list(shop.kinds.values()).count(STONE)
    halvings = stones * ceil(log2(count + 1))
    most = 2 + (len(shop.kinds) - stones) + 2 * halvings  # 2: what is sold may make one too many
    rounds = shop.work_off()
    assert all(len(requests) <= most for requests in rounds)
    # Six strikes for each unnamed bad event, and at most as many pauses between them.
    assert sum(map(len, rounds)) <= 20 + 20 * (len(shop.kinds) + 1) * ceil(log2(count + 1))


@many_shops
@given(shops())
def test_every_request_is_sorted_and_of_at_most_500_events(shop: Shop) -> None:
    """So that workers cannot deadlock in Polar's database, and far below the 4,681 at which it breaks."""
    for sent in (sent for requests in shop.work_off() for sent in requests):
        ids = [event["external_id"] for event in sent]
        assert ids == sorted(set(ids))
        assert 1 <= len(ids) <= 500


@pytest.mark.parametrize(
    ("kinds", "requests"),
    [
        ({}, [1]),
        ({7: STRANGER}, [2]),
        ({7: STRANGER, 8: STRANGER, 400: STRANGER}, [2]),
        ({7: STRANGER, 400: MISSHAPEN}, [3]),  # the shape hides the customer
    ],
    ids=["all well", "one stranger", "three strangers", "a shape and a stranger"],
)
def test_what_polar_names_is_out_of_five_hundred_in_a_request_for_each_kind(
    kinds: dict[int, str], requests: list[int]
) -> None:
    assert [len(one) for one in shop_of(500, kinds).work_off()] == requests


def test_one_bad_event_in_five_hundred_lets_all_others_pass_within_four_rounds() -> None:
    """The first 500 is taken for an outage; then the batch is halved until the bad event is alone."""
    shop = shop_of(500, {123: STONE})
    everybody = {grant.key for grant in shop.waiting}
    rounds = [len(shop.round()) for _ in range(4)]
    assert rounds[0] == 1
    assert max(rounds) <= 17
    assert shop.accepted == everybody - shop.bad.keys()
    assert shop.refused == {}  # it may be Polar's fault, and pass another time
