"""A worker beside a desk, and what was done there."""

from redis import Redis

from config.rules import load_rules
from tests.support.builders import some_id
from tests.support.desk import Browser, DeskService
from tests.support.fake_polar import FakePolar
from tests.support.real_stores import RETAIN
from workers.pipeline.granter import Granter
from workers.store.deliveries import DeliveryStore
from workers.store.desk import DeskStore
from workers.store.ledger import Ledger
from workers.store.throttle import Throttle

NEWCOMER = some_id(9)


class Worker:
    """Settles what is due by the desk's rules, at a Polar that at first does not know one customer."""

    def __init__(self, redis: Redis, service: DeskService) -> None:
        self.strangers = {NEWCOMER}
        self.polar = FakePolar(known=lambda customer: customer not in self.strangers)
        rules = load_rules(service.rules_path)
        self._granter = Granter(
            deliveries=DeliveryStore(redis),
            ledger=Ledger(redis, retain=RETAIN),
            throttle=Throttle(redis),
            polar=self.polar,
            rules=lambda: rules,
        )

    def work(self) -> None:
        """Settle what is due."""
        self._granter.drain()


def actions(redis: Redis) -> list[tuple[str, str]]:
    """Return who did what, newest first."""
    return [(one.name, one.what) for one in DeskStore(redis).actions(100)]


def confirm(desk: Browser, page: str) -> None:
    """Press the button of the preview that is open."""
    desk.post(page, {"plan": desk.hidden("plan")})
