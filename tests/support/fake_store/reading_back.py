"""Confirms what Polar has, as the background process does."""

from tests.support.fake_polar import FakePolar
from tests.support.fake_store.store import FakeStore
from workers.core.usage_events import usage_event


def read_back(store: FakeStore, polar: FakePolar) -> None:
    """Confirm what Polar has as the ledger has it, as the background process does."""
    for claim in list(store.claims.values()):
        for grant in claim.grants:
            event = polar.events.get(grant.key)
            if grant.meter in claim.unconfirmed and event == usage_event(grant):
                store.confirm([grant])
