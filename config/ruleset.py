"""What rules are, once read: the values that the planning of credits works with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

# Polar stores amounts as JSON numbers; a double keeps 15 digits exactly, and no more for certain.
MOST_DIGITS = 15


class Trigger(StrEnum):
    """What a paid order is for, in the words of a rule."""

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


DEFAULT_TRIGGERS = frozenset({Trigger.PURCHASE, Trigger.SUBSCRIPTION_CREATE, Trigger.SUBSCRIPTION_CYCLE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Meter:
    """A meter: the event name that its filter looks for, the metadata property that it sums."""

    name: str
    property: str = "units"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What one rule grants (credits by meter), and for which orders; no products means every."""

    name: str
    products: frozenset[str] | None
    triggers: frozenset[Trigger]
    grant: Mapping[str, Decimal]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """A whole rules file; ``digest`` tells one version of it from another."""

    meters: Mapping[str, Meter]
    rules: tuple[Rule, ...]
    credit_from: datetime | None
    digest: str
