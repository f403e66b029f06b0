"""What the reconciler needs of the rules, and what the rules need of the reconciler."""

from config.rules import Rules

NEEDS_CREDIT_FROM = (
    "CREDITS_RECONCILE_EVERY needs credit_from in the rules: without it, orders that were credited in "
    "another way before you went live would be credited again"
)

NEEDS_RECONCILER = (
    "a rule has on_dispute: revoke, but CREDITS_RECONCILE_EVERY is off: set it, to 6h for example. "
    "Polar sends no webhook for a lost dispute, so only the reconciler finds it"
)


INSTALMENTS_GO_ON = (
    "a rule has every, but no reconciler runs: a lost dispute ends no instalments. Set "
    "CREDITS_RECONCILE_EVERY, to 6h for example"
)


def needs_disputes(rules: Rules) -> bool:
    """Return whether a rule takes credits back after a lost dispute."""
    return any(rule.revokes_disputed for rule in rules.rules)


def wants_disputes(rules: Rules) -> bool:
    """Return whether a lost dispute matters: it takes credits back, or it ends instalments."""
    return needs_disputes(rules) or any(rule.every for rule in rules.rules)
