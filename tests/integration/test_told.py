"""Which orders the ledger remembers to have skipped, and for how long."""

import pytest
from redis import Redis

from tests.support.builders import grant_of, some_id
from tests.support.real_stores import now_ms, outcome, plan_of
from workers.core.delivery import Status
from workers.core.envelope import CUSTOMER_CREATED, ORDER_PAID, ORDER_REFUNDED
from workers.core.look_back import LONGEST_LOOK_BACK
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger

ORDER = some_id(1)  # which ``outcome`` is about
DAY_MS = 86_400_000
TOLD_MS = LONGEST_LOOK_BACK.total_seconds() * 1000


def settle(
    store: DeliveryStore, ledger: Ledger, status: Status = Status.SKIPPED, type_: str = ORDER_PAID
) -> None:
    (leased,) = store.store_and_lease([("msg-1", type_, b"{}")])
    ledger.settle([], [outcome(leased, status)])


def test_a_skipped_order_is_told_and_no_other(store: DeliveryStore, ledger: Ledger) -> None:
    settle(store, ledger)
    assert ledger.told([some_id(2), ORDER, some_id(3)]) == {ORDER}


@pytest.mark.parametrize("status", [Status.WAITING, Status.FAILED, Status.GRANTED])
def test_an_order_with_another_outcome_is_not_told(
    store: DeliveryStore, ledger: Ledger, status: Status
) -> None:
    settle(store, ledger, status)
    assert ledger.told([ORDER]) == set()


@pytest.mark.parametrize("type_", [ORDER_REFUNDED, CUSTOMER_CREATED])
def test_a_skipped_delivery_of_another_type_tells_no_order(
    store: DeliveryStore, ledger: Ledger, type_: str
) -> None:
    settle(store, ledger, type_=type_)
    assert ledger.told([ORDER]) == set()


def test_an_order_that_the_ledger_has_anyway_takes_no_memory(
    redis: Redis, store: DeliveryStore, ledger: Ledger
) -> None:
    ledger.claim([("msg-0", plan_of(grant_of(1)))])
    settle(store, ledger)
    assert not list(redis.scan_iter(f"{keys.TOLD}*"))


def test_it_is_remembered_for_as_long_as_anything_looks_back(
    redis: Redis, store: DeliveryStore, ledger: Ledger
) -> None:
    settle(store, ledger)
    (key,) = redis.scan_iter(f"{keys.TOLD}*")
    lives_ms = redis.pttl(key)
    assert TOLD_MS < lives_ms <= 2 * TOLD_MS
    settle(store, ledger)  # replayed
    assert redis.pttl(key) <= lives_ms


@pytest.mark.parametrize("periods", [-1, 1])
def test_it_is_found_in_the_period_before_and_if_the_clock_was_ahead_in_the_next(
    redis: Redis, store: DeliveryStore, ledger: Ledger, periods: int
) -> None:
    settle(store, ledger)
    (key,) = redis.scan_iter(f"{keys.TOLD}*")
    period = int(now_ms(redis) // TOLD_MS)
    assert f"{keys.TOLD}{period}:" in key.decode()
    redis.rename(key, key.replace(b"%d" % period, b"%d" % (period + periods)))
    assert ledger.told([ORDER]) == {ORDER}
