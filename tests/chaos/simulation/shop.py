"""What the shop sells, and the webhooks that Polar sends for it; some are late, some are never sent."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random
from typing import Any

from app.demo.polar import Polar
from config.rules import Rules
from tests.chaos.simulation.plans import EACH, Plan
from tests.support.builders import METERS, order_webhook, rule, rules_of, some_id, webhook

CENTS = 900  # a third of it is not a round number of credits
_REPLACING = 0.2
_UNPAID = [{"status": one} for one in ("past_due", "unpaid", "paused")]
_ENDS: list[dict[str, Any]] = [
    {"status": "canceled", "ended_at": "2026-11-29T00:00:00Z"},
    {"product_id": some_id(4999)},
]
CUSTOMERS = [some_id(number) for number in range(1, 5)]
REVOCABLE_STEP = 1000
"""The rule whose credits are taken back gives thousands, and the one whose credits are kept gives less."""

_UNNEEDED = {"product", "product_price", "customer", "user", "items", "prices", "meters", "price"}
_ORDERS = ["purchase", "subscription_cycle"]
_PLANS = {"triggers": ["subscription_create"], "on_refund": "revoke", "on_dispute": "revoke"}


def _rules(pack: Mapping[str, int], gift: int, *others: str) -> Rules:
    return rules_of(
        rule("pack", pack, triggers=_ORDERS, on_refund="revoke", on_dispute="revoke"),
        rule("gift", {"api_usage": gift}, triggers=_ORDERS),
        rule("welcome", {"seconds": 25}, triggers=["customer.created"]),
        rule("weekly", {"images": EACH["images"]}, every="week", **_PLANS),
        rule("monthly", {"seconds": EACH["seconds"]}, every="month", **_PLANS),
        *others,
        credit_from="2026-01-01T00:00:00Z",
    )


_FIRST = rule("first", {"api_usage": 50}, triggers=_ORDERS, once_per="customer")
FILES = {
    "usual": _rules({"api_usage": 30_000, "images": 1_000}, 7, _FIRST),
    "other amounts": _rules({"api_usage": 20_000, "images": 2_000}, 9, _FIRST),
    "one meter, no bonus": _rules({"api_usage": 10_000}, 8),
}


@dataclass(kw_only=True)
class Sale:
    """An order at Polar, and what became of its payment since."""

    order_id: str
    customer_id: str
    data: dict[str, Any] = field(repr=False)
    refunded: int = 0
    disputed: int = 0
    plan: Plan | None = None
    has_ended: bool = False
    """Whether something has ended the instalments of its plan: all are a part from the beginning then."""

    @property
    def share(self) -> Fraction:
        """Return the share of the price that went back to the customer: by refunds and by lost disputes."""
        return min(Fraction(1), Fraction(self.refunded + self.disputed, CENTS))


@dataclass
class Shop:
    """Sells to few customers, so that what happens to them meets."""

    polar: Polar
    random: Random
    sales: dict[str, Sale] = field(default_factory=dict)
    webhooks: dict[str, bytes] = field(default_factory=dict)
    """Every webhook, by its id."""
    outbox: list[str] = field(default_factory=list)
    """The ids of webhooks that have not been sent yet."""
    plans: dict[str, Plan] = field(default_factory=dict)
    """The plans that were paid in advance, by order."""
    order_of: dict[str, str] = field(default_factory=dict)
    """The order that a webhook is about, by the webhook's id."""

    def __post_init__(self) -> None:
        for meter, summed in METERS.items():
            self.polar.add_meter(meter, summed)
        for customer_id in CUSTOMERS:
            self.polar.add_customer(customer_id)
            self._write(_shortened(webhook("customer_created", id=customer_id)))

    def sell(self) -> None:
        """Sell something."""
        number = 100 + len(self.sales)
        like = self.random.choice(_ORDERS)
        usual = {
            "id": some_id(number),
            "customer_id": self.random.choice(CUSTOMERS),
            "created_at": self.polar.now().isoformat(),
            "net_amount": CENTS,
            "applied_balance_amount": 0,
            "refunded_amount": 0,
            "status": "paid",
        }
        body = _shortened(order_webhook(f"order_paid_{like}", **usual))
        data = json.loads(body)["data"]
        self.sales[data["id"]] = Sale(order_id=data["id"], customer_id=data["customer_id"], data=data)
        self.polar.add_order(**data)
        self._write(body)

    def sell_plan(self) -> None:
        """Sell a plan that is credited in instalments; sometimes for a subscription that has one already."""
        time.sleep(0.002)  # of two orders of one millisecond, nobody knows which replaces the other
        number, now = 100 + len(self.sales), self.polar.now()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        earlier = [one for one in self.sales.values() if one.plan]
        replaced = self.random.choice(earlier) if earlier and self.random.random() < _REPLACING else None
        plan = Plan(
            replaced.plan.subscription_id if replaced and replaced.plan else some_id(5000 + number), now
        )
        customer_id = replaced.customer_id if replaced else self.random.choice(CUSTOMERS)
        period = {"current_period_start": now.isoformat(), "current_period_end": plan.ends.isoformat()}
        usual = {
            "id": some_id(number),
            "customer_id": customer_id,
            "created_at": now.isoformat(),
            "subscription_id": plan.subscription_id,
            "net_amount": CENTS,
        }
        body = json.loads(_shortened(order_webhook("order_paid_subscription_create_yearly", **usual)))
        data = body["data"]
        data["subscription"] |= {"id": plan.subscription_id, "customer_id": customer_id, **period}
        sale = Sale(order_id=data["id"], customer_id=customer_id, data=data, plan=plan)
        self.sales[sale.order_id], self.plans[sale.order_id] = sale, plan
        for one in earlier:
            one.has_ended |= one.plan is not None and one.plan.subscription_id == plan.subscription_id
        self.polar.add_order(**data)
        self.polar.add_subscription(**{**data["subscription"], "started_at": now.isoformat()})
        self._write(json.dumps(body).encode())

    def change_subscription(self) -> None:
        """Let a subscription fall behind with its payment, be paid again, end, or change its product."""
        if sales := [one for one in self.sales.values() if one.plan]:
            sale = self.random.choice(sales)
            change = self.random.choice([*_UNPAID, *_UNPAID, {"status": "active"}, *_ENDS])
            for one in sales:
                is_same = one.plan and sale.plan and one.plan.subscription_id == sale.plan.subscription_id
                one.has_ended |= bool(is_same) and change in _ENDS
            self._change(sale, change)

    def pay_all(self) -> None:
        """Let every subscription that has not ended be active."""
        for sale in self.sales.values():
            if sale.plan and not sale.has_ended:
                self._change(sale, {"status": "active"})

    def _change(self, sale: Sale, change: Mapping[str, Any]) -> None:
        assert sale.plan
        known = self.polar.subscriptions[sale.plan.subscription_id].model_dump(mode="json")
        self.polar.add_subscription(**{**known, **change})

    def tell_again(self) -> None:
        """Send the webhook of a sale under another id, as a second endpoint would."""
        if self.sales:
            sale = self.random.choice(list(self.sales.values()))
            self._write(json.dumps({"type": "order.paid", "data": sale.data}).encode())

    def refund(self) -> None:
        """Refund a part of an order, or all that is left of it."""
        if open_sales := [one for one in self.sales.values() if one.share < 1]:
            sale = self.random.choice(open_sales)
            most = CENTS - sale.disputed - sale.refunded
            sale.refunded += self.random.choice([most, self.random.randint(1, most)])
            sale.has_ended |= sale.share == 1
            status = "refunded" if sale.refunded >= CENTS else "partially_refunded"
            sale.data |= {"refunded_amount": sale.refunded, "status": status}
            self.polar.add_order(**sale.data)
            self._write(json.dumps({"type": "order.refunded", "data": sale.data}).encode())

    def dispute(self) -> None:
        """Lose a dispute about a part of an order, or all that is left of it. No webhook says so."""
        if open_sales := [one for one in self.sales.values() if one.share < 1]:
            sale = self.random.choice(open_sales)
            most = CENTS - sale.disputed - sale.refunded
            amount = self.random.choice([most, self.random.randint(1, most)])
            sale.disputed += amount
            sale.has_ended = True
            self.polar.add_dispute(sale.order_id, amount=amount, tax_amount=amount // 5)

    def _write(self, body: bytes) -> None:
        webhook_id = f"msg-{len(self.webhooks)}"
        self.webhooks[webhook_id] = body
        self.outbox.append(webhook_id)
        data = json.loads(body)["data"]
        if data["id"] in self.sales:
            self.order_of[webhook_id] = data["id"]


def _shortened(body: bytes) -> bytes:
    """Return a webhook without long fields that no rule of ours looks at."""
    whole = json.loads(body)
    whole["data"] = {name: value for name, value in whole["data"].items() if name not in _UNNEEDED}
    return json.dumps(whole).encode()
