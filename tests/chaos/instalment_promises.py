"""Checks the instalments of each plan: what each gives, which is next, and why none follows."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor

from tests.chaos.expected_take_backs import rounded_to
from tests.chaos.model_keys import DATES_BY_EVERY, INSTALMENTS
from tests.chaos.model_webhooks import YEARS
from tests.chaos.worker_promises import WorkerPromises
from tests.chaos.world import SentWebhook
from workers.core.claims import Claim
from workers.core.delivery import Status

_LOOKED_AT_EVERY = timedelta(days=1)


class InstalmentPromises(WorkerPromises):
    """The model with a durable Redis: each chain goes on until something ends it."""

    def __init__(self) -> None:
        super().__init__()
        self._dismissed: set[str] = set()
        """The orders that were ever dismissed."""

    def check(self) -> None:
        """Check the chains as well."""
        super().check()
        self._dismissed |= self.service.store.dismissed.keys()
        self.the_next_instalment_is_to_come_unless_something_ended_them()
        self.instalments_end_for_a_reason()

    def date_of(self, order_id: str, number: int, meter: str) -> datetime:
        """Return the date of an instalment, by the rules by which its order was claimed."""
        return DATES_BY_EVERY[order_id][self._every(order_id, meter)][number - 1]

    def _every(self, order_id: str, meter: str) -> str:
        """Return how often the order is credited on a meter; empty if it is credited once."""
        file = self.service.work_log.frozen[f"credits:order:{order_id}"]
        sent = next(one for one in YEARS.values() if one.order_id == order_id)
        every = {
            line.every for line in file.lines if line.is_for(sent) and meter in line.gives and line.every
        }
        return next(iter(every), "")

    def assert_less_its_share(self, claim: Claim) -> None:
        """An instalment gives what comes again of its order's grant, less the share of refunds until then."""
        (grant,) = claim.grants
        own = self.service.store.claims[f"credits:order:{grant.order_id}"]
        (first,) = (one for one in own.grants if one.meter == grant.meter)
        repeated = [part for part in first.parts if part.every]
        step = rounded_to(part.units for part in repeated)
        given = {part.rule: Fraction(part.units) for part in grant.parts}
        possible = [
            {
                part.rule: Fraction(part.units)
                - floor(Fraction(part.units) * share * part.revocable / step) * step
                for part in repeated
            }
            for share in {Fraction(0), *(one.share for one in self._sent_of(grant.order_id or ""))}
        ]
        assert given in possible, (given, possible)

    def _sent_of(self, order_id: str) -> list[SentWebhook]:
        return [one for one in self.accepted.values() if one.order_id == order_id]

    def _chains(self) -> Iterator[tuple[str, str, int]]:
        """Yield each order and meter with instalments of which Polar has the first, and how many it has."""
        claims = self.service.store.claims
        for sent in YEARS.values():
            own = claims.get(sent.subject)
            for meter in own.settled if own else ():
                if self._every(sent.order_id, meter):
                    keys = [
                        key
                        for key, (order_id, _, of) in INSTALMENTS.items()
                        if (order_id, of) == (sent.order_id, meter)
                    ]
                    settled = [key for key in keys if key in claims and claims[key].settled]
                    yield sent.order_id, meter, 1 + len(settled)

    def the_next_instalment_is_to_come_unless_something_ended_them(self) -> None:
        """It is a date, or a delivery that waits or has failed, or a person has put it to rest."""
        store = self.service.store
        for order_id, meter, number in self._chains():
            is_last = number == len(DATES_BY_EVERY[order_id][self._every(order_id, meter)])
            has_ended = meter in store.ended.get(f"credits:order:{order_id}", {})
            place = (order_id, number + 1, meter)
            to_come = {one for one in store.instalments if (one[0], one[2]) == (order_id, meter)}
            assert to_come <= {place}
            delivery = store.deliveries.get(f"instalment-{order_id}-{number + 1}-{meter}")
            is_delivery = delivery is not None and delivery.status in (Status.WAITING, Status.FAILED)
            claim = store.claims.get(f"credits:instalment:{order_id}:{number + 1}:{meter}")
            is_at_rest = claim is not None and claim.is_dismissed
            assert is_last or has_ended or to_come or is_delivery or is_at_rest, place
            assert not (is_last and to_come), place

    def instalments_end_for_a_reason(self) -> None:
        """What a person or Polar did ended them, before they found it out."""
        for subject, reasons in self.service.store.ended.items():
            order_id = subject.removeprefix("credits:order:")
            for meter, reason in reasons.items():
                assert self._may_end(order_id, meter, reason), reason

    def _may_end(self, order_id: str, meter: str, reason: str) -> bool:
        sent, subject = self._sent_of(order_id), f"credits:order:{order_id}"
        before, after = YEARS["year 6"].order_id, YEARS["year 7, which replaces 6"].order_id
        causes = {
            "the order was refunded in full": any(one.share == 1 for one in sent),
            "a dispute of the order was lost": any(one.disputed_cents for one in sent),
            "revoked by hand": any(one.revokes in {"*", meter} for one in sent),
            f"replaced by order {after}": order_id == before,
            "the subscription ended": "ended" in self.states,
            "the subscription has another product": "another product" in self.states,
            "dismissed": subject in self._dismissed,
        }
        return any(reason.startswith(text) for text, happened in causes.items() if happened)

    def check_end(self) -> None:
        """Whatever is due was given, or its subscription waits, and is looked at within a day."""
        super().check_end()
        store, now = self.service.store, self.service.clock.now
        for (order_id, number, meter), at in store.instalments.items():
            date = self.date_of(order_id, number, meter)
            is_waiting = meter in store.waits.get(f"credits:order:{order_id}", {})
            assert at == date if date > now else is_waiting
            assert now < at <= max(date, now + _LOOKED_AT_EVERY)
