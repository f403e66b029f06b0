"""A customer.deleted erases by itself, where it is switched on."""

from typing import cast

import pytest
from msgspec.structs import replace
from redis import Redis

from tests.support.builders import CUSTOMER, order_webhook, webhook
from tests.support.fake_polar import FakePolar
from tests.support.forgetting import OTHERS, RULES, THEIRS, names
from tests.support.real_stores import accept, let_leases_end
from workers.core.delivery import Lease, Status
from workers.core.forgetting import body_without_person
from workers.errors import PolarUnreachableError
from workers.operations.forget import CustomerEraser, DeletedCustomers
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.erasure import Erasure
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle
from workers.timings import DEFAULT_TIMINGS

DELETED = webhook("customer_deleted", id=CUSTOMER)
PERSONAL = (b"Gone1", b"gone1@example.com", b"Lovelace", b"123 Market St")


@pytest.fixture
def forgetful(redis: Redis, store: DeliveryStore, ledger: Ledger, eraser: CustomerEraser) -> Granter:
    """Return a granter that erases what is stored about deleted customers."""
    return Granter(
        deliveries=store,
        ledger=ledger,
        throttle=Throttle(redis),
        polar=FakePolar(),
        rules=lambda: RULES,
        forgetting=DeletedCustomers(eraser, Erasure(redis)),
    )


def work(granter: Granter, store: DeliveryStore) -> None:
    granter.run(store.lease(DEFAULT_TIMINGS.deliveries_per_lease))


@pytest.mark.usefixtures("settled")
def test_a_deleted_customers_bodies_are_erased_its_own_included(
    redis_url: str, store: DeliveryStore, forgetful: Granter, eraser: CustomerEraser
) -> None:
    accept(redis_url, "deleted", body=DELETED)
    work(forgetful, store)
    (deleted,) = store.get(["deleted"])
    erased = f"customer deleted: {len(THEIRS)} other bodies erased"
    assert (deleted.status, deleted.reason, deleted.customer_id) == (Status.SKIPPED, erased, CUSTOMER)
    assert {name for name in (*THEIRS, *OTHERS) if store.body(name)} == set(OTHERS)
    assert store.body("deleted") == body_without_person(CUSTOMER)
    assert names(eraser) == {"deleted"}


@pytest.mark.usefixtures("settled")
def test_a_deletion_told_twice_erases_nothing_more(
    redis_url: str, store: DeliveryStore, forgetful: Granter
) -> None:
    for name in ("deleted", "deleted by another endpoint"):
        accept(redis_url, name, body=DELETED)
    work(forgetful, store)
    forgetful.run(Lease(deliveries=store.reopen(["deleted"])))
    assert {one.status for one in store.get(["deleted", "deleted by another endpoint"])} == {Status.SKIPPED}
    assert store.count_by_status()[Status.WAITING] == 0


def test_what_arrives_in_the_same_lease_is_settled_before_it_is_erased(
    redis: Redis, redis_url: str, store: DeliveryStore, forgetful: Granter
) -> None:
    accept(redis_url, "deleted", body=DELETED)
    accept(redis_url, "bought", body=order_webhook())
    work(forgetful, store)
    bought, deleted = store.get(["bought", "deleted"])
    assert (bought.status, deleted.status) == (Status.GRANTED, Status.SKIPPED)
    assert (store.body("bought"), bought.erased_at is None) == (b"", False)
    stored = [cast(bytes, redis.dump(name)) for name in cast(list[bytes], redis.keys())]
    assert not any(personal in value for value in stored for personal in PERSONAL)


def test_a_deletion_waits_for_deliveries_that_still_need_their_bodies(
    redis: Redis, redis_url: str, store: DeliveryStore, forgetful: Granter
) -> None:
    """Else the body of such a delivery would stay for as long as deliveries are kept."""
    polar = FakePolar(script=[PolarUnreachableError("no answer")])
    accept(redis_url, "bought", body=order_webhook())
    accept(redis_url, "deleted", body=DELETED)
    work(replace(forgetful, polar=polar), store)
    bought, deleted = store.get(["bought", "deleted"])
    assert (bought.status, deleted.status) == (Status.WAITING, Status.WAITING)
    assert deleted.reason == (
        "customer deleted: 1 delivery about them must be settled before the last bodies are erased"
    )
    assert store.body("bought")
    redis.delete(keys.PAUSE)
    let_leases_end(redis)
    work(forgetful, store)
    assert {one.status for one in store.get(["bought", "deleted"])} == {Status.GRANTED, Status.SKIPPED}
    assert store.body("bought") == b""


@pytest.mark.usefixtures("settled")
def test_without_the_setting_a_deletion_erases_nothing(
    redis_url: str, store: DeliveryStore, forgetful: Granter
) -> None:
    """A receiver with the setting may meet workers without it."""
    accept(redis_url, "deleted", body=DELETED)
    work(replace(forgetful, forgetting=None), store)
    (deleted,) = store.get(["deleted"])
    assert deleted.status is Status.SKIPPED
    assert "with CREDITS_FORGET_DELETED=1 it erases" in deleted.reason
    assert all(store.body(name) for name in THEIRS)


def test_a_deletion_that_cannot_be_read_fails(
    redis_url: str, store: DeliveryStore, forgetful: Granter
) -> None:
    accept(redis_url, "deleted", body=webhook("customer_deleted", id="somebody"))
    work(forgetful, store)
    (deleted,) = store.get(["deleted"])
    assert (deleted.status, deleted.reason) == (
        Status.FAILED,
        "the body cannot be read: data.id: not an id (a UUID)",
    )
