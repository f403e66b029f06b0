"""What is stored about a customer: all of it is found, and erased where nobody needs it any more."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace
from redis import Redis
from redis.exceptions import ResponseError

from tests.support.builders import CUSTOMER, order_webhook, refund_webhook, rule, rules_of, some_id, webhook
from tests.support.fake_polar import FakePolar
from tests.support.real_stores import accept, let_leases_end
from tests.support.recordings import payload
from workers.core.delivery import Lease, Status
from workers.core.forgetting import body_without_person
from workers.errors import PolarUnreachableError
from workers.operations.forget import CustomerEraser, DeletedCustomers
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.audit import Audit
from workers.store.bodies import compress_body
from workers.store.deliveries import DeliveryStore
from workers.store.erasure import Erasure
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle
from workers.timings import DEFAULT_TIMINGS

RULES = rules_of(
    rule("pack", {"api_usage": 10}, on_refund="revoke"),
    rule("bonus", {"api_usage": 50}, once_per="customer"),
    rule("included", {"images": 3}, triggers=["subscription.cycled"]),
    rule("welcome", {"api_usage": 25}, triggers=["customer.created"]),
)
REFUSED, ANOTHER = some_id(4), some_id(5)

# The usual customer's deliveries: every possible outcome, and every kind of stored data.
THEIRS = {
    "granted": order_webhook(id=some_id(1)),
    "granted before": order_webhook(id=some_id(1)),
    "with a bonus": order_webhook(id=some_id(2)),
    "skipped": order_webhook("order_paid_subscription_cancel_final_invoice", customer_id=CUSTOMER),
    "refund": refund_webhook(300, id=some_id(1)),
    "refund of an order that never came": refund_webhook(300, id=some_id(3)),
    "period": webhook("subscription_cycled", customer_id=CUSTOMER),
    "created": webhook("customer_created", id=CUSTOMER),
}
OTHERS = {
    "another's": order_webhook(id=some_id(7), customer_id=ANOTHER),
    "refused by Polar": order_webhook(id=some_id(6), customer_id=REFUSED),
    "no event": b"no event",
}


@pytest.fixture
def eraser(redis: Redis, store: DeliveryStore, ledger: Ledger) -> CustomerEraser:
    return CustomerEraser(Erasure(redis), store, Audit(redis, ledger))


@pytest.fixture
def settled(redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger) -> None:
    """Accept and settle everything."""
    polar = FakePolar(known=lambda customer: customer != REFUSED)
    granter = Granter(
        deliveries=store, ledger=ledger, throttle=Throttle(redis), polar=polar, rules=lambda: RULES
    )
    for name, body in {**THEIRS, **OTHERS}.items():  # one by one, so that the refund follows its order
        accept(redis_url, name, body=body)
        granter.run(store.lease(DEFAULT_TIMINGS.deliveries_per_lease))
    assert store.count_by_status()[Status.WAITING] == 0


def names(eraser: CustomerEraser, customer_id: str = CUSTOMER) -> set[str]:
    return {one.id for one in eraser.settled(customer_id)}


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


def log_files(redis: Redis) -> Iterator[bytes]:
    folder = Path(cast(dict[str, str], redis.config_get("dir"))["dir"])
    return (file.read_bytes() for file in folder.glob("appendonlydir/*.aof"))


@pytest.mark.usefixtures("settled")
def test_erased_bodies_are_removed_from_the_append_only_file(redis: Redis, eraser: CustomerEraser) -> None:
    stored = cast(bytes, redis.get(keys.body("granted")))
    assert any(stored in file for file in log_files(redis))
    eraser.erase(sorted(THEIRS))
    assert any(stored in file for file in log_files(redis))
    assert eraser.rewrite_log() == ""
    assert not any(stored in file for file in log_files(redis))


def test_a_rewrite_that_began_earlier_is_awaited_and_followed_by_another(
    redis: Redis, eraser: CustomerEraser
) -> None:
    before = redis.info("persistence")["aof_base_size"]
    redis.set("credits:test", "x" * 2_000_000)
    redis.bgrewriteaof()
    redis.delete("credits:test")
    assert eraser.rewrite_log() == ""
    assert redis.info("persistence")["aof_base_size"] < before + 1_000_000


def test_a_server_that_refuses_to_rewrite_is_reported(eraser: CustomerEraser, redis: Redis) -> None:
    """Some providers do."""

    class Managed:
        def info(self, _section: str) -> dict[str, object]:
            raise ResponseError("unknown command 'INFO'")

    eraser._erasure._redis = cast(Redis, Managed())
    assert "unknown command 'INFO'" in eraser.rewrite_log()


def test_without_an_append_only_file_there_is_nothing_to_rewrite(
    eraser: CustomerEraser, redis: Redis
) -> None:
    redis.config_set("appendonly", "no")
    try:
        assert eraser.rewrite_log() == ""
    finally:
        redis.config_set("appendonly", "yes")


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


# A customer.deleted erases by itself, where it is switched on

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


@pytest.mark.usefixtures("settled")
def test_each_delivery_of_a_customer_is_found_once_and_what_was_looked_at_is_told(
    eraser: CustomerEraser,
) -> None:
    seen = {"skipped"}
    found = [one.id for one in eraser.settled(CUSTOMER, seen)]
    assert sorted(found) == sorted(set(THEIRS) - {"skipped"})
    assert seen == set(THEIRS)
