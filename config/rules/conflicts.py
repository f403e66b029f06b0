"""PURE: what rules cannot say together, within one of them or between two."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from config.rules.model import DEFAULT_TRIGGERS, Rule, Trigger
from config.rules.problems import Place
from config.wording import joined, quoted

_SINCE_EVER = datetime.min.replace(tzinfo=UTC)
_FOR_EVER = datetime.max.replace(tzinfo=UTC)

_RENEWAL = timedelta(hours=1)  # from a period's start to its order it takes seconds, in bad times minutes

_BOTH = (Trigger.SUBSCRIPTION_CYCLE, Trigger.PERIOD)
_NO_ORDER = {
    Trigger.PERIOD: "a period is no order: nothing of it is refunded",
    Trigger.CUSTOMER: "a new customer has paid nothing that could be refunded",
}


def conflicts_within(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield what a rule's keys say against each other: the key to mend, and why."""
    if rule.revokes and rule.once_per_customer:
        yield "on_refund", "`on_refund: revoke` does not go with `once_per`: that credit is no single order's"
    for trigger in Trigger:
        if rule.revokes and trigger in rule.triggers and trigger in _NO_ORDER:
            yield (
                "on_refund",
                f"`on_refund: revoke` does not go with the trigger {trigger}: {_NO_ORDER[trigger]}",
            )
    if rule.products is not None and Trigger.CUSTOMER in rule.triggers:
        why = "a new customer has bought no product; make it a rule of its own"
        yield "products", f"`products` does not go with the trigger {Trigger.CUSTOMER}: {why}"
    if rule.triggers.issuperset(_BOTH) and not rule.once_per_customer:
        meters = joined(map(quoted, rule.grant))
        why = f"each billing cycle could be credited to {meters} by both; keep one of them"
        yield "triggers", f"{' does not go with '.join(_BOTH)}: {why}"


def conflicts_between(placed: Sequence[tuple[Rule, Place]]) -> Iterator[tuple[Place, str]]:
    """Yield where a rule could credit a billing cycle that one before it credits by the other trigger."""
    earlier: dict[Trigger, list[tuple[Rule, Place]]] = {trigger: [] for trigger in _BOTH}
    for rule, place in placed:
        said: set[str] = set()  # one word for each meter is enough to mend it
        for mine, theirs in (_BOTH, _BOTH[::-1]):
            for other, other_place in earlier[theirs] if _credits(rule, mine) else ():
                meters = [meter for meter in rule.grant if meter in other.grant and meter not in said]
                if meters and _share_products(rule, other) and _share_time(rule, other):
                    said.update(meters)
                    who = f"rule {quoted(other.name)} on line {other_place.line}"
                    both = (
                        f"{who} credits {theirs}{_usual(other, theirs)}, this one {mine}{_usual(rule, mine)}"
                    )
                    yield place, f"{both}: {_clash(meters)}"
        for trigger in () if rule.once_per_customer else rule.triggers.intersection(_BOTH):
            earlier[trigger].append((rule, place))


def close_handovers(placed: Sequence[tuple[Rule, Place]]) -> Iterator[tuple[Place, str]]:
    """Yield where a rule for paid cycles takes over from one for begun periods, with renewals under way."""
    for rule, place in placed:
        for other, _ in placed if _credits(rule, Trigger.SUBSCRIPTION_CYCLE) else ():
            if _credits(other, Trigger.PERIOD) and _hands_over(other, rule):
                yield (
                    place,
                    f"this rule begins where rule {quoted(other.name)} ends: a renewal whose period begins "
                    "just before, and whose order is made just after, is credited by both; leave an hour",
                )


def _hands_over(earlier: Rule, later: Rule) -> bool:
    if earlier.ends is None or later.begins is None or not _share_products(earlier, later):
        return False
    is_close = earlier.ends <= later.begins < earlier.ends + _RENEWAL
    return is_close and not earlier.grant.keys().isdisjoint(later.grant)


def _clash(meters: Sequence[str]) -> str:
    return (
        f"a billing cycle could be credited to {joined(map(quoted, meters))} by both; "
        "keep one of them, or end one with `until` where the other begins with `from`"
    )


def _credits(rule: Rule, trigger: Trigger) -> bool:
    """Return whether a rule credits each cycle by ``trigger``: a bonus once per customer is no cycle's."""
    return trigger in rule.triggers and not rule.once_per_customer


def _usual(rule: Rule, trigger: Trigger) -> str:
    return " (by default)" if rule.triggers == DEFAULT_TRIGGERS and trigger in DEFAULT_TRIGGERS else ""


def _share_products(one: Rule, other: Rule) -> bool:
    if one.products is None or other.products is None:
        return frozenset() not in (one.products, other.products)
    return not one.products.isdisjoint(other.products)


def _share_time(one: Rule, other: Rule) -> bool:
    begins = max(one.begins or _SINCE_EVER, other.begins or _SINCE_EVER)
    return begins < min(one.ends or _FOR_EVER, other.ends or _FOR_EVER)
