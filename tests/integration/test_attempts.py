"""What is kept of a delivery's attempts: when each lease began, and who replayed it."""

from redis import Redis

from tests.support.real_stores import accept, let_leases_end, now_ms, settled_story
from workers.core.delivery import Delivery, Status
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.scripts import milliseconds_of


def one(store: DeliveryStore, id_: str = "msg-1") -> Delivery:
    (found,) = store.get([id_])
    return found


def numbers(delivery: Delivery) -> list[int]:
    return [lease.number for lease in delivery.leases]


def test_each_lease_is_kept_with_its_time(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "msg-1")
    assert one(store).leases == ()
    before = now_ms(redis)
    store.lease(10)
    let_leases_end(redis)
    store.lease(10)
    after = now_ms(redis)
    first, second = one(store).leases
    assert (first.number, second.number) == (1, 2)
    assert before - 1 <= milliseconds_of(first.at) <= milliseconds_of(second.at) <= after


def test_a_replay_is_kept_with_its_time_and_whoever_wanted_it(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger, Status.FAILED)
    before = now_ms(redis)
    store.reopen(["msg-1"], replayed_by="credits replay")
    let_leases_end(redis)
    store.reopen(["msg-1"])  # not wanted by anybody: a command goes on after an outage
    first, second = one(store).leases[1:]
    (replay,) = one(store).replays
    assert (replay.by, replay.at, first.number, second.number) == ("credits replay", first.at, 2, 3)
    assert before - 1 <= milliseconds_of(replay.at)


def test_what_an_operator_makes_due_is_leased_by_a_worker_later(
    redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    settled_story(redis_url, store, ledger, Status.FAILED)
    store.make_due(["msg-1"], by_name=True, replayed_by="Ada Lovelace at the desk")
    assert ([replay.by for replay in one(store).replays], numbers(one(store))) == (
        ["Ada Lovelace at the desk"],
        [1],
    )
    (leased,) = store.lease(10).deliveries
    assert (leased.attempt, numbers(one(store)), one(store).attempts) == (3, [1, 3], 3)


def test_only_the_newest_ten_attempts_are_kept(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "msg-1")
    store.lease(1)
    for _ in range(6):
        store.make_due(["msg-1"], replayed_by="Ada at the desk")
        store.lease(1)
    found = one(store)
    assert found.attempts == 13
    assert numbers(found) == [5, 7, 9, 11, 13]
    assert len(found.replays) == 5
    for _ in range(20):
        let_leases_end(redis)
        store.lease(1)
    assert numbers(one(store)) == list(range(24, 34))
    assert one(store).replays == ()
    assert redis.hlen(keys.delivery("msg-1")) == 16
    assert redis.object("encoding", keys.delivery("msg-1")) == b"listpack"
