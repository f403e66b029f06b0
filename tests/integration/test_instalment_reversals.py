"""A yearly plan that credits each month, and refunds and disputes of its order."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import rule, rules_of
from tests.support.moving_clock import moves_a_clock
from tests.support.real_stores import RETAIN
from tests.support.years import REVOKED, Years, date, shifted, years
from workers.store.ledger import Ledger

pytestmark = [*moves_a_clock, pytest.mark.heavy]  # in each test months pass, on a server of its own


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Years]:
    with years(tmp_path) as service:
        yield service


def test_a_refund_before_the_order_is_credited_counts_for_all(service: Years) -> None:
    service.buy()
    service.refund(10_000)
    service.work()
    assert service.balance() == 500
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 6000


@pytest.mark.parametrize("on_refund", ["revoke", "keep"])
def test_a_full_refund_ends_the_instalments(service: Years, on_refund: str) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000}, **REVOKED | {"on_refund": on_refund}))
    service.buy()
    service.work()
    service.work_until(date(3, 15), step=timedelta(days=15))
    service.refund(20_000)
    service.work()
    assert service.balance() == (0 if on_refund == "revoke" else 2000)
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == (0 if on_refund == "revoke" else 2000)
    assert service.standing().ended == {"api_usage": "the order was refunded in full"}


def test_with_keep_a_refund_of_a_part_changes_nothing(service: Years) -> None:
    service.rules = rules_of(rule("pro", {"api_usage": 1000}, **REVOKED | {"on_refund": "keep"}))
    service.buy()
    service.work()
    service.refund(10_000)
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 12_000


def test_a_lost_dispute_ends_the_instalments_and_takes_its_share(service: Years) -> None:
    service.buy()
    service.work()
    service.work_until(date(3, 15), step=timedelta(days=15))
    service.lose_dispute(10_000)
    service.work()
    assert service.balance() == 1000
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 1000
    assert service.standing().ended == {"api_usage": "a dispute of the order was lost"}


def test_a_refund_while_an_instalment_is_under_way_is_exact(service: Years) -> None:
    """The refund comes between the claim of the instalment and its settlement."""
    service.buy()
    service.work()
    service.go_to(date(2, 28))
    service.worker.tick()

    class Interrupted(Ledger):
        def settle(self, *args: Any) -> set[str]:
            service.refund(10_000)
            service.granter.run(service.store.lease(500))
            return super().settle(*args)

    ledger = Interrupted(service.redis, retain=RETAIN)
    shifted(service.granter, ledger=ledger).run(service.store.lease(500))
    service.work()
    assert service.balance() == 1000
    service.work_until(date(12, 31), step=timedelta(days=15))
    assert service.balance() == 6000
