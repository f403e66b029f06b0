"""Whatever a lost ledger has seen before its rebuild, it has what Polar has after that, and takes no more."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from redis import Redis

from config.rules import Rules
from tests.support.builders import CUSTOMER, METERS, order_webhook, refund_webhook, rule, rules_of, some_id
from tests.support.examples import examples
from tests.support.ledgers import come, compare, rebuild, refunding_operations_at, run, subjects_in
from tests.support.polar_orders import Operations
from tests.support.polar_standin import ingest
from workers.core.grants import Grant, order_subject
from workers.core.manual import ManualRevoke
from workers.operations.rebuild.comparison import LedgerComparison

PACK = rule("pack", {"api_usage": "0.7", "images": 9}, triggers=["purchase"], on_refund="revoke")
DEARER = rule("pack", {"api_usage": 70, "images": 9}, triggers=["purchase"], on_refund="revoke")
KEPT = rule("kept", {"api_usage": 100, "seconds": "1.5"})
BONUS = rule("bonus", {"api_usage": 50, "seconds": 1}, once_per="customer")
FILES = [
    rules_of(PACK),
    rules_of(DEARER),
    rules_of(PACK, KEPT),
    rules_of(DEARER.replace('"pack"', '"starter"'), KEPT),
    rules_of(PACK.replace("revoke", "keep"), BONUS),
    rules_of(DEARER, BONUS.replace("50", "60")),
]

Story = Sequence[tuple[Rules, bytes | tuple[str, str, bytes]]]
"""What comes, each by the rules of its day: webhooks, and deliveries by hand."""

_numbers = st.integers(1, 2)
_files = st.sampled_from(FILES)
_paid = st.builds(lambda number: order_webhook(id=some_id(number)), _numbers)
_refunded = st.builds(
    lambda number, cents: refund_webhook(cents, id=some_id(number)),
    _numbers,
    st.sampled_from([1, 333, 600, 1000]),
)
_revoked = st.builds(
    lambda number: ManualRevoke(order_id=some_id(number), customer_id=CUSTOMER).delivery(), _numbers
)
stories = st.lists(st.tuples(_files, st.one_of(_paid, _paid, _refunded, _refunded, _revoked)), max_size=7)


def live(operations: Operations, story: Story) -> None:
    """Process all of this, each with the rules of its day."""
    for rules, one in story:
        operations.rules = rules
        if isinstance(one, bytes):
            come(operations, one)
        else:
            run(operations, [one])


def grants_in(operations: Operations) -> dict[str, Grant]:
    """Return everything in the ledger, by key."""
    standings = operations.ledger.find_many(subjects_in(operations.redis))
    return {one.key: one for each in standings for claim in each.claims for one in claim.grants}


def sums_at_polar(operations: Operations, *, taken: bool) -> dict[tuple[str, str], Decimal]:
    """Return what Polar has granted for orders, or taken back: by order and meter."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for event in operations.polar.events:
        metadata, meter = event["metadata"], event["name"]
        units = -Decimal(str(metadata[METERS[meter]]))
        if (units < 0) is taken and ":customer:" not in metadata["key"]:
            sums[metadata["order_id"], meter] += abs(units)
    return sums


def sums_in_ledger(operations: Operations) -> Iterator[tuple[tuple[str, str], Decimal]]:
    """Yield what was taken back according to the ledger, by order and meter."""
    for order_id in (some_id(1), some_id(2)):
        standing = operations.ledger.find(order_subject(order_id))
        for grant in standing.own.grants if standing.own else ():
            yield (order_id, grant.meter), sum(standing.taken.get(grant.meter, {}).values(), Decimal(0))


def until_nothing_is_left(operations: Operations) -> LedgerComparison:
    for _ in range(2):
        assert rebuild(operations).changed == []
    return compare(operations)


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=stories, meanwhile=stories)
def test_the_ledger_has_what_polar_has_and_no_refund_takes_beyond_it(
    redis: Redis, before: Story, meanwhile: Story
) -> None:
    """Except for meters that a new claim does not have: nothing is counted for these, and it is reported."""
    redis.flushall()
    with refunding_operations_at(redis) as operations:
        live(operations, before)
        redis.flushall()
        live(operations, meanwhile)
        found = until_nothing_is_left(operations)
        assert (found.missing, found.corrections) == ({}, {})
        assert {one.kept_because for one in found.kept} <= {"its claim has no grant on this meter"}
        known, given_, taken = (
            grants_in(operations),
            *(sums_at_polar(operations, taken=one) for one in (False, True)),
        )
        for one in (one for one in operations.polar.events if one["external_id"] in known):
            assert known[one["external_id"]].units == -Decimal(str(one["metadata"][METERS[one["name"]]]))
        for of, units in sums_in_ledger(operations):
            assert units == taken[of]
        live(operations, [(operations.rules, refund_webhook(1000, id=some_id(number))) for number in (1, 2)])
        for of, units in sums_at_polar(operations, taken=True).items():
            assert units <= max(given_[of], taken[of])


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=stories,
    meanwhile=stories,
    copies=st.lists(st.tuples(st.integers(0, 20), st.sampled_from([-1, 1])), min_size=1, max_size=3),
)
def test_what_somebody_has_copied_with_another_amount_changes_nothing_that_stands(
    redis: Redis,
    before: Story,
    meanwhile: Story,
    copies: list[tuple[int, int]],
) -> None:
    redis.flushall()
    with refunding_operations_at(redis) as operations:
        live(operations, before)
        redis.flushall()
        live(operations, meanwhile)
        copied = {
            copy(operations, place, hours) for place, hours in copies if place < len(operations.polar.events)
        }
        stood = {key: one for key, one in grants_in(operations).items() if key in copied}
        until_nothing_is_left(operations)
        assert stood.items() <= grants_in(operations).items()


def copy(operations: Operations, place: int, hours: int) -> str:
    """Send an event again with another amount and time; return its key."""
    true = operations.polar.stored[place]
    metadata = dict(true.metadata)
    property_name = METERS[str(true.sent["name"])]
    metadata[property_name] = metadata[property_name] * 2
    sent = {name: one for name, one in true.sent.items() if name != "external_id"}
    assert ingest(operations.polar, sent | {"metadata": metadata}).status_code == 200
    operations.polar.stored[-1] = replace(
        operations.polar.stored[-1], timestamp=true.timestamp + timedelta(hours=hours)
    )
    return str(metadata["key"])
