"""What rules are, once read: the values that the planning of credits works with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from config.cel.amounts import Amount
from config.cel.conditions import Condition
from config.rules.problems import Problem


class Trigger(StrEnum):
    """What happened, in the words of a rule: a paid order by what it is for, a new period, a new customer."""

    PURCHASE = "purchase"
    """A product was bought once, without a subscription."""

    SUBSCRIPTION_CREATE = "subscription_create"
    """A subscription began and its first period was paid."""

    TRIAL_START = "trial_start"
    """A trial began; Polar calls this a subscription_create too, of nothing."""

    SUBSCRIPTION_CYCLE = "subscription_cycle"
    """A further period was paid: a renewal, or the first one after a trial."""

    SUBSCRIPTION_UPDATE = "subscription_update"
    """A change of plan, seats or interval was paid, as a rule pro rata."""

    SUBSCRIPTION_METER_CYCLE = "subscription_meter_cycle"
    """Metered usage beyond what the subscription includes was paid."""

    PERIOD = "subscription.cycled"
    """A subscription's period began, paid or not."""

    CUSTOMER = "customer.created"
    """There is a new customer."""


ORDER_TRIGGERS = frozenset(set(Trigger) - {Trigger.PERIOD, Trigger.CUSTOMER})

DEFAULT_TRIGGERS = frozenset({Trigger.PURCHASE, Trigger.SUBSCRIPTION_CREATE, Trigger.SUBSCRIPTION_CYCLE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Meter:
    """A meter: the event name that its filter looks for, the metadata property that it sums."""

    name: str
    property: str = "units"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What one rule grants (an amount by meter), and for what; no products means every.

    It is for orders made, periods begun, customers created at or after ``begins`` and before ``ends``.
    """

    name: str
    products: frozenset[str] | None = None
    triggers: frozenset[Trigger] = DEFAULT_TRIGGERS
    when: Condition | None = None
    begins: datetime | None = None
    ends: datetime | None = None
    once_per_customer: bool = False
    revokes: bool = False
    """Whether refunds take back what it granted."""
    grant: Mapping[str, Amount]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """A whole rules file; ``digest`` tells one version of it from another."""

    meters: Mapping[str, Meter]
    rules: tuple[Rule, ...]
    credit_from: datetime | None
    digest: str
    warnings: tuple[Problem, ...] = ()
    """What is no mistake for certain, yet worth a look."""


NO_RULES = Rules(meters={}, rules=(), credit_from=None, digest="")
"""Rules that credit nothing: for reading a delivery that no rule decides about."""
