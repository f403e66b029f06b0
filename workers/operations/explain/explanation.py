"""Explains why a webhook led to the credits that it did, or to none."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from msgspec import Struct

from config.rules import NO_RULES, Rules
from workers.core.claims import Claim, Standing
from workers.core.delivery_plans import PlannedDelivery
from workers.core.dry_run import dry_run_text
from workers.core.facts import Fact
from workers.core.grants import Grant
from workers.core.instalment_series import Series, later_instalments
from workers.core.planning import Verdict, judge, why_never, why_not
from workers.core.plans import Plan
from workers.core.wording import plain

_NO_OUTLOOK = "unknown: the rules file cannot be used"


class RuleView(Struct, frozen=True, kw_only=True):
    """One rule applied to one webhook: whether it matches, and what it grants or why it does not match."""

    rule: str
    matches: bool
    because: str
    fails: bool = False
    """Whether the rule cannot be evaluated; the whole delivery fails then."""


class Explanation(Struct, frozen=True, kw_only=True):
    """Everything that decides what one webhook is credited."""

    type: str
    fact: Fact | None = None
    """What rules can credit; None for a refund, a manual grant, and a webhook that rules cannot credit."""
    rules: tuple[RuleView, ...] = ()
    plan: Plan | None = None
    """What today's rules would grant if nothing had been granted yet, and the refund in the webhook."""
    standing: Standing
    outlook: str
    """What would happen if the delivery were run now."""

    @property
    def claims(self) -> Sequence[Claim]:
        """Return all claims in the ledger: those of this fact, and bonuses that the customer already has."""
        return (*self.standing.claims, *self.standing.elsewhere)

    @property
    def planned(self) -> Sequence[Grant]:
        """Return what today's rules would grant, without bonuses that the customer already has."""
        granted = {claim.subject for claim in self.standing.elsewhere}
        return [grant for grant in self.plan.grants if grant.subject not in granted] if self.plan else ()

    @property
    def series(self) -> Sequence[Series]:
        """Return the later instalments that would follow what today's rules would grant."""
        return list(later_instalments(self.planned, self.plan.period)) if self.plan else ()

    @property
    def totals(self) -> Mapping[str, Decimal]:
        """Return the sum of all claims of this fact, by meter; what was taken back is subtracted."""
        sums: dict[str, Decimal] = {}
        for grant in (grant for claim in self.standing.claims for grant in claim.grants):
            sums[grant.meter] = sums.get(grant.meter, Decimal(0)) + grant.units
        return sums


def explain(planned: PlannedDelivery, rules: Rules, standing: Standing) -> Explanation:
    """Explain a planned delivery, given what the ledger has for it."""
    return Explanation(
        type=planned.type,
        fact=planned.fact,
        rules=tuple(rule_views(planned.fact, rules)) if planned.fact else (),
        plan=planned.plan,
        standing=standing,
        outlook=_NO_OUTLOOK if rules is NO_RULES else dry_run_text(planned, standing),
    )


def rule_views(fact: Fact, rules: Rules) -> Sequence[RuleView]:
    """Return what each rule makes of ``fact``, in the order of the file."""
    if reason := why_never(fact, rules):
        return [RuleView(rule=rule.name, matches=False, because=reason) for rule in rules.rules]
    return [_view(judge(rule, fact), fact) for rule in rules.rules]


def _view(verdict: Verdict, fact: Fact) -> RuleView:
    name = verdict.rule.name
    if verdict.failure:
        failure = verdict.failure.removeprefix(f"rule {name}, ")
        return RuleView(rule=name, matches=False, because=failure, fails=True)
    if verdict.obstacle is not None:
        return RuleView(rule=name, matches=False, because=why_not(verdict, fact))
    amounts = ", ".join(f"{plain(units)} {meter}" for meter, units in verdict.amounts.items())
    every = f", every {verdict.rule.every}" if verdict.rule.every else ""
    return RuleView(rule=name, matches=True, because=f"grants {amounts}{every}")
