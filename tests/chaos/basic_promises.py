"""Checks that are true even if Redis loses everything: no double credit, and no lost delivery."""

import json
import os
import sys
from dataclasses import replace
from datetime import datetime
from itertools import islice

from hypothesis import settings
from hypothesis.stateful import invariant

from tests.chaos.expected_take_backs import TAKEN_BACK
from tests.chaos.model_keys import DATES_BY_EVERY, INSTALMENTS, KEYS
from tests.chaos.model_rules import BONUSES
from tests.chaos.model_webhooks import YEARS
from tests.chaos.own_deliveries import is_own_delivery, key_of_instalment
from tests.chaos.scenarios import Scenarios
from tests.chaos.world import SentWebhook
from tests.support.fake_polar import Event
from workers.core.delivery import Status

_LONGEST_WAIT_SECONDS = 810  # before the last retry of an event that fails alone


def length(examples: int) -> settings:
    """Return how many examples to run: few enough for ``make test``, unless the environment says more."""
    return settings(
        max_examples=int(os.environ.get("MODEL_EXAMPLES", examples)),
        stateful_step_count=int(os.environ.get("MODEL_STEPS", "50")),
        print_blob=True,
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
        self._note_own_deliveries()
        self.no_take_back_reaches_polar_before_its_grant()
        self.polar_has_only_expected_keys()
        self.no_credit_is_made_twice()
        self.no_instalment_comes_early_or_out_of_turn()
        self.no_instalment_is_to_come_twice()
        self.no_delivery_is_lost()

    def _note_own_deliveries(self) -> None:
        """Count the ledger's own deliveries among those that came, but for instalments that went back."""
        deliveries = self.service.store.deliveries
        own = [one for one in self.accepted if key_of_instalment(one)]
        for gone in [one for one in own if one not in deliveries and one not in self.expired]:
            del self.accepted[gone]
        for delivery_id, kept in deliveries.items():
            if is_own_delivery(delivery_id):
                self.expired.discard(delivery_id)
                data = json.loads(kept.body)["data"]
                self.accepted[delivery_id] = SentWebhook(
                    body=kept.body,
                    subject=f"credits:order:{data['order_id']}",
                    customer_id=data["customer_id"],
                    order_id=data["order_id"],
                )

    def sent(self, delivery_id: str) -> SentWebhook:
        """Return what came as this delivery; an instalment's may have gone back already."""
        if (key := key_of_instalment(delivery_id)) is None:
            return self.accepted[delivery_id]
        order = next(one for one in YEARS.values() if one.order_id == INSTALMENTS[key][0])
        return replace(order, trigger="", paid=None)

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

    def no_instalment_comes_early_or_out_of_turn(self) -> None:
        """Polar gets none before its date, by its own clock, and none before the one before it."""
        for key in self.new_events.keys() & INSTALMENTS.keys():
            order_id, number, meter = INSTALMENTS[key]
            before = f"credits:order:{order_id}:{meter}"
            before = f"credits:instalment:{order_id}:{number - 1}:{meter}" if number > 2 else before
            assert before in self.service.polar.events
            assert self.service.arrived[key] >= self.date_of(order_id, number, meter)

    def date_of(self, order_id: str, number: int, meter: str) -> datetime:
        """Return the earliest date that an instalment can have, by whichever rules its order was claimed."""
        dates = [DATES_BY_EVERY[order_id][every] for every in ("week", "month")]
        return min(those[number - 1] for those in dates if len(those) >= number)

    def no_instalment_is_to_come_twice(self) -> None:
        """The next of an order on a meter is a date or a delivery that waits or has failed, and one alone."""
        store = self.service.store
        to_come = [(order_id, meter) for order_id, _, meter in store.instalments]
        for delivery_id, kept in store.deliveries.items():
            key = key_of_instalment(delivery_id)
            is_open = key and not (key in store.claims and store.claims[key].settled)
            if key and is_open and kept.status in (Status.WAITING, Status.FAILED):
                to_come.append((INSTALMENTS[key][0], INSTALMENTS[key][2]))
        assert len(to_come) == len(set(to_come)), to_come

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
    if event["external_id"] in INSTALMENTS:
        order_id, number, meter = INSTALMENTS[event["external_id"]]
        return order_id, str(number), meter
    if event["external_id"].startswith(TAKEN_BACK):
        return (event["external_id"],)  # each refund takes back its own share, and a manual revoke the rest
    if "order_id" in data and data["rules"] not in BONUSES:
        return data["order_id"], event["name"]
    return event["customer_id"], data["rules"], event["name"]
