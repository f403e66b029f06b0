"""Applies the rules to a fact. The result is a plan: grants, or the reason why there are none."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import IntEnum

from msgspec import Struct, field

from config.cel.amounts import AmountError, evaluate_amount
from config.cel.conditions import ConditionError
from config.rules import Rule, Rules, Trigger
from workers.core.facts import Fact
from workers.core.grants import Grant, Part, customer_subject
from workers.core.plan_checks import impossible_instalments, inexact_sums
from workers.core.plans import Plan
from workers.core.schedule import PaidPeriod
from workers.core.wording import utc

_MOST_NAMED = 3  # a reason names at most this many of the rules that came close


class Obstacle(IntEnum):
    """Why a rule does not credit a fact. A higher value means that the rule came closer to a match."""

    PRODUCT = 1
    TRIGGER = 2
    WINDOW = 3
    CONDITION = 4
    NOTHING_GIVEN = 5


class Verdict(Struct, frozen=True, kw_only=True):
    """What one rule makes of a fact: amounts by meter, or an obstacle, or a failed expression."""

    rule: Rule
    amounts: dict[str, Decimal] = field(default_factory=dict)
    obstacle: Obstacle | None = None
    failure: str = ""


def plan_for(fact: Fact, rules: Rules) -> Plan:
    """Return what the matching rules grant for ``fact``, added up to one grant per subject and meter."""
    reason = why_never(fact, rules)
    # Of many rules, most are for something else: they are judged only if none of the others credits the fact.
    applying = [] if reason else [rule for rule in rules.rules if _obstacle(rule, fact) is None]
    verdicts = [judge(rule, fact) for rule in applying]
    has_instalments = any(one.rule.every for one in verdicts if one.amounts)
    period = fact.period if has_instalments else None
    grants = tuple(_grants(fact, verdicts, rules, period))
    failures = [one.failure for one in verdicts if one.failure]
    failures += inexact_sums(grants)
    failures += impossible_instalments(grants, period) if has_instalments else ()
    failure = "; ".join(failures)
    return Plan(
        subject=fact.subject,
        customer_id=fact.customer_id,
        order_id=fact.order_id,
        grants=() if failure else grants,
        refund=fact.refund,
        shown=fact.shown,
        period=None if failure else period,
        skip="" if grants or failure else (reason or _no_match(fact, _all_judged(fact, rules, verdicts))),
        failure=failure,
    )


def _all_judged(fact: Fact, rules: Rules, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts of all rules, of which some are known."""
    known = {one.rule.name: one for one in verdicts}
    return [known.get(rule.name) or judge(rule, fact) for rule in rules.rules]


def judge(rule: Rule, fact: Fact) -> Verdict:
    """Return what ``rule`` alone grants for ``fact``."""
    if obstacle := _obstacle(rule, fact):
        return Verdict(rule=rule, obstacle=obstacle)
    try:
        if rule.when is not None and not rule.when.holds(fact.variables):
            return Verdict(rule=rule, obstacle=Obstacle.CONDITION)
    except ConditionError as error:
        return Verdict(rule=rule, failure=f"rule {rule.name}, when: {error}")
    amounts: dict[str, Decimal] = {}
    for meter, amount in rule.grant.items():
        try:
            # Only an expression needs the variables, for which the whole webhook is parsed.
            amounts[meter] = (
                amount if isinstance(amount, Decimal) else evaluate_amount(amount, fact.variables)
            )
        except AmountError as error:
            return Verdict(rule=rule, failure=f"rule {rule.name}, {meter}: {error}")
    given = {meter: units for meter, units in amounts.items() if units}
    return Verdict(rule=rule, amounts=given, obstacle=None if given else Obstacle.NOTHING_GIVEN)


def why_never(fact: Fact, rules: Rules) -> str:
    """Return why no rule can credit ``fact``; empty if one could."""
    if fact.why_never:
        return fact.why_never
    if rules.credit_from is not None and fact.moment < rules.credit_from:
        return f"{_happened(fact)}, before credit_from"
    return ""


