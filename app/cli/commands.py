"""The table of commands: the section in the help, and the help line.

A command is the function of its name in the module of its name, and is imported when it runs. So the help is
printed without importing any, and a command imports only what it needs. A new one is a module, one row here,
and one in ``app.cli.printed`` if it has ``--json``.
"""

from collections.abc import Mapping

from msgspec import Struct


class Command(Struct, frozen=True):
    """One row of the table."""

    section: str
    help: str
    """The first sentence of the command's help."""


COMMANDS: Mapping[str, Command] = {
    "init": Command(
        "Run", "Set everything up: the settings, a first rule, and the webhook endpoint at Polar."
    ),
    "up": Command("Run", "Run the receiver and the workers."),
    "serve": Command("Run", "Run the receiver alone."),
    "api": Command("Run", "Run the storefront API and the desk alone."),
    "work": Command("Run", "Run the workers alone."),
    "demo": Command("Run", "Run the service from webhook to credit, with a stand-in for Polar."),
    "check": Command("Check", "Check the settings, the rules, Redis and Polar."),
    "send": Command("Check", "Sign a webhook and deliver it to a receiver."),
    "rules": Command("Check", "Help with writing the rules file."),
    "status": Command("Inspect", "Show whether all is well, and how many deliveries wait or failed."),
    "deliveries": Command(
        "Inspect", "List the deliveries that arrived and what became of each, newest first."
    ),
    "show": Command("Inspect", "Show one delivery and the grants that it led to."),
    "explain": Command(
        "Inspect",
        "Show why a webhook was credited or not, a customer's whole story, or what rules make of a sample.",
    ),
    "grants": Command("Inspect", "List what was granted and taken back, newest first."),
    "balance": Command("Inspect", "Show a customer's balance at Polar, beside what was granted."),
    "outbox": Command("Inspect", "List the credit events for the storefront."),
    "replay": Command("Repair", "Run stored deliveries again by today's rules, oldest first."),
    "dismiss": Command("Repair", "Dismiss failed deliveries that you have dealt with."),
    "backfill": Command("Repair", "Read paid orders from Polar and grant what is missing."),
    "recover": Command("Repair", "Fetch the webhooks that Polar could not deliver, and run them."),
    "adjust": Command(
        "Repair", "Bring what a rule gave earlier orders to what it says today, less what was refunded."
    ),
    "rebuild": Command("Repair", "Restore the ledger from the events at Polar."),
    "grant": Command("Grant by hand", "Grant credits by hand, to one customer or to many."),
    "revoke": Command(
        "Grant by hand",
        "Take back the credits that an order was given, whatever its rules say about refunds.",
    ),
    "forget": Command("Personal data", "Erase the bodies of the webhooks about a customer."),
}
"""Every command by its name, in the order of ``credits --help``."""
