"""PURE: why a webhook led to the credit that it did, or to none."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.rules import Rules
from workers.core.claims import Standing
from workers.core.delivery_plans import PlannedDelivery
from workers.core.dry_run import dry_run_text
from workers.core.facts import Fact
from workers.core.planning import Plan, Verdict, judge, never, why_not
from workers.core.wording import plain


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleView:
    """One rule before one webhook: whether it matches, and what it gives or what kept it from it."""

    rule: str
    matches: bool
    because: str
    fails: bool = False
    """Whether it cannot be told: then the whole delivery fails."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Everything that bears on the credit of one webhook."""

    type: str
    fact: Fact | None
    """What it tells of; None for a refund, for what is done by hand, and for what rules cannot credit."""
    rules: tuple[RuleView, ...]
    plan: Plan | None
    """What today's rules would grant if nothing had been granted yet, and the refund it tells of."""
    standing: Standing
    outlook: str
    """What would come of it if it were run now."""


def explain(planned: PlannedDelivery, rules: Rules, standing: Standing) -> Explanation:
    """Explain a planned delivery, given what the ledger has for it."""
    return Explanation(
        type=planned.type,
        fact=planned.fact,
        rules=tuple(rule_views(planned.fact, rules)) if planned.fact else (),
        plan=planned.plan,
        standing=standing,
        outlook=dry_run_text(planned, standing),
    )


def rule_views(fact: Fact, rules: Rules) -> Sequence[RuleView]:
    """Return what each rule makes of ``fact``, in the order of the file."""
    if reason := never(fact, rules):
        return [RuleView(rule=rule.name, matches=False, because=reason) for rule in rules.rules]
    return [_view(judge(rule, fact), fact) for rule in rules.rules]


def _view(verdict: Verdict, fact: Fact) -> RuleView:
    name = verdict.rule.name
    if verdict.failure:
        words = verdict.failure.removeprefix(f"rule {name}, ")
        return RuleView(rule=name, matches=False, because=words, fails=True)
    if verdict.obstacle is not None:
        return RuleView(rule=name, matches=False, because=why_not(verdict, fact))
    credits_ = ", ".join(f"{plain(units)} {meter}" for meter, units in verdict.amounts.items())
    return RuleView(rule=name, matches=True, because=f"gives {credits_}")
