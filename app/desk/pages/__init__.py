"""The pages of the desk: a module for each, with a function that gathers what its template shows."""

from collections.abc import Mapping

from app.desk.page import Page
from app.desk.pages import (
    actions,
    customer,
    customers,
    deliveries,
    delivery,
    dismiss,
    grant,
    overview,
    replay,
    rules,
)

HOME = "overview"

PAGES: Mapping[str, Page] = {
    HOME: Page(get=overview.gather),
    "deliveries": Page(get=deliveries.gather),
    "delivery": Page(get=delivery.gather, post=delivery.gather_with_body),
    "customers": Page(get=customers.gather, post=customers.find),
    "customer": Page(get=customer.gather),
    "rules": Page(get=rules.gather),
    "replay": Page(get=replay.gather, post=replay.run),
    "dismiss": Page(get=dismiss.gather, post=dismiss.run),
    "grant": Page(get=grant.gather, post=grant.run),
    "actions": Page(get=actions.gather),
}
"""The pages by their names, which are also their URLs under ``/desk``."""
