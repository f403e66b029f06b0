"""Asks Polar which customer has an e-mail address, or an id of the merchant's own."""

from contextlib import closing

from app.cli.progress import show_wait
from app.errors import CommandError
from config.settings import Settings
from config.wording import quoted
from workers.core.customers import CustomerName
from workers.operations.customers import Customers
from workers.operations.pacing import Pacer
from workers.runtime.polar import polar_for
from workers.store.stores import Stores


def ask_polar(name: CustomerName, settings: Settings, held: Stores) -> str:
    """Return Polar's id of a customer. Raises CommandError if Polar does not know the customer."""
    with closing(polar_for(settings)) as polar:
        pacer = Pacer(throttle=held.throttle, show_wait=show_wait, fail_fast=True)
        ids = Customers(polar, pacer).find([name], lambda _done, _whole: None)
    if name not in ids:
        raise CommandError(unknown_customer_text(name))
    return ids[name]


def unknown_customer_text(name: CustomerName) -> str:
    """Return the message for a customer whom Polar does not know."""
    return f"Polar has no customer with the {name.kind} {quoted(name.text)}"