def why_not(verdict: Verdict, fact: Fact) -> str:
    """Return why a rule does not credit ``fact``, with the value that decided it."""
    rule = verdict.rule
    if verdict.obstacle is Obstacle.PRODUCT:
        return f"not for product {fact.product_id or '(none)'}"
    if verdict.obstacle is Obstacle.TRIGGER:
        return _why_not_triggered(rule, fact)
    if verdict.obstacle is Obstacle.WINDOW:
        if rule.begins is not None and fact.moment < rule.begins:
            return f"{_happened(fact)}, before the rule starts at {utc(rule.begins)}"
        return f"{_happened(fact)}, but the rule ended" + (f" at {utc(rule.ends)}" if rule.ends else "")
    if verdict.obstacle is Obstacle.CONDITION and rule.when is not None:
        return rule.when.explain_false(fact.variables)
    return f"gives 0 {' and '.join(rule.grant)}"


def _obstacle(rule: Rule, fact: Fact) -> Obstacle | None:
    if rule.products is not None and fact.product_id not in rule.products:
        return Obstacle.PRODUCT
    if not _is_triggered(rule, fact):
        return Obstacle.TRIGGER
    if rule.begins is not None and fact.moment < rule.begins:
        return Obstacle.WINDOW
    if rule.ends is not None and fact.moment >= rule.ends:
        return Obstacle.WINDOW
    return None


def _is_triggered(rule: Rule, fact: Fact) -> bool:
    is_trial_named = not fact.begins_with_trial or Trigger.TRIAL_START in rule.triggers
    return fact.trigger in rule.effective_triggers and is_trial_named


def _why_not_triggered(rule: Rule, fact: Fact) -> str:
    if fact.trigger not in rule.triggers:
        return f"not triggered by {fact.trigger}"
    if fact.begins_with_trial:
        return f"a subscription that begins with a trial counts only beside {Trigger.TRIAL_START}"
    return f"it credits a trial by {Trigger.SUBSCRIPTION}, not by the trial's order"


def _no_match(fact: Fact, verdicts: Sequence[Verdict]) -> str:
    closest = max((one.obstacle or 0 for one in verdicts), default=Obstacle.PRODUCT)
    product = f"product {fact.product_id or '(none)'}"
    if fact.trigger is Trigger.CUSTOMER and closest <= Obstacle.TRIGGER:
        return f"no rule has the trigger {fact.trigger}"
    if closest == Obstacle.PRODUCT:
        return f"no rule names {product}"
    near = [one for one in verdicts if one.obstacle == closest]
    if closest == Obstacle.TRIGGER:
        near = [one for one in near if fact.trigger in one.rule.triggers]  # but for other reasons in vain
        if not near:
            return f"no rule for {product} has the trigger {fact.trigger}"
    unnamed = fact.product_id is not None and _is_unnamed(fact, verdicts)
    named = [f"no rule names {product}"] if unnamed else []
    named += [f"rule {one.rule.name}: {why_not(one, fact)}" for one in near[:_MOST_NAMED]]
    more = [f"and {len(near) - _MOST_NAMED} more"] if len(near) > _MOST_NAMED else []
    return "; ".join(named + more)


def _is_unnamed(fact: Fact, verdicts: Sequence[Verdict]) -> bool:
    """Return whether rules name products, but none names this one: an id may be mistyped."""
    named = [one.rule.products for one in verdicts if one.rule.products is not None]
    return bool(named) and not any(fact.product_id in products for products in named)


def _grants(
    fact: Fact, verdicts: Sequence[Verdict], rules: Rules, period: PaidPeriod | None
) -> Iterator[Grant]:
    parts: dict[tuple[str, str], list[Part]] = {}
    for one in verdicts:
        for meter, units in one.amounts.items():
            part = Part(
                rule=one.rule.name,
                units=units,
                revocable=one.rule.revokes,
                disputable=one.rule.revokes_disputed,
                every=one.rule.every,
            )
            parts.setdefault((_subject(one.rule, fact), meter), []).append(part)
    for (subject, meter), shares in sorted(parts.items()):
        yield Grant(
            subject=subject,
            customer_id=fact.customer_id,
            meter=meter,
            property_name=rules.meters[meter].property,
            parts=tuple(shares),
            order_id=fact.order_id,
            period=period if period and any(part.every for part in shares) else None,
        )


def _subject(rule: Rule, fact: Fact) -> str:
    if rule.once_per_customer or fact.subject == customer_subject(fact.customer_id):
        return customer_subject(fact.customer_id, rule.name)
    return fact.subject


def _happened(fact: Fact) -> str:
    return f"{fact.verb} {utc(fact.moment)}"
