"""A yearly plan that credits each month, and what people do: revoke, dismiss and replay."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.demo.polar import Status as Answer
from tests.support.builders import rule, rules_of
from tests.support.moving_clock import moves_a_clock
from tests.support.real_stores import RETAIN
from tests.support.years import CUSTOMER, ORDER, REVOKED, Years, date, instalments, years
from workers.core.delivery import Lease, Status
from workers.operations.replay import Replayer

pytestmark = [*moves_a_clock, pytest.mark.heavy]  # in each test months pass, on a server of its own


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Years]:
    with years(tmp_path) as service:
        yield service


def test_revoked_by_hand_there_is_nothing_more(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(3, 15), step=timedelta(days=15))
    service.revoke()
    service.work()
    assert service.balance() == 0
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 0
    assert service.standing().ended == {"api_usage": "revoked by hand"}


def test_a_revoke_that_polar_has_not_got_yet_reaches_it_after_an_instalment_on_another_meter(
    service: Years,
) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000, "images": 7}, **REVOKED))
    service.buy()
    service.work()
    service.polar.faults.append(Answer(503))
    service.revoke("images")
    service.work()
    assert service.balance("images") == 7
    service.go_to(date(2, 28))
    service.work()
    assert service.balance("images") == 0
    assert service.given() == {"order": 1000, **instalments(2, 2)}


@pytest.mark.parametrize("refunded", [0, 5000], ids=["not refunded", "refunded by a quarter meanwhile"])
def test_a_dismissed_revoke_takes_back_later_instalments_too_when_a_person_replays_it(
    service: Years, refunded: int
) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000, "images": "0.7"}, **REVOKED))
    service.buy()
    service.work()
    customer = service.polar.customers.pop(CUSTOMER)
    service.revoke()
    service.work()
    (name,) = [one.id for one in service.store.newest([Status.FAILED])]
    service.store.dismiss([name], retain=timedelta(days=400))
    service.polar.customers[CUSTOMER] = customer
    service.work_until(date(4, 1), step=timedelta(days=15))
    assert service.balance() == 3000
    assert service.balance("images") == Decimal("2.1")
    if refunded:
        service.refund(refunded)
        service.work()
    replayer = Replayer(deliveries=service.store, ledger=service.ledger)
    (delivery,) = service.store.get([name])
    foreseen = replayer.preview(delivery, service.rules, by_name=True)
    leased = service.store.reopen([name], by_name=True)
    (outcome,) = service.granter.run(Lease(deliveries=leased))
    assert outcome.status is Status.GRANTED
    assert sum(one.units for one in foreseen.grants if one.meter == "api_usage") == -3000
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == service.balance("images") == 0
    assert set(service.standing().ended.values()) == {"revoked by hand"}


def test_what_polar_has_of_a_dismissed_revoke_ends_the_instalments_there(service: Years) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000, "images": 7}, **REVOKED))
    service.buy()
    service.work()
    service.revoke("images")
    service.work()
    assert service.balance("images") == 0
    service.redis.hset(f"credits:revoke:{ORDER}:images", "dismissed", f"revoke-{ORDER}:images")
    service.work_until(date(4, 1), step=timedelta(days=15))
    assert service.balance() == 3000
    assert service.balance("images") == 0


def test_a_dismissed_instalment_rests_alone_until_a_person_replays_it_by_name(service: Years) -> None:
    service.buy()
    service.work()
    customer = service.polar.customers.pop(CUSTOMER)
    service.go_to(date(3, 1))
    service.work()
    service.polar.customers[CUSTOMER] = customer
    (name,) = [one.id for one in [service.delivery(2)] if one]
    service.store.dismiss([name], retain=RETAIN)
    service.granter.run(Lease(deliveries=service.store.reopen([name])))
    assert service.given() == {"order": 1000}
    assert not service.standing().dismissed_with
    service.refund(10_000)
    service.work()
    assert service.balance() == 500  # the dismissed one counts as never begun
    service.granter.run(Lease(deliveries=service.store.reopen([name], by_name=True)))
    service.work()
    assert service.given()["instalment:2"] == 500  # it is worked out anew
    assert service.balance() == 1000
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 6000


def test_a_refund_that_waits_for_an_instalment_takes_its_share_when_a_person_dismisses_that(
    service: Years,
) -> None:
    service.buy()
    service.work()
    customer = service.polar.customers.pop(CUSTOMER)
    service.go_to(date(3, 1))
    service.work()
    service.refund(10_000)
    service.work()
    service.polar.customers[CUSTOMER] = customer
    assert service.balance() == 1000
    (name,) = [one.id for one in [service.delivery(2)] if one]
    service.store.dismiss([name], retain=RETAIN)
    service.work()
    assert service.balance() == 500
