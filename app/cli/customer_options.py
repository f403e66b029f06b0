"""The options that name a customer: by Polar's id, by the merchant's own id, or by e-mail address."""

from contextlib import closing
from typing import Annotated

import typer

from app.cli.options import parse_customer_id
from app.cli.progress import show_wait
from app.errors import CommandError
from config.settings import Settings
from config.wording import quoted
from workers.core.customers import CustomerName, NameKind
from workers.operations.customers import Customers
from workers.operations.pacing import Pacer
from workers.runtime import polar_for
from workers.store.stores import Stores

Customer = Annotated[
    str | None,
    typer.Option("--customer", metavar="ID", help="The customer's id at Polar.", parser=parse_customer_id),
]
ExternalCustomer = Annotated[
    str, typer.Option("--external-customer", metavar="ID", help="Your own id for the customer.")
]
Email = Annotated[str, typer.Option("--email", metavar="EMAIL", help="The customer's e-mail address.")]


def named_customer(customer: str | None, external_customer: str, email: str) -> CustomerName | None:
    """Return the customer that the options name, None if they name none; BadParameter if several do."""
    options = {
        NameKind.ID: customer,
        NameKind.EXTERNAL: external_customer.strip(),
        NameKind.EMAIL: email.strip().lower(),
    }
    given = [CustomerName(kind, text) for kind, text in options.items() if text]
    if len(given) > 1:
        raise typer.BadParameter("give only one of --customer, --external-customer and --email")
    return given[0] if given else None


def find_customer_id(name: CustomerName, settings: Settings, held: Stores) -> str:
    """Return Polar's id of a customer, asking Polar unless the name is that id; CommandError if unknown."""
    if name.kind is NameKind.ID:
        return name.text
    with closing(polar_for(settings)) as polar:
        pacer = Pacer(throttle=held.throttle, show_wait=show_wait, fail_fast=True)
        ids = Customers(polar, pacer).find([name], lambda _done, _whole: None)
    if name not in ids:
        raise CommandError(unknown_customer_text(name))
    return ids[name]


def unknown_customer_text(name: CustomerName) -> str:
    """Return the message for a customer whom Polar does not know."""
    return f"Polar has no customer with the {name.kind} {quoted(name.text)}"
