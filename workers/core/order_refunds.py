"""Computes which share of an order its refunds are, or a lost dispute."""

from fractions import Fraction

from workers.core.claims import Refund
from workers.core.payloads import Order


def refund_of(order: Order) -> Refund | None:
    """Return all refunds of ``order`` so far; None if there are none."""
    if order.status == "refunded":
        return Refund(amount=order.refunded_amount, share=Fraction(1))
    if order.refunded_amount == 0:
        return None
    return Refund(amount=order.refunded_amount, share=share_of(order, order.refunded_amount))


def share_of(order: Order, cents: int) -> Fraction:
    """Return the share of the order's price, without tax, that an amount is; at most 1."""
    whole = order.net_amount + order.applied_balance_amount
    return min(Fraction(1), Fraction(cents, whole)) if whole > 0 else Fraction(1)
