"""Defines a plan: what a delivery is to be granted, or why nothing."""

from enum import StrEnum

from msgspec import Struct

from workers.core.claims import Adjust, Dispute, Refund, Revoke, Shown
from workers.core.due_instalments import DueInstalment
from workers.core.grants import Grant
from workers.core.schedule import PaidPeriod


class Refusal(StrEnum):
    """Why an offer is not given. The storefront is told, so it is stored with the delivery."""

    OFFER = "offer"
    """The rules have no such offer."""
    WINDOW = "window"
    """It was requested before the offer begins, or after it has ended."""
    CAP = "cap"
    """The customer has had it as often as one customer can."""
    CUSTOMER = "customer"
    """Polar does not know the customer."""


class Cap(Struct, frozen=True, kw_only=True):
    """An offer, and how often one customer can get it; None: as often as the storefront has keys."""

    offer: str
    most: int | None


class Plan(Struct, frozen=True, kw_only=True):
    """The grants for a delivery, or why there are none: a skip, or the failure of an expression.

    The grants of a ``once_per`` rule have a subject of their own. All other grants have the plan's subject.
    """

    subject: str
    customer_id: str = ""
    order_id: str | None = None
    grants: tuple[Grant, ...] = ()
    refund: Refund | None = None
    dispute: Dispute | None = None
    revoke: Revoke | None = None
    adjust: Adjust | None = None
    shown: Shown | None = None
    """What the webhook shows the order to be."""
    period: PaidPeriod | None = None
    """The period in which later instalments follow; None if the grants have none."""
    instalment: DueInstalment | None = None
    """The later instalment that has come due."""
    cap: Cap | None = None
    """The offer of which this takes one of the customer's places."""
    skip: str = ""
    refusal: Refusal | None = None
    """Why an offer is skipped."""
    failure: str = ""
