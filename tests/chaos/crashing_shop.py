"""A shop whose workers die: real commands on an empty Redis, and what must hold while one is dead."""

from contextlib import closing
from dataclasses import dataclass
from typing import cast

from redis import Redis
from starlette.applications import Starlette

from app.demo.polar import Polar
from tests.support.processes import Credits
from tests.support.real_stores import accept, let_leases_end, let_pause_end, now_ms
from workers.core.delivery import Status
from workers.operations.confirm import Confirmer
from workers.runtime.polar import polar_for
from workers.runtime.repairs import pacer_for
from workers.store import keys
from workers.store.unconfirmed import UnconfirmedStore

WORK = ("work", "--burst")
Organization = tuple[Starlette, str]

_TWO_MINUTES_MS = 120_000
_FOR_EVER = -1  # what Redis says of a key that does not expire


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A Polar that serves, and the commands, on an empty Redis."""

    redis: Redis
    polar: Polar
    credits: Credits

    def receive(self, delivery_id: str, body: bytes) -> str:
        """Receive a webhook; return its disposition."""
        (disposition,) = accept(self.credits.settings["REDIS_URL"], delivery_id, body=body)
        return disposition.value

    def follow(self, rules: str) -> None:
        """Write the rules file."""
        (self.credits.folder / "rules.yaml").write_text(rules)

    def work(self) -> None:
        """Run an ordinary worker until nothing is due, also after what Polar counted twice is confirmed."""
        for _ in range(2):
            done = self.credits.run(*WORK)
            assert done.returncode == 0, done.stderr
            self._confirm()

    def _confirm(self) -> None:
        settings = self.credits.read()
        with closing(polar_for(settings)) as polar, self.credits.stores() as held:
            store = UnconfirmedStore(held.redis, held.ledger)
            Confirmer(store=store, polar=polar, pacer=pacer_for(held)).run_if_due()


def is_idle(redis: Redis) -> bool:
    return redis.zcard(keys.DUE) == 0


def let_time_pass(redis: Redis) -> None:
    """End all leases, pauses and probes."""
    let_leases_end(redis)
    let_pause_end(redis)
    redis.delete(keys.PROBE)


def assert_due_within_two_minutes(redis: Redis) -> None:
    """Every waiting delivery is due within two minutes, and no pause or probe lasts longer."""
    waiting = cast(list[bytes], redis.zrange(keys.deliveries(Status.WAITING), 0, -1))
    due = dict(cast(list[tuple[bytes, float]], redis.zrange(keys.DUE, 0, -1, withscores=True)))
    assert set(due) == set(waiting)
    held_up_ms = [redis.pttl(name) for name in (keys.PAUSE, keys.PROBE)]
    assert _FOR_EVER not in held_up_ms
    soon_ms = now_ms(redis) + _TWO_MINUTES_MS - sum(max(0, each) for each in held_up_ms)
    assert all(moment_ms < soon_ms for moment_ms in due.values())
