"""Finds what is to be explained: a webhook's body, a delivery by its id, or an order by its id."""

from collections.abc import Sequence

from msgspec import Struct

from config.ids import read_id
from config.rules import Rules
from workers.core.claims import Standing
from workers.core.delivery import Delivery
from workers.core.delivery_plans import PlannedDelivery, plan_delivery
from workers.core.envelope import ORDER_PAID, peek_type
from workers.core.grants import order_subject
from workers.operations.explain.explanation import Explanation, explain
from workers.operations.history import History
from workers.operations.previews import look_up
from workers.store.deliveries import DeliveryStore
from workers.store.ledger import Ledger


class Explained(Struct, frozen=True, kw_only=True):
    """An explanation, and the stored deliveries that it is about, oldest first."""

    explanation: Explanation
    deliveries: Sequence[Delivery] = ()


def explain_body(body: bytes, rules: Rules, ledger: Ledger | None) -> Explanation:
    """Explain a webhook's body; without a ledger, as if nothing had been granted yet."""
    planned = plan_delivery(peek_type(body) or "", body, rules)
    return _explain_planned(planned, rules, ledger)


class Explainer(Struct, frozen=True, kw_only=True):
    """Explains what is stored. Changes nothing."""

    deliveries: DeliveryStore
    ledger: Ledger
    history: History
    rules: Rules

    def explain_id(self, id_: str) -> Explained | None:
        """Explain a delivery or an order by its id; None if neither is known.

        If an order has several deliveries, it explains the one that reports the payment.
        """
        found = self.deliveries.get([id_])
        if not found:
            order_id = _order_id(id_)
            found = self.history.of_order(order_id)
            if not found:
                return self._explain_from_ledger(order_id)
        one = max(found, key=lambda each: (not each.erased_at, each.type == ORDER_PAID, each.received_at))
        oldest_first = sorted(found, key=lambda each: each.received_at)
        return Explained(explanation=self._explain(one), deliveries=oldest_first)

    def _explain(self, one: Delivery) -> Explanation:
        if one.erased_at:
            standing = self.ledger.find(one.subject or "")
            outlook = (
                f"nothing: its body was erased on {one.erased_at:%Y-%m-%d} (credits forget); "
                "what was granted is kept"
            )
            return Explanation(type=one.type, standing=standing, outlook=outlook)
        planned = plan_delivery(one.type, self.deliveries.body(one.id), self.rules)
        return _explain_planned(planned, self.rules, self.ledger)

    def _explain_from_ledger(self, order_id: str) -> Explained | None:
        """Explain an order whose deliveries are no longer kept, by what the ledger has."""
        standing = self.ledger.find(order_subject(order_id))
        if standing.claims:
            outlook = "nothing: its delivery is no longer kept; what was granted is kept"
        elif self.ledger.told([order_id]):
            outlook = "nothing: its webhook was skipped, and its delivery is no longer kept"
        else:
            return None
        return Explained(explanation=Explanation(type=ORDER_PAID, standing=standing, outlook=outlook))


def _order_id(text: str) -> str:
    try:
        return read_id(text)
    except ValueError:
        return text  # a delivery's id may be any text


def _explain_planned(planned: PlannedDelivery, rules: Rules, ledger: Ledger | None) -> Explanation:
    if ledger is None:
        return explain(planned, rules, Standing(subject=planned.plan.subject if planned.plan else ""))
    ((known, standing),) = look_up(ledger, [planned], rules)
    return explain(known, rules, standing)
