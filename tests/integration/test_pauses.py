"""How workers wait for Polar, and how one of them probes for all."""

from datetime import timedelta

import pytest
from redis import Redis

from tests.support.fake_polar import FakePolar
from tests.support.fake_service import TEN
from tests.support.real_stores import accept, due_ms, ids_of, let_leases_end, let_pause_end
from workers.core.delivery import Lease, Status
from workers.monitoring.health import examine
from workers.pipeline.granter import Granter
from workers.store import keys
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle
from workers.timings import DEFAULT_TIMINGS


def test_during_a_pause_nothing_is_leased_and_nothing_is_lost(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    due = due_ms(redis, "msg-1")
    Throttle(redis).pause(60, "Polar answered 503")
    assert store.lease(10).deliveries == ()
    assert due_ms(redis, "msg-1") == due
    assert store.get(["msg-1"])[0].attempts == 0


def test_after_a_pause_one_worker_probes_and_the_others_wait_for_it(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "a", "b", "c", "d")
    Throttle(redis).pause(60, "Polar answered 503")
    let_pause_end(redis)
    probe = store.lease(4)
    assert probe.outages == 1
    assert probe.deliveries
    assert store.lease(4).deliveries == ()


def test_when_the_probe_succeeds_all_workers_continue(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "a", "b", "c", "d")
    throttle = Throttle(redis)
    throttle.pause(60, "Polar answered 503")
    let_pause_end(redis)
    probed = ids_of(store.lease(4).deliveries)
    throttle.end_outage()
    lease = store.lease(4)
    assert lease.outages == 0
    assert sorted(probed + ids_of(lease.deliveries)) == ["a", "b", "c", "d"]


def test_a_released_probe_goes_to_another_worker(redis: Redis, redis_url: str, store: DeliveryStore) -> None:
    accept(redis_url, "a", "b")
    throttle = Throttle(redis)
    throttle.pause(60, "Polar answered 503")
    let_pause_end(redis)
    first = store.lease(1)
    throttle.release_probe()
    second = store.lease(1)
    assert (len(first.deliveries), len(second.deliveries), second.outages) == (1, 1, 1)


def test_a_probe_that_finds_nothing_due_delays_no_other_worker(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    Throttle(redis).pause(60, "Polar answered 503")
    let_pause_end(redis)
    assert store.lease(10).deliveries == ()
    accept(redis_url, "msg-1")
    assert ids_of(store.lease(10).deliveries) == ["msg-1"]


def test_a_probe_whose_worker_is_killed_ends_with_its_lease(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    accept(redis_url, "msg-1")
    Throttle(redis).pause(60, "Polar answered 503")
    let_pause_end(redis)
    store.lease(10)
    assert 0 < redis.pttl(keys.PROBE) <= DEFAULT_TIMINGS.lease_seconds * 1000


def test_the_longer_the_outage_the_smaller_the_probe(
    redis: Redis, redis_url: str, store: DeliveryStore
) -> None:
    """If a large request is what Polar cannot take, a small one gets through in the end."""
    accept(redis_url, *(f"msg-{number}" for number in range(8)))
    throttle, sizes = Throttle(redis), []
    for _ in range(5):
        throttle.pause(60, "Polar answered 500")
        let_pause_end(redis)
        sizes.append(len(store.lease(8).deliveries))
        let_leases_end(redis)
    assert sizes == [4, 2, 1, 1, 1]


def test_workers_that_fail_together_make_one_pause_and_the_longest_applies(redis: Redis) -> None:
    throttle = Throttle(redis)
    throttle.pause(60, "Polar answered 429")
    throttle.pause(5, "Polar answered 503")
    standing = throttle.current_pause()
    assert standing is not None
    assert standing.reason == "Polar answered 429"
    assert timedelta(seconds=5) < standing.left <= timedelta(seconds=60)
    assert redis.hget(keys.OUTAGE, "pauses") == b"1"
    throttle.pause(120, "Polar answered 401")
    longer = throttle.current_pause()
    assert longer is not None
    assert longer.left > timedelta(seconds=60)


def test_pauses_in_a_row_are_counted_until_polar_accepts_something(
    redis: Redis, store: DeliveryStore
) -> None:
    throttle = Throttle(redis)
    for _ in range(3):
        throttle.pause(60, "Polar answered 503")
        let_pause_end(redis)
    assert redis.hget(keys.OUTAGE, "pauses") == b"3"
    throttle.end_outage()
    assert redis.exists(keys.OUTAGE, keys.PROBE) == 0
    assert throttle.current_pause() is None


@pytest.mark.parametrize("seconds", [0, 0.0001])
def test_a_very_short_pause_counts(redis: Redis, seconds: float) -> None:
    Throttle(redis).pause(seconds, "Polar answered 429")
    assert redis.hget(keys.OUTAGE, "pauses") == b"1"


def test_an_accepted_grant_ends_the_outage_whoever_sent_it(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    """A replay may grant all that waited: then no worker is left to find out that Polar is back."""
    accept(redis_url, "msg-1")
    Throttle(redis).pause(60, "Polar answered 503")
    let_pause_end(redis)
    granter = Granter(
        deliveries=store, ledger=ledger, throttle=Throttle(redis), polar=FakePolar(), rules=lambda: TEN
    )
    assert [one.status for one in granter.run(Lease(deliveries=store.reopen(["msg-1"])))] == [Status.GRANTED]
    assert Throttle(redis).outage() is None


def test_a_grant_that_was_under_way_when_polar_failed_does_not_end_the_outage(
    redis: Redis, redis_url: str, store: DeliveryStore, ledger: Ledger
) -> None:
    """Another worker has begun the outage meanwhile; after its pause one worker must ask first."""
    accept(redis_url, "msg-1")
    lease = store.lease(10)
    Throttle(redis).pause(60, "Polar answered 503")
    Granter(
        deliveries=store, ledger=ledger, throttle=Throttle(redis), polar=FakePolar(), rules=lambda: TEN
    ).run(lease)
    assert Throttle(redis).outage() is not None


def test_status_shows_the_pause_and_the_reduced_share_after_a_429(redis: Redis) -> None:
    def said() -> tuple[bool, str]:
        (polar,) = [check for check in examine(redis) if check.name == "polar"]
        return polar.ok, polar.detail

    assert said() == (True, "no outage")
    Throttle(redis).pause_for_rate_limit(60, "Polar answered 429: slow down.")
    thrift = "; after a 429, fewer requests for 5 min more"
    ok, words = said()
    assert ok
    assert words.startswith("Polar answered 429: slow down; next request in ")
    let_pause_end(redis)
    assert said() == (True, "no outage" + thrift)
