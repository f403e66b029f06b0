"""A dry run announces exactly what a run then does."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.rules import Rules
from tests.support.builders import (
    CUSTOMER,
    order_webhook,
    refund_webhook,
    rule,
    rules_of,
    some_id,
    webhook,
)
from tests.support.examples import examples
from tests.support.fake_service import HUNDRED, KEPT, MIXED, NOBODY, TEN, TWENTY, Shop, crash, shop_with, sold
from tests.support.fake_store.deliveries import Stored
from tests.support.killed import KilledError
from tests.support.recordings import payload
from tests.support.service_faults import MISHAPS
from workers.core.delivery import Outcome, Status
from workers.core.delivery_plans import plan_delivery
from workers.core.dry_run import Prospect, dry_run
from workers.core.plans import Plan
from workers.core.take_back_delivery import take_back_delivery

PACK = rule("pack", {"api_usage": 10})
BONUS = rule("bonus", {"api_usage": 50}, once_per="customer")
WELCOME = rule("welcome", {"api_usage": 25}, triggers=["customer.created"])
CLAWS = rule("claws", {"api_usage": 100, "images": 8}, on_refund="revoke")
FAILS = rule("fails", {"images": "order.net_amount - 5000"})
BOTH = rules_of(PACK, BONUS)
OTHER = order_webhook(id=some_id(2))


def prospect_of(shop: Shop, delivery_id: str) -> Prospect:
    """Return the dry run of this delivery."""
    kept = shop.store.deliveries[delivery_id]
    planned = plan_delivery(kept.type, kept.body, shop.rules)
    return dry_run(planned, shop.store.find_for_plan(planned.plan or Plan(subject="")))


def said(shop: Shop, delivery_id: str) -> str:
    """Return the text of a dry run of this delivery."""
    return prospect_of(shop, delivery_id).text


def killed(shop: Shop) -> Shop:
    """Kill a worker after the claim and before it sends anything to Polar."""
    shop.polar.script = [KilledError()]
    crash(shop)
    return shop


def then(shop: Shop, body: bytes) -> Shop:
    """Receive one more webhook without working on it."""
    shop.receive(f"msg-{shop.received + 1}", body)
    return shop


def last(shop: Shop) -> str:
    return f"msg-{shop.received}"


def under(rules: Rules, shop: Shop) -> Shop:
    shop.rules = rules
    return shop


def refunded(cents: int) -> Shop:
    shop = sold()
    shop.tell(refund_webhook(cents))
    return shop


SITUATIONS: dict[str, tuple[Callable[[], Shop], str]] = {
    "first": (lambda: shop_with(order_webhook()), "grant 10 api_usage"),
    "again": (lambda: sold(TEN), "nothing: 10 api_usage already granted"),
    "again, by other rules": (
        lambda: under(TWENTY, sold(TEN)),
        "nothing: 10 api_usage already granted (today's rules say 20 api_usage: left alone)",
    ),
    "killed": (lambda: killed(shop_with(order_webhook())), "grant 10 api_usage, as claimed before"),
    "killed, by other rules": (
        lambda: under(NOBODY, killed(shop_with(order_webhook()))),
        "grant 10 api_usage, as claimed before (today's rules say nothing: left alone)",
    ),
    "no rule": (
        lambda: shop_with(payload("customer_created")),
        "skip: no rule has the trigger customer.created",
    ),
    "unreadable": (
        lambda: shop_with(b'{"type": 7}'),
        "fail: the body cannot be read: type: Input should be a valid string",
    ),
    "of no use": (
        lambda: shop_with(payload("order_created_paid_purchase")),
        "skip: order.created is ignored: no rule can credit it",
    ),
    "with a bonus": (lambda: shop_with(order_webhook(), rules=BOTH), "grant 60 api_usage"),
    "the bonus was granted": (
        lambda: then(sold(BOTH), OTHER),
        "grant 10 api_usage; 50 api_usage already granted to this customer",
    ),
    "only a bonus, and it was granted": (
        lambda: then(sold(rules_of(BONUS)), OTHER),
        "nothing: 50 api_usage already granted to this customer",
    ),
    "the bonus was claimed, no more": (
        lambda: then(killed(shop_with(order_webhook(), rules=BOTH)), OTHER),
        "grant 10 api_usage; 50 api_usage already granted to this customer",
    ),
    "a refund": (lambda: then(sold(), refund_webhook(300)), "took back 30 api_usage"),
    "a refund on several meters": (
        lambda: then(sold(MIXED), refund_webhook(500)),
        "took back 50 api_usage, 4 images",
    ),
    "a refund again": (
        lambda: then(refunded(300), refund_webhook(300)),
        "nothing: the refunded share has already been taken back",
    ),
    "a late refund": (
        lambda: then(refunded(300), refund_webhook(100)),
        "nothing: a later refund, 300 in total, has already been processed",
    ),
    "a refund of what is kept": (
        lambda: then(sold(KEPT), refund_webhook(300)),
        "nothing: no rule that credited this order takes credits back (on_refund: revoke)",
    ),
    "a refund before the credit": (
        lambda: shop_with(refund_webhook(300)),
        "nothing: this order has not been credited yet: the refund counts when the order is credited",
    ),
    "a refund that a dead worker left": (
        lambda: killed(then(sold(), refund_webhook(300))),
        "took back 30 api_usage",
    ),
    "a refund of what a dead worker left": (
        lambda: then(killed(shop_with(order_webhook(), rules=HUNDRED)), refund_webhook(300)),
        "nothing: this order is not credited at Polar yet: the refund counts when the order is credited",
    ),
    "the credit after its refund": (
        lambda: shop_with(order_webhook(refunded_amount=300), rules=HUNDRED),
        "grant 100 api_usage; took back 30 api_usage",
    ),
}
"""For each situation, its deliveries and the dry run of the last one."""


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_dry_run_is_one_line_of_text(situation: str) -> None:
    shop, words = SITUATIONS[situation][0](), SITUATIONS[situation][1]
    assert said(shop, last(shop)) == words


def test_a_dry_run_announces_a_failed_expression() -> None:
    words = said(shop_with(order_webhook(), rules=rules_of(PACK, FAILS)), "msg-1")
    assert words.startswith("fail: rule fails, images: order.net_amount - 5000")


# The dry run, and the run

_NONE = Stored(type="", body=b"", due=None)
RULES: Mapping[str, Rules] = {
    "rules: ten": TEN,
    "rules: bonus": BOTH,
    "rules: claws": rules_of(PACK, CLAWS),
    "rules: all": rules_of(PACK, BONUS, CLAWS, WELCOME),
    "rules: only the bonus": rules_of(BONUS, WELCOME),
    "rules: none": NOBODY,
    "rules: failing": rules_of(PACK, BONUS, FAILS),
}
BODIES: Mapping[str, bytes] = {
    "order": order_webhook(),
    "order, refunded since": order_webhook(refunded_amount=300),
    "refund 300": refund_webhook(300),
    "refund 500": refund_webhook(500),
    "refund 1000": refund_webhook(1000),
    "another order": OTHER,
    "another's refund": refund_webhook(400, id=some_id(2)),
    "customer": webhook("customer_created", id=CUSTOMER),
    "unreadable": b"{}",
}


def confirm_all(shop: Shop) -> None:
    """Let Polar have every grant as the ledger has it."""
    claims = list(shop.store.claims.values())
    shop.store.confirm(
        [grant for claim in claims for grant in claim.grants if grant.meter in claim.unconfirmed]
    )


@settings(max_examples=examples(500))
@given(
    st.lists(st.sampled_from([*RULES, *BODIES, *MISHAPS]), max_size=12),
    st.sampled_from(sorted(BODIES)),
    st.sampled_from(sorted(RULES)),
)
@example(["order, refunded since", "killed before settling", "refused"], "order", "rules: all")
def test_a_run_does_what_the_dry_run_announced(story: list[str], body: str, rules: str) -> None:
    shop = Shop(rules_of(PACK, BONUS, CLAWS))
    for action in [*story, body]:
        if action in RULES:
            shop.rules = RULES[action]
        elif action in BODIES:
            then(shop, BODIES[action])
        else:
            MISHAPS[action](shop)
    shop.rules = RULES[rules]
    confirm_all(shop)  # else what an earlier run left to be taken back is held, and no dry run announces it
    prospect, earlier = prospect_of(shop, last(shop)), len(shop.polar.requests)
    shop.clock.advance(60)  # the pause is over by then
    outcome = shop.replay(last(shop))[last(shop)]
    confirm_all(shop)  # else take-backs are held: a worker that was killed leaves grants in doubt
    taking = take_back_delivery(outcome.order_id)
    if outcome.status is Status.GRANTED and shop.store.deliveries.get(taking, _NONE).due:
        shop.replay(taking)
    assert promised(prospect.text) == sent(shop, earlier) == counted(prospect)
    assert_ends_as_said(prospect.text, outcome)
    assert prospect.fails == (outcome.status is Status.FAILED)


def promised(words: str) -> dict[tuple[str, str], Decimal]:
    """Return the credits that a dry run announces, by direction and meter."""
    found: dict[tuple[str, str], Decimal] = {}
    for sign in ("grant", "took back"):
        if match := re.search(rf"(?:^|; ){sign} ((?:[\d.]+ \w+(?:, )?)+)", words):
            pairs = (each.split(" ") for each in match[1].rstrip(", ").split(", "))
            found |= {(sign, meter): Decimal(units) for units, meter in pairs}
    return found


def counted(prospect: Prospect) -> dict[tuple[str, str], Decimal]:
    """Return the credits of a dry run's grants, by direction and meter."""
    found: dict[tuple[str, str], Decimal] = {}
    for grant in prospect.grants:
        place = ("grant" if grant.units > 0 else "took back", grant.meter)
        found[place] = found.get(place, Decimal(0)) + abs(grant.units)
    return found


def sent(shop: Shop, earlier: int) -> dict[tuple[str, str], Decimal]:
    """Return the credits sent to Polar after the first ``earlier`` requests, by direction and meter."""
    found: dict[tuple[str, str], Decimal] = {}
    for event in (event for request in shop.polar.requests[earlier:] for event in request):
        credits_ = -Decimal(str(event["metadata"]["units"]))
        place = ("grant" if credits_ > 0 else "took back", event["name"])
        found[place] = found.get(place, Decimal(0)) + abs(credits_)
    return found


def assert_ends_as_said(words: str, outcome: Outcome) -> None:
    if words.startswith("fail: "):
        assert (outcome.status, f"fail: {outcome.reason}") == (Status.FAILED, words)
    elif words.startswith("skip: "):
        assert (outcome.status, f"skip: {outcome.reason}") == (Status.SKIPPED, words)
    elif words.startswith("nothing: "):
        assert outcome.status in {Status.GRANTED, Status.SKIPPED}
    else:
        assert outcome.status is Status.GRANTED
