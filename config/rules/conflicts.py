"""Finds keys of one rule that exclude each other, and rules that could credit the same thing twice."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from config.rules.model import DEFAULT_TRIGGERS, PERIOD_TRIGGERS, Rule, Trigger
from config.rules.problems import Place
from config.wording import joined, quoted

_ALWAYS = datetime.min.replace(tzinfo=UTC)
_FOREVER = datetime.max.replace(tzinfo=UTC)

_ORDER_DELAY = timedelta(hours=1)  # an order is created seconds, at worst minutes, after its period starts


class _Double(NamedTuple):
    """Two triggers that fire for the same thing: one for its order, and one without."""

    order: Trigger
    event: Trigger
    what: str
    seam: str
    """Explains how both rules could apply although one ends where the other begins."""


_RENEWAL = "a renewal whose period begins just before the switch and whose order is created just after"
_START = "a subscription that is created just before the switch and whose order is created just after"
_DOUBLES = (
    _Double(Trigger.SUBSCRIPTION_CYCLE, Trigger.PERIOD, "billing cycle", _RENEWAL),
    _Double(Trigger.SUBSCRIPTION_CREATE, Trigger.SUBSCRIPTION, "subscription's start", _START),
    _Double(Trigger.TRIAL_START, Trigger.SUBSCRIPTION, "subscription's start", _START),
)
_WHY_NOT_REFUNDABLE = {
    Trigger.SUBSCRIPTION: "it credits without an order, and only orders are refunded",
    Trigger.PERIOD: "a period is not an order and is never refunded",
    Trigger.CUSTOMER: "a new customer has paid nothing that could be refunded",
}

_WHY_NOT_DISPUTABLE = {
    Trigger.SUBSCRIPTION: "it credits without an order, and only an order's payment is disputed",
    Trigger.PERIOD: "a period is not an order, and only an order's payment is disputed",
    Trigger.CUSTOMER: "a new customer has paid nothing that could be disputed",
}

_WHY_NO_PERIOD = {
    Trigger.PURCHASE: "a purchase has no paid period that ends",
    Trigger.SUBSCRIPTION_METER_CYCLE: "it pays for usage, not for a period",
    Trigger.SUBSCRIPTION: "it credits without an order that has paid the period",
    Trigger.PERIOD: "it credits a period whether it is paid or not",
    Trigger.CUSTOMER: "a new customer has paid no period",
}


def conflicts_within(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield the conflicts between the keys of one rule: the key to change, and the message."""
    for key, revokes, why_not in (
        ("on_refund", rule.revokes, _WHY_NOT_REFUNDABLE),
        ("on_dispute", rule.revokes_disputed, _WHY_NOT_DISPUTABLE),
    ):
        if revokes and rule.once_per_customer:
            why = "that credit does not belong to a single order"
            yield key, f"`{key}: revoke` cannot be combined with `once_per`: {why}"
        for trigger in Trigger:
            if revokes and trigger in rule.triggers and trigger in why_not:
                yield (
                    key,
                    f"`{key}: revoke` cannot be combined with the trigger {trigger}: {why_not[trigger]}",
                )
    yield from _conflicts_with_every(rule)
    if rule.products is not None and Trigger.CUSTOMER in rule.triggers:
        why = "a new customer has bought no product; write a separate rule for it"
        yield "products", f"`products` cannot be combined with the trigger {Trigger.CUSTOMER}: {why}"
    for double in _DOUBLES:
        if _credits(rule, double.order) and _credits(rule, double.event):
            meters = joined(map(quoted, rule.grant))
            why = f"both could credit each {double.what} to {meters}; keep one of them"
            yield "triggers", f"{double.order} cannot be combined with {double.event}: {why}"


def _conflicts_with_every(rule: Rule) -> Iterator[tuple[str, str]]:
    if rule.every is None:
        return
    if rule.once_per_customer:
        yield "every", "`every` cannot be combined with `once_per`: that credit is given only once"
    for trigger in Trigger:
        if trigger in rule.triggers - PERIOD_TRIGGERS:
            note = f"{_default_note(rule, trigger)}: {_WHY_NO_PERIOD[trigger]}"
            usual = joined(one for one in Trigger if one in DEFAULT_TRIGGERS & PERIOD_TRIGGERS)
            hint = f"; write `triggers: [{usual}]`" if rule.triggers == DEFAULT_TRIGGERS else ""
            yield "every", f"`every` cannot be combined with the trigger {trigger}{note}{hint}"


def mixed_instalments(placed: Sequence[tuple[Rule, Place]]) -> Iterator[tuple[Place, str]]:
    """Yield where rules with different ``every`` could credit one meter from one order.

    Each meter of an order has one row of dates, so that each instalment has one key.
    """
    earlier: list[tuple[Rule, Place]] = []
    for rule, place in (one for one in placed if one[0].every):
        for other, other_place in earlier:
            meters = [meter for meter in rule.grant if meter in other.grant]
            if meters and rule.every != other.every and _share_orders(rule, other):
                yield place, _mixed(rule, other, other_place, meters)
                break
        earlier.append((rule, place))


def _mixed(rule: Rule, other: Rule, other_place: Place, meters: Sequence[str]) -> str:
    return (
        f"{_named(other)} on line {other_place.line} credits every {other.every}, this rule every "
        f"{rule.every}: both could credit {joined(map(quoted, meters))} from one order; give them the same "
        "`every`, or different meters"
    )


