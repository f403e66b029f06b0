"""Defines the rules as values, once their file is read. Planning works with these values."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct, field

from config.cel.amounts import Amount
from config.cel.conditions import Condition
from config.intervals import Every
from config.rules.problems import Problem


class Trigger(StrEnum):
    """An event that rules can credit: a kind of paid order, a new subscription, period or customer."""

    _value_: str
    description: str

    def __new__(cls, value: str, description: str = "") -> "Trigger":
        """Create a member from its name in rules files and a description for their authors.

        The default is for mypy, which mistakes the look-up ``Trigger("purchase")`` for a call of this method.
        """
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    PURCHASE = "purchase", "A product was bought once, without a subscription."
    SUBSCRIPTION_CREATE = "subscription_create", "A subscription began and its first period was paid."
    TRIAL_START = (
        "trial_start",
        "A trial began, with an order of amount 0. Beside subscription.created it only extends that trigger "
        "to subscriptions that begin with a trial.",
    )
    SUBSCRIPTION_CYCLE = (
        "subscription_cycle",
        "A further period was paid: a renewal, or the first paid period after a trial.",
    )
    SUBSCRIPTION_UPDATE = (
        "subscription_update",
        "A change of plan, seats or interval was paid, usually prorated.",
    )
    SUBSCRIPTION_METER_CYCLE = (
        "subscription_meter_cycle",
        "Metered usage beyond what the subscription includes was paid.",
    )
    SUBSCRIPTION = (
        "subscription.created",
        "A subscription was created, with or without an order; one that begins with a trial counts only "
        "beside trial_start.",
    )
    PERIOD = "subscription.cycled", "A further period of a subscription began, paid or not."
    CUSTOMER = "customer.created", "A customer was created."


ORDER_TRIGGERS = frozenset(set(Trigger) - {Trigger.SUBSCRIPTION, Trigger.PERIOD, Trigger.CUSTOMER})

PERIOD_TRIGGERS = frozenset(
    {
        Trigger.SUBSCRIPTION_CREATE,
        Trigger.TRIAL_START,
        Trigger.SUBSCRIPTION_CYCLE,
        Trigger.SUBSCRIPTION_UPDATE,
    }
)
"""The orders that have a period, so that they can be credited in instalments."""

DEFAULT_TRIGGERS = frozenset({Trigger.PURCHASE, Trigger.SUBSCRIPTION_CREATE, Trigger.SUBSCRIPTION_CYCLE})


class Meter(Struct, frozen=True, kw_only=True):
    """A meter at Polar: the event name that its filter matches, and the metadata property that it sums."""

    name: str
    property: str = "units"


class Rule(Struct, frozen=True, kw_only=True):
    """One rule: the amount that it grants on each meter, and when it applies.

    Without ``products`` it applies to every product. It applies to orders, subscriptions and customers
    created, and periods begun, at or after ``begins`` and before ``ends``.
    """

    name: str
    products: frozenset[str] | None = None
    triggers: frozenset[Trigger] = DEFAULT_TRIGGERS
    when: Condition | None = None
    begins: datetime | None = None
    ends: datetime | None = None
    once_per_customer: bool = False
    revokes: bool = False
    """Whether a refund takes back its share of what the rule granted (``on_refund: revoke``)."""
    revokes_disputed: bool = False
    """Whether a lost dispute does, too (``on_dispute: revoke``)."""
    every: Every | None = None
    """How often it credits again until the paid period ends; None if it credits once."""
    grant: Mapping[str, Amount]

    @property
    def effective_triggers(self) -> frozenset[Trigger]:
        """Return the triggers that credit by themselves: not ``trial_start`` beside ``subscription.created``.

        Else the start of one trial would be credited twice: by its order, and by its subscription.
        """
        if Trigger.SUBSCRIPTION in self.triggers:
            return self.triggers - {Trigger.TRIAL_START}
        return self.triggers


class Offer(Struct, frozen=True, kw_only=True):
    """Credits that the storefront may give: the amount on each meter, to whom, when, and how often.

    Requests made at or after ``begins`` and before ``ends`` count.
    """

    name: str
    grant: Mapping[str, Decimal]
    once_per_customer: bool = False
    """Whether each customer gets it once; otherwise each key of the storefront gives it once."""
    most_per_customer: int | None = None
    begins: datetime | None = None
    ends: datetime | None = None


class Rules(Struct, frozen=True, kw_only=True):
    """A whole rules file; ``digest`` identifies its version."""

    meters: Mapping[str, Meter]
    rules: tuple[Rule, ...]
    offers: Mapping[str, Offer] = field(default_factory=dict)
    credit_from: datetime | None
    digest: str
    warnings: tuple[Problem, ...] = ()
    """Likely mistakes that leave the file usable."""


NO_RULES = Rules(meters={}, rules=(), credit_from=None, digest="")
"""Rules that credit nothing, for reading a delivery that no rule decides."""
