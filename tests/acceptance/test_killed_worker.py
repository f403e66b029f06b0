"""Two workers are killed at the worst moments; the next one finishes what they began.

Both die by SIGKILL while Polar delays its answer: the first after Polar has stored the grant, the second
before. The lease runs for its real time, so both cases share one run.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
from starlette.responses import Response

from app.demo.polar import Polar, Slow, create_app
from app.main import create_app as create_receiver
from tests.support.builders import order_webhook, some_id
from tests.support.processes import Running, credits_in, eventually, living, post, some_polar
from tests.support.real_stores import claim_of
from tests.support.servers import running
from workers.core.claims import Claim
from workers.core.delivery import Delivery, Status
from workers.core.grants import order_subject
from workers.embedded.server import EmbeddedRedis
from workers.store.stores import Stores

pytestmark = pytest.mark.heavy  # a lease must end in real time

NEVER_SECONDS = 3600.0  # longer than any test
TAKEN, UNSENT = some_id(1), some_id(2)  # the orders (and their customers) of the two cases


@dataclass(frozen=True)
class CommitThenKeepQuiet:
    """A fault: Polar stores the events at once, but its answer comes too late."""

    async def __call__(self, answer: Callable[[], Response]) -> Response:
        """Answer after the delay."""
        response = answer()
        await asyncio.sleep(NEVER_SECONDS)
        return response


@dataclass(frozen=True, kw_only=True)
class Aftermath:
    """The state after the first two workers were killed, and after a third has worked."""

    polar: Polar
    claims_before: dict[str, Claim]
    events_before: list[str]
    deliveries: dict[str, Delivery]
    claims: dict[str, Claim]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    folder = tmp_path_factory.mktemp("killed")
    polar = some_polar(TAKEN, UNSENT)
    with running(create_app(polar)) as polar_url, EmbeddedRedis(folder / "redis") as server:
        credits_ = credits_in(folder, polar_url, REDIS_URL=server.url)
        receiver = create_receiver(credits_.read())
        with running(receiver) as url, credits_.stores() as held, credits_.running("work") as work:
            yield _kill_two_workers(url, polar, held, work)


def _kill_two_workers(url: str, polar: Polar, held: Stores, work: Running) -> Aftermath:
    polar.faults.append(CommitThenKeepQuiet())
    first = _receive(url, TAKEN)
    _kill_worker(work, when=lambda: len(polar.events) == 1)
    polar.faults.append(Slow(NEVER_SECONDS))
    second = _receive(url, UNSENT)
    _kill_worker(work, when=lambda: not polar.faults)
    claims_before, events_before = _claims(held), _external_ids(polar)
    eventually(lambda: all(one.status is not Status.WAITING for one in held.deliveries.newest()))
    settled = {one.id: one for one in held.deliveries.get([first, second])}
    return Aftermath(
        polar=polar,
        claims_before=claims_before,
        events_before=events_before,
        deliveries={TAKEN: settled[first], UNSENT: settled[second]},
        claims=_claims(held),
    )


def _receive(url: str, order_id: str) -> str:
    with httpx.Client(base_url=url) as client:
        return post(client, order_webhook(id=order_id, customer_id=order_id))


def _kill_worker(work: Running, *, when: Callable[[], bool]) -> None:
    eventually(when)
    worker = work.part("worker")
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not living([worker]))


def _claims(held: Stores) -> dict[str, Claim]:
    return {order_id: claim_of(held.ledger.find(order_subject(order_id))) for order_id in (TAKEN, UNSENT)}


def _external_ids(polar: Polar) -> list[str]:
    return [event["external_id"] for event in polar.events]


def test_the_workers_died_between_claim_and_settlement(aftermath: Aftermath) -> None:
    """The other tests prove nothing unless the kills came at the right moment."""
    assert [len(claim.unsettled) for claim in aftermath.claims_before.values()] == [1, 1]
    assert aftermath.events_before == [f"credits:order:{TAKEN}:api_usage"]


def test_a_grant_that_polar_took_before_the_kill_is_settled_and_not_sent_again(
    aftermath: Aftermath,
) -> None:
    assert aftermath.deliveries[TAKEN].status is Status.GRANTED
    assert aftermath.polar.balance(TAKEN, "api_usage") == 10


def test_a_grant_that_was_claimed_but_never_sent_is_sent_by_the_next_worker(aftermath: Aftermath) -> None:
    assert aftermath.deliveries[UNSENT].status is Status.GRANTED
    assert aftermath.polar.balance(UNSENT, "api_usage") == 10


@pytest.mark.parametrize("order_id", [TAKEN, UNSENT], ids=["taken", "unsent"])
def test_each_order_has_one_event_at_polar_and_one_settled_claim(aftermath: Aftermath, order_id: str) -> None:
    assert not aftermath.claims[order_id].unsettled
    assert _external_ids(aftermath.polar).count(f"credits:order:{order_id}:api_usage") == 1


def test_the_next_worker_makes_a_second_attempt(aftermath: Aftermath) -> None:
    assert {one.attempts for one in aftermath.deliveries.values()} == {2}
