"""The table of commands: the section in the help, the help line, and what ``--json`` prints.

A command is the function of its name in the module of its name, and is imported when it runs. So the help is
printed without importing any, and a command imports only what it needs. A new one is a module, the type of
its output, and one row here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.cli import repair_shapes, setup_shapes, shapes


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table."""

    section: str
    help: str
    """The first sentence of the command's help."""
    prints: Mapping[str, Any] = field(default_factory=dict)
    """The type of what ``--json`` prints, by the options that change it; a list is printed as one array."""


_GRANTED = {
    "": shapes.MadeGrantJson,
    "with --from": list[shapes.MadeGrantJson],
    "with --dry-run": shapes.WantedGrantJson,
    "with --from and --dry-run": list[shapes.WantedGrantJson],
}
_EXPLAINED = {"": shapes.ExplanationJson, "for a customer": shapes.CustomerStoryJson}
_EVENTS = {"": list[shapes.CreditEventJson], "with resend": list[shapes.ResentJson]}
_REPLAYED = {"": list[shapes.OutcomeJson], "with --dry-run": list[shapes.ProspectJson]}

COMMANDS: Mapping[str, Command] = {
    "init": Command(
        "Run",
        "Set everything up: the settings, a first rule, and the webhook endpoint at Polar.",
        {"": setup_shapes.InitJson},
    ),
    "up": Command("Run", "Run the receiver and the workers."),
    "serve": Command("Run", "Run the receiver alone."),
    "api": Command("Run", "Run the storefront API and the desk alone."),
    "work": Command("Run", "Run the workers alone."),
    "demo": Command(
        "Run",
        "Run the service from webhook to credit, with a stand-in for Polar.",
        {"": setup_shapes.DemoJson},
    ),
    "check": Command(
        "Check", "Check the settings, the rules, Redis and Polar.", {"": list[shapes.FindingJson]}
    ),
    "send": Command("Check", "Sign a webhook and deliver it to a receiver.", {"": shapes.SentJson}),
    "rules": Command("Check", "Help with writing the rules file.", {"with watch": shapes.RulesCheckJson}),
    "status": Command(
        "Inspect",
        "Show whether all is well, and how many deliveries wait or failed.",
        {"": shapes.StatusJson},
    ),
    "deliveries": Command(
        "Inspect",
        "List the deliveries that arrived and what became of each, newest first.",
        {"": list[shapes.DeliveryJson]},
    ),
    "show": Command("Inspect", "Show one delivery and the grants that it led to.", {"": shapes.ShownJson}),
    "explain": Command(
        "Inspect",
        "Show why a webhook was credited or not, a customer's whole story, or what rules make of a sample.",
        _EXPLAINED,
    ),
    "grants": Command(
        "Inspect",
        "List what was granted and taken back, newest first.",
        {"": list[shapes.GrantJson], "with --upcoming": list[shapes.UpcomingJson]},
    ),
    "balance": Command(
        "Inspect",
        "Show a customer's balance at Polar, beside what was granted.",
        {"": list[shapes.BalanceJson]},
    ),
    "outbox": Command("Inspect", "List the credit events for the storefront.", _EVENTS),
    "replay": Command("Repair", "Run stored deliveries again by today's rules, oldest first.", _REPLAYED),
    "dismiss": Command(
        "Repair", "Dismiss failed deliveries that you have dealt with.", {"": list[shapes.DeliveryJson]}
    ),
    "backfill": Command(
        "Repair", "Read paid orders from Polar and grant what is missing.", {"": repair_shapes.BackfillJson}
    ),
    "recover": Command(
        "Repair",
        "Fetch the webhooks that Polar could not deliver, and run them.",
        {"": repair_shapes.RecoverJson},
    ),
    "adjust": Command(
        "Repair",
        "Bring what a rule gave earlier orders to what it says today, less what was refunded.",
        {"": repair_shapes.AdjustJson},
    ),
    "rebuild": Command(
        "Repair", "Restore the ledger from the events at Polar.", {"": repair_shapes.RebuildJson}
    ),
    "grant": Command("Grant by hand", "Grant credits by hand, to one customer or to many.", _GRANTED),
    "revoke": Command(
        "Grant by hand",
        "Take back the credits that an order was given, whatever its rules say about refunds.",
        {"": list[shapes.GrantJson]},
    ),
    "forget": Command(
        "Personal data", "Erase the bodies of the webhooks about a customer.", {"": shapes.ForgottenJson}
    ),
}
"""Every command by its name, in the order of ``credits --help``."""
