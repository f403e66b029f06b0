"""Reads the offers of a file: credits that the storefront may give, without a webhook."""

from collections.abc import Collection
from datetime import datetime
from functools import partial

from config.rules import expression_fields, fields
from config.rules.model import Offer
from config.rules.nodes import Node, items_of, values_of
from config.rules.problems import Place, Report
from config.rules.rule_reader import NEVER_BEGINS, NEVER_LASTS, add_unique, read_amounts, read_until
from config.rules.warnings import window_warnings

OFFER_KEYS = ("name", "grant", "once_per", "most_per_customer", "from", "until")

_OVER = "this time is in the past: the storefront can no longer give it"


class OfferReader:
    """Reads the offers of one file; ``declared`` names its meters; None if they cannot be read."""

    def __init__(self, report: Report, declared: Collection[str] | None, now: datetime | None = None) -> None:
        self._report = report
        self._declared = declared
        self._now = now
        self._names: dict[str, Place] = {}

    def offers(self, node: Node) -> dict[str, Offer]:
        """Return the offers by their names; report what cannot be read."""
        nodes = items_of(node, "a list of offers")
        read = [self._report.read(self._offer, each, None) for each in nodes]
        return {offer.name: offer for offer in read if offer is not None}

    def _offer(self, node: Node) -> Offer:
        values = values_of(node, self._report, allowed=OFFER_KEYS, required=("name", "grant"))
        get, read = values.get, self._report.read
        begins = read(fields.moment, get("from"), NEVER_BEGINS if "from" in values else None)
        until = partial(read_until, begins=begins)
        amounts = partial(
            read_amounts,
            read_amount=expression_fields.plain_amount,
            report=self._report,
            declared=self._declared,
        )
        offer = Offer(
            name=read(self._name, get("name"), ""),
            grant=read(amounts, get("grant"), {}),
            once_per_customer=read(fields.offer_once_per, get("once_per"), False),
            most_per_customer=read(fields.count, get("most_per_customer"), None),
            begins=begins,
            ends=read(until, get("until"), NEVER_LASTS if "until" in values else None),
        )
        self._check(offer, values.get("most_per_customer"))
        if self._now is not None:
            for key, message in window_warnings(offer.begins, offer.ends, self._now, over=_OVER):
                self._report.warn(values[key].place, message)
        return offer

    def _name(self, node: Node) -> str:
        return add_unique("offer name", fields.rule_name(node), node.place, self._names)

    def _check(self, offer: Offer, cap: Node | None) -> None:
        if offer.once_per_customer and cap is not None:
            message = "`most_per_customer` says nothing beside `once_per: customer`, which gives it once"
            self._report.add(cap.place, message)