def _share_orders(one: Rule, other: Rule) -> bool:
    is_shared = bool(one.effective_triggers & other.effective_triggers)
    return is_shared and _share_products(one, other) and _share_time(one, other)


def conflicts_between(placed: Sequence[tuple[Rule, Place]]) -> Iterator[tuple[Place, str]]:
    """Yield the conflicts between two rules: the place of the later rule, and the message.

    Two rules conflict if one credits by an order and the other without, and both could credit the same
    billing cycle, or the same subscription's start, to one meter.
    """
    earlier: dict[Trigger, list[tuple[Rule, Place]]] = {trigger: [] for trigger in Trigger}
    for rule, place in placed:
        reported: set[str] = set()  # one message for each meter is enough
        for double, mine, theirs in _sides(rule):
            for other, other_place in earlier[theirs]:
                meters = [meter for meter in rule.grant if meter in other.grant and meter not in reported]
                if meters and _share_products(rule, other) and _share_time(rule, other):
                    reported.update(meters)
                    first = f"{_named(other)} on line {other_place.line} credits {theirs}"
                    second = f"this rule credits {mine}{_default_note(rule, mine)}"
                    twice = _double_credit(double, meters)
                    yield place, f"{first}{_default_note(other, theirs)}, {second}: {twice}"
        for _, mine, _ in _sides(rule):
            if not earlier[mine] or earlier[mine][-1][0] is not rule:
                earlier[mine].append((rule, place))


def close_handovers(placed: Sequence[tuple[Rule, Place]]) -> Iterator[tuple[Place, str]]:
    """Yield where a rule that credits by orders begins less than an hour after one that credits without ends.

    If a period begins before the switch, and its order is created after it, both rules credit it.
    """
    for rule, place in placed:
        warned: set[tuple[Trigger, str]] = set()
        for double in (one for one in _DOUBLES if _credits(rule, one.order)):
            for other, _ in placed:
                is_new = (double.event, other.name) not in warned
                if is_new and _credits(other, double.event) and _hands_over(other, rule):
                    warned.add((double.event, other.name))
                    yield place, _close_handover(double, other)


def catch_alls(placed: Sequence[tuple[Rule, Place]]) -> Iterator[tuple[Place, str]]:
    """Yield where a rule for every product adds to what rules with products credit to the same meter."""
    for rule, place in placed:
        added = [
            other
            for other, _ in placed
            if rule.products is None and other.products and _adds_up(rule, other) and _share_time(rule, other)
        ]
        if added:
            names = joined(quoted(other.name) for other in added)
            meters = joined(
                quoted(meter) for meter in rule.grant if any(meter in other.grant for other in added)
            )
            yield (
                place,
                (
                    f"this rule has no `products`, so it also credits {meters} for the products of {names}, "
                    "and the amounts add up; name its products if that is not meant"
                ),
            )


def _adds_up(rule: Rule, other: Rule) -> bool:
    """Return whether both rules could credit one fact to one meter."""
    is_bonus = rule.once_per_customer or other.once_per_customer
    is_shared = rule.effective_triggers & other.effective_triggers and rule.grant.keys() & other.grant.keys()
    return bool(is_shared) and not is_bonus


def _sides(rule: Rule) -> Iterator[tuple[_Double, Trigger, Trigger]]:
    """Yield each pair of which the rule has one trigger: the pair, this trigger and the other one."""
    for double in _DOUBLES:
        if _credits(rule, double.order):
            yield double, double.order, double.event
        if _credits(rule, double.event):
            yield double, double.event, double.order


def _hands_over(earlier: Rule, later: Rule) -> bool:
    if earlier.ends is None or later.begins is None or not _share_products(earlier, later):
        return False
    is_close = earlier.ends <= later.begins < earlier.ends + _ORDER_DELAY
    return is_close and not earlier.grant.keys().isdisjoint(later.grant)


def _named(rule: Rule) -> str:
    return f"rule {quoted(rule.name)}" if rule.name else "the rule"


def _double_credit(double: _Double, meters: Sequence[str]) -> str:
    return (
        f"both could credit one {double.what} to {joined(map(quoted, meters))}; "
        "keep one of them, or end one with `until` where the other begins with `from`"
    )


def _close_handover(double: _Double, earlier: Rule) -> str:
    return (
        f"this rule begins less than an hour after rule {quoted(earlier.name)} ends: {double.seam} could be "
        "credited by both; leave an hour between them"
    )


def _credits(rule: Rule, trigger: Trigger) -> bool:
    """Return whether the rule credits each time by ``trigger``; a ``once_per`` rule does not."""
    return trigger in rule.effective_triggers and not rule.once_per_customer


def _default_note(rule: Rule, trigger: Trigger) -> str:
    return " (by default)" if rule.triggers == DEFAULT_TRIGGERS and trigger in DEFAULT_TRIGGERS else ""


def _share_products(one: Rule, other: Rule) -> bool:
    if one.products is None or other.products is None:
        return frozenset() not in (one.products, other.products)
    return not one.products.isdisjoint(other.products)


def _share_time(one: Rule, other: Rule) -> bool:
    begins = max(one.begins or _ALWAYS, other.begins or _ALWAYS)
    return begins < min(one.ends or _FOREVER, other.ends or _FOREVER)
