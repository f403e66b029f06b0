"""Checks that are true even if Redis loses everything: no double credit, and no lost delivery."""

import json
import os
import sys
from itertools import islice

from hypothesis import settings
from hypothesis.stateful import invariant

from tests.chaos.expected_take_backs import TAKEN_BACK
from tests.chaos.model_data import BONUSES, KEYS
from tests.chaos.scenarios import Scenarios
from tests.chaos.world import SentWebhook
from tests.support.fake_polar import Event
from workers.core.delivery import Status
from workers.core.take_back_delivery import is_take_back_delivery

_LONGEST_WAIT_SECONDS = 810  # before the last retry of an event that fails alone


def length(examples: int) -> settings:
    """Return how many examples to run: few enough for ``make test``, unless the environment says more."""
    return settings(
        max_examples=int(os.environ.get("MODEL_EXAMPLES", examples)),
        stateful_step_count=int(os.environ.get("MODEL_STEPS", "50")),
        print_blob=True,
        derandomize=False,  # on CI too: found bugs have tests of their own, and new runs should find others
    )


class BasicPromises(Scenarios):
    """Checks these promises after every step, and at the end when nothing is broken any more."""

    def __init__(self) -> None:
        super().__init__()
        self.meanings: set[tuple[str, ...]] = set()
        self._seen = 0

    @invariant()
    def what_is_promised_holds(self) -> None:
        """Check after every step."""
        self.check()
        self.service.work_log.close()
        self._seen = len(self.service.polar.events)

    @property
    def new_events(self) -> dict[str, Event]:
        """Return Polar's new events by key; Polar never deletes or changes an event."""
        return dict(islice(self.service.polar.events.items(), self._seen, None))

    def check(self) -> None:
        """Check each promise."""
        self._note_take_backs()
        self.no_take_back_reaches_polar_before_its_grant()
        self.polar_has_only_expected_keys()
        self.no_credit_is_made_twice()
        self.no_delivery_is_lost()

    def _note_take_backs(self) -> None:
        """Count the ledger's own deliveries among those that came."""
        for delivery_id, kept in self.service.store.deliveries.items():
            if is_take_back_delivery(delivery_id):
                self.expired.discard(delivery_id)
                data = json.loads(kept.body)["data"]
                self.accepted[delivery_id] = SentWebhook(
                    body=kept.body,
                    subject=f"credits:order:{data['order_id']}",
                    customer_id=data["customer_id"],
                    order_id=data["order_id"],
                )

    def no_take_back_reaches_polar_before_its_grant(self) -> None:
        """A take-back without its grant would make a debt."""
        seen = list(self.service.polar.events)
        for key, event in self.new_events.items():
            if key.startswith(TAKEN_BACK):
                granted = f"credits:order:{event['metadata']['order_id']}:{event['name']}"
                assert granted in seen[: seen.index(key)]

    def polar_has_only_expected_keys(self) -> None:
        """KEYS has every key that the model data can lead to."""
        assert self.new_events.keys() <= KEYS

    def no_credit_is_made_twice(self) -> None:
        """Compared by content, not by key: an order on a meter, or a rule's bonus for a customer."""
        for event in self.new_events.values():
            assert _meaning(event) not in self.meanings
            self.meanings.add(_meaning(event))

    def no_delivery_is_lost(self) -> None:
        """Each delivery waits and becomes due, or is settled."""
        kept = self.service.store.deliveries
        assert kept.keys() == self.accepted.keys() - self.expired
        for one in kept.values():
            assert (one.due is not None) == (one.status is Status.WAITING)
            assert (
                one.due is None or (one.due - self.service.clock.now).total_seconds() <= _LONGEST_WAIT_SECONDS
            )

    def check_end(self) -> None:
        """Check what must be true when all work is done."""
        self.check()  # once more: the last work was no step
        assert Status.WAITING not in {one.status for one in self.service.store.deliveries.values()}

    def teardown(self) -> None:
        """Finish all work and check the result, unless a check has failed before."""
        try:
            if sys.exc_info()[0] is None:
                self.finish_all_work()
                self.check_end()
        finally:
            self.stop()


def _meaning(event: Event) -> tuple[str, ...]:
    data = event["metadata"]
    if "reason" in data:
        return (event["external_id"],)  # each refund takes back its own share, and a manual revoke the rest
    if "order_id" in data and data["rules"] not in BONUSES:
        return data["order_id"], event["name"]
    return event["customer_id"], data["rules"], event["name"]
