"""Adjusts the usual order in a shop on fakes, as ``credits adjust`` does."""

from tests.support.builders import ORDER, order_webhook
from tests.support.fake_service import Shop
from tests.support.fake_store.deliveries import Stored
from workers.core.adjust_plans import AdjustPlan, plan_adjustment
from workers.core.claims import Standing
from workers.core.delivery import Status
from workers.core.facts import order_fact
from workers.core.grants import order_subject
from workers.core.payloads import read_order
from workers.core.plans import Plan


def standing_in(shop: Shop, order_id: str = ORDER) -> Standing:
    """Return what the ledger has for an order."""
    return shop.store.find_for_plan(Plan(subject=order_subject(order_id)))


def plan_in(shop: Shop, rule: str = "pack", body: bytes | None = None) -> AdjustPlan:
    """Return what adjusting the order by today's rules would do."""
    (wanted,) = (one for one in shop.rules.rules if one.name == rule)
    fact = order_fact(read_order(body or order_webhook()))
    return plan_adjustment(fact, wanted, shop.rules, standing_in(shop))


def ask(shop: Shop, rule: str = "pack", body: bytes | None = None) -> AdjustPlan:
    """Store the request to adjust the order, or make due what an earlier one has left; return the plan."""
    left = standing_in(shop).open_adjustment
    if left and shop.store.deliveries[left.delivery_id].status is Status.WAITING:
        shop.store.deliveries[left.delivery_id].due = shop.clock.now
    plan = plan_in(shop, rule, body)
    if plan.request:
        id_, type_, written = plan.request.delivery()
        known = shop.store.deliveries.get(id_)
        attempts = known.attempts if known else 0
        stored = Stored(type=type_, body=written, due=shop.clock.now, attempts=attempts)
        shop.store.deliveries[id_] = stored
    return plan


def adjust(shop: Shop, rule: str = "pack", body: bytes | None = None) -> str:
    """Adjust the order; return the outcome's reason, or why there is none."""
    plan = ask(shop, rule, body)
    if plan.request is None:
        return plan.left_alone
    outcome = shop.work()[plan.request.delivery_id]
    shop.read_back()
    return outcome.reason
