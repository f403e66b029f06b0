"""The options that name a customer: by Polar's id, by the merchant's own id, or by e-mail address."""

import click

from app.cli.options import parse_customer_id
from app.cli.output import console, literal
from config.settings import Settings
from workers.core.customers import CustomerName, NameKind
from workers.store.stores import Stores

NEWEST_FACTS = 1_000
"""How many of a customer's facts a list reads at least. To read so many takes a tenth of a second."""

customer_option = click.option(
    "--customer", type=parse_customer_id, metavar="ID", help="The customer's id at Polar."
)
external_customer_option = click.option(
    "--external-customer", default="", metavar="ID", help="Your own id for the customer."
)
email_option = click.option("--email", default="", metavar="EMAIL", help="The customer's e-mail address.")


def named_customer(customer: str | None, external_customer: str, email: str) -> CustomerName | None:
    """Return the customer that the options name, None if they name none; UsageError if several do."""
    options = {
        NameKind.ID: customer,
        NameKind.EXTERNAL: external_customer.strip(),
        NameKind.EMAIL: email.strip().lower(),
    }
    given = [CustomerName(kind, text) for kind, text in options.items() if text]
    if len(given) > 1:
        raise click.UsageError("give only one of --customer, --external-customer and --email")
    return given[0] if given else None


def find_customer_id(name: CustomerName, settings: Settings, held: Stores) -> str:
    """Return Polar's id of a customer, asking Polar unless the name is that id; CommandError if unknown."""
    if name.kind is NameKind.ID:
        return name.text
    # Imported here, because only a name needs Polar's client.
    from app.cli.customer_lookup import ask_polar  # noqa: PLC0415

    return ask_polar(name, settings, held)


def facts_to_read(limit: int) -> int:
    """Return how many of a customer's newest facts a list of ``limit`` rows reads."""
    return NEWEST_FACTS + limit


def tell_of_older(limit: int) -> None:
    """Say that a list has left out a customer's older facts, and with them their recent take-backs."""
    text = (
        f"this is about the customer's newest {facts_to_read(limit)} orders: what happened to older ones is "
        "not listed; a larger --limit reads more of them"
    )
    console(stderr=True).print(literal(text))
