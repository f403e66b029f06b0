"""Finds keys of one rule that exclude each other, and rules that could credit one billing cycle twice."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from config.rules.model import DEFAULT_TRIGGERS, Rule, Trigger
from config.rules.problems import Place
from config.wording import joined, quoted

_ALWAYS = datetime.min.replace(tzinfo=UTC)
_FOREVER = datetime.max.replace(tzinfo=UTC)

_RENEWAL = timedelta(hours=1)  # an order is created seconds, at worst minutes, after its period starts

# The order and the period of one billing cycle.
_CYCLE_TRIGGERS = (Trigger.SUBSCRIPTION_CYCLE, Trigger.PERIOD)
_WHY_NOT_REFUNDABLE = {
    Trigger.PERIOD: "a period is not an order and is never refunded",
    Trigger.CUSTOMER: "a new customer has paid nothing that could be refunded",
}


def conflicts_within(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield the conflicts between the keys of one rule: the key to change, and the message."""
    if rule.revokes and rule.once_per_customer:
        why = "that credit does not belong to a single order"
        yield "on_refund", f"`on_refund: revoke` cannot be combined with `once_per`: {why}"
    for trigger in Trigger:
        if rule.revokes and trigger in rule.triggers and trigger in _WHY_NOT_REFUNDABLE:
            subject = f"`on_refund: revoke` cannot be combined with the trigger {trigger}"
            yield "on_refund", f"{subject}: {_WHY_NOT_REFUNDABLE[trigger]}"
    if rule.products is not None and Trigger.CUSTOMER in rule.triggers:
        why = "a new customer has bought no product; write a separate rule for it"
        yield "products", f"`products` cannot be combined with the trigger {Trigger.CUSTOMER}: {why}"
    if rule.triggers.issuperset(_CYCLE_TRIGGERS) and not rule.once_per_customer:
        meters = joined(map(quoted, rule.grant))
        why = f"both could credit each billing cycle to {meters}; keep one of them"
        yield "triggers", f"{' cannot be combined with '.join(_CYCLE_TRIGGERS)}: {why}"


def conflicts_between(placed: Sequence[tuple[Rule, Place]]) -> Iterator[tuple[Place, str]]:
    """Yield the conflicts between two rules: the place of the later rule, and the message.

    Two rules conflict if one credits billing cycles by their order and the other by their period, and both
    could credit one cycle to the same meter.
    """
    earlier: dict[Trigger, list[tuple[Rule, Place]]] = {trigger: [] for trigger in _CYCLE_TRIGGERS}
    for rule, place in placed:
        reported: set[str] = set()  # one message for each meter is enough
        for mine, theirs in (_CYCLE_TRIGGERS, _CYCLE_TRIGGERS[::-1]):
            for other, other_place in earlier[theirs] if _credits(rule, mine) else ():
                meters = [meter for meter in rule.grant if meter in other.grant and meter not in reported]
                if meters and _share_products(rule, other) and _share_time(rule, other):
                    reported.update(meters)
                    first = f"{_named(other)} on line {other_place.line} credits {theirs}"
                    second = f"this rule credits {mine}{_default_note(rule, mine)}"
                    yield place, f"{first}{_default_note(other, theirs)}, {second}: {_double_credit(meters)}"
        for trigger in () if rule.once_per_customer else rule.triggers.intersection(_CYCLE_TRIGGERS):
            earlier[trigger].append((rule, place))


def close_handovers(placed: Sequence[tuple[Rule, Place]]) -> Iterator[tuple[Place, str]]:
    """Yield where a rule for paid cycles begins less than an hour after a rule for begun periods ends.

    If a renewal's period begins before the switch, and its order is created after it, both rules credit it.
    """
    for rule, place in placed:
        for other, _ in placed if _credits(rule, Trigger.SUBSCRIPTION_CYCLE) else ():
            if _credits(other, Trigger.PERIOD) and _hands_over(other, rule):
                yield place, _close_handover(other)


def _hands_over(earlier: Rule, later: Rule) -> bool:
    if earlier.ends is None or later.begins is None or not _share_products(earlier, later):
        return False
    is_close = earlier.ends <= later.begins < earlier.ends + _RENEWAL
    return is_close and not earlier.grant.keys().isdisjoint(later.grant)


def _named(rule: Rule) -> str:
    return f"rule {quoted(rule.name)}" if rule.name else "the rule"


def _double_credit(meters: Sequence[str]) -> str:
    return (
        f"both could credit one billing cycle to {joined(map(quoted, meters))}; "
        "keep one of them, or end one with `until` where the other begins with `from`"
    )


def _close_handover(earlier: Rule) -> str:
    return (
        f"this rule begins less than an hour after rule {quoted(earlier.name)} ends: a renewal whose period "
        "begins just before the switch and whose order is created just after could be credited by both; "
        "leave an hour between them"
    )


def _credits(rule: Rule, trigger: Trigger) -> bool:
    """Return whether the rule credits each cycle by ``trigger``; a ``once_per`` rule does not."""
    return trigger in rule.triggers and not rule.once_per_customer


def _default_note(rule: Rule, trigger: Trigger) -> str:
    return " (by default)" if rule.triggers == DEFAULT_TRIGGERS and trigger in DEFAULT_TRIGGERS else ""


def _share_products(one: Rule, other: Rule) -> bool:
    if one.products is None or other.products is None:
        return frozenset() not in (one.products, other.products)
    return not one.products.isdisjoint(other.products)


def _share_time(one: Rule, other: Rule) -> bool:
    begins = max(one.begins or _ALWAYS, other.begins or _ALWAYS)
    return begins < min(one.ends or _FOREVER, other.ends or _FOREVER)
