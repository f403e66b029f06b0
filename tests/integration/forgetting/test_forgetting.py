"""What is stored about a customer: all of it is found, and erased where nobody needs it any more."""

from typing import cast

import pytest
from redis import Redis

from tests.support.builders import CUSTOMER, some_id
from tests.support.forgetting import OTHERS, REFUSED, THEIRS, names
from tests.support.real_stores import accept, let_leases_end
from tests.support.recordings import payload
from workers.core.delivery import Status
from workers.operations.forget import CustomerEraser
from workers.store import keys
from workers.store.audit import Audit
from workers.store.bodies import compress_body
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.timings import DEFAULT_TIMINGS


@pytest.mark.usefixtures("settled")
def test_all_that_is_stored_about_a_customer_is_found_and_nothing_else(eraser: CustomerEraser) -> None:
    assert names(eraser) == set(THEIRS)
    assert names(eraser, REFUSED) == {"refused by Polar"}
    assert names(eraser, some_id(8)) == set()


@pytest.mark.usefixtures("settled")
def test_an_erased_delivery_keeps_everything_but_its_body(
    store: DeliveryStore, eraser: CustomerEraser
) -> None:
    before = {one.id: one for one in store.newest()}
    assert set(eraser.erase(sorted(THEIRS))) == set(THEIRS)
    for one in store.newest():
        if one.id in THEIRS:
            assert one.erased_at is not None
            assert store.body(one.id) == b""
            assert (one.status, one.reason) == (before[one.id].status, before[one.id].reason)
            assert (one.order_id, one.customer_id) == (before[one.id].order_id, CUSTOMER)
        else:
            assert (one, store.body(one.id)) == (before[one.id], OTHERS[one.id])
    assert names(eraser) == set()


@pytest.mark.usefixtures("settled")
def test_no_personal_data_is_left_in_redis(redis: Redis, eraser: CustomerEraser) -> None:
    """Neither in a reason, nor in a job, nor in a list."""
    eraser.erase(sorted(THEIRS))
    left = [cast(bytes, redis.dump(name)) for name in cast(list[bytes], redis.keys())]
    for personal in (b"Lovelace", b"@example.com", b"usr_", *map(compress_body, THEIRS.values())):
        assert not any(personal in value for value in left)


@pytest.mark.usefixtures("settled")
def test_the_ledger_stays_as_it_was(redis: Redis, ledger: Ledger, eraser: CustomerEraser) -> None:
    audit = Audit(redis, ledger)
    before = (list(audit.newest()), list(audit.of_customer(CUSTOMER)))
    eraser.erase(sorted(THEIRS))
    assert (list(audit.newest()), list(audit.of_customer(CUSTOMER))) == before
    assert len(before[0]) > 4


@pytest.mark.usefixtures("settled")
def test_erasing_twice_reports_the_time_of_the_first(store: DeliveryStore, eraser: CustomerEraser) -> None:
    eraser.erase(["granted"])
    (before,) = store.get(["granted"])
    assert eraser.erase(["granted", "nobody"]) == []
    assert store.get(["granted", "nobody"]) == [before]


@pytest.mark.usefixtures("settled")
def test_an_erased_delivery_cannot_be_reopened(store: DeliveryStore, eraser: CustomerEraser) -> None:
    eraser.erase(["refused by Polar"])
    assert store.reopen(["refused by Polar"]) == ()
    assert store.get(["refused by Polar"])[0].status is Status.FAILED
    assert store.lease(DEFAULT_TIMINGS.deliveries_per_lease).deliveries == ()


@pytest.mark.usefixtures("settled")
def test_the_same_delivery_once_more_is_a_duplicate_and_stores_nothing(
    redis_url: str, store: DeliveryStore, eraser: CustomerEraser
) -> None:
    eraser.erase(["granted"])
    accept(redis_url, "granted", body=THEIRS["granted"])
    assert store.body("granted") == b""


@pytest.mark.usefixtures("settled")
def test_an_erased_delivery_expires_at_the_same_time_as_before(redis: Redis, eraser: CustomerEraser) -> None:
    before = redis.pttl(keys.delivery("skipped"))
    eraser.erase(["skipped"])
    assert 0 < redis.pttl(keys.delivery("skipped")) <= before
    assert redis.exists(keys.body("skipped")) == 0


def test_a_waiting_delivery_is_found_by_its_body_and_keeps_it(
    redis: Redis, redis_url: str, store: DeliveryStore, eraser: CustomerEraser
) -> None:
    for name, body in {**THEIRS, **OTHERS}.items():
        accept(redis_url, name, body=body)
    store.lease(2)
    assert {one.id for one in eraser.waiting(CUSTOMER)} == set(THEIRS)
    assert list(eraser.settled(CUSTOMER)) == []
    assert eraser.erase(sorted(THEIRS)) == []
    let_leases_end(redis)
    bodies = {one.id: one.body for one in store.lease(DEFAULT_TIMINGS.deliveries_per_lease).deliveries}
    assert bodies == {**THEIRS, **OTHERS}


@pytest.mark.usefixtures("settled")
def test_a_delivery_that_is_being_replayed_counts_as_waiting(
    store: DeliveryStore, eraser: CustomerEraser
) -> None:
    store.reopen(["granted"])
    assert names(eraser) == set(THEIRS) - {"granted"}
    assert [one.id for one in eraser.waiting(CUSTOMER)] == ["granted"]


def test_many_bodies_are_erased_in_batches(redis: Redis, eraser: CustomerEraser) -> None:
    ids = [f"msg-{number}" for number in range(1201)]
    for one in ids:
        redis.hset(keys.delivery(one), "status", "skipped")
        redis.set(keys.body(one), compress_body(payload("order_paid_purchase")))
    assert eraser.erase(ids) == ids
    assert redis.keys("credits:body:*") == []


@pytest.mark.usefixtures("settled")
def test_a_delivery_replayed_during_the_confirmation_is_reported_as_waiting(
    store: DeliveryStore, eraser: CustomerEraser
) -> None:
    found = list(eraser.settled(CUSTOMER))
    store.reopen(["granted"])
    erased = eraser.erase([one.id for one in found])
    assert set(erased) == set(THEIRS) - {"granted"}
    assert [one.id for one in eraser.still_waiting(found)] == ["granted"]
    assert store.body("granted") == THEIRS["granted"]


@pytest.mark.usefixtures("settled")
def test_each_delivery_of_a_customer_is_found_once_and_what_was_looked_at_is_told(
    eraser: CustomerEraser,
) -> None:
    seen = {"skipped"}
    found = [one.id for one in eraser.settled(CUSTOMER, seen)]
    assert sorted(found) == sorted(set(THEIRS) - {"skipped"})
    assert seen == set(THEIRS)
