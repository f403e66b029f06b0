"""What the tests of forgetting share: what erases, and deliveries of all kinds."""

import pytest
from redis import Redis

from tests.support.fake_polar import FakePolar
from tests.support.forgetting import OTHERS, REFUSED, RULES, THEIRS
from tests.support.real_stores import accept
from workers.core.delivery import Status
from workers.operations.forget import CustomerEraser
from workers.pipeline.granter import Granter
from workers.store.audit import Audit
from workers.store.deliveries import DeliveryStore
from workers.store.erasure import Erasure
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle
from workers.timings import DEFAULT_TIMINGS


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
