"""The table of commands: the section in the help, the function, and what ``--json`` prints.

A new command is a module, the type of its output, and one row here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import typer

from app.cli import (
    adjust,
    backfill,
    balance,
    check,
    deliveries,
    demo,
    dismiss,
    explain,
    forget,
    grant,
    grants,
    init,
    outbox,
    rebuild,
    recover,
    repair_shapes,
    replay,
    revoke,
    rules,
    send,
    service,
    shapes,
    status,
)


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table."""

    section: str
    run: Callable[..., None] | typer.Typer
    """The command's function, or a group of commands."""
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
    "init": Command("Run", init.init, {"": init.InitJson}),
    "up": Command("Run", service.up),
    "serve": Command("Run", service.serve),
    "api": Command("Run", service.api),
    "work": Command("Run", service.work),
    "demo": Command("Run", demo.demo, {"": demo.DemoJson}),
    "check": Command("Check", check.check, {"": list[shapes.FindingJson]}),
    "send": Command("Check", send.send, {"": shapes.SentJson}),
    "rules": Command("Check", rules.rules, {"with watch": shapes.RulesCheckJson}),
    "status": Command("Inspect", status.status, {"": shapes.StatusJson}),
    "deliveries": Command("Inspect", deliveries.deliveries, {"": list[shapes.DeliveryJson]}),
    "show": Command("Inspect", deliveries.show, {"": shapes.ShownJson}),
    "explain": Command("Inspect", explain.explain, _EXPLAINED),
    "grants": Command("Inspect", grants.grants, {"": list[shapes.GrantJson]}),
    "balance": Command("Inspect", balance.balance, {"": list[shapes.BalanceJson]}),
    "outbox": Command("Inspect", outbox.outbox, _EVENTS),
    "replay": Command("Repair", replay.replay, _REPLAYED),
    "dismiss": Command("Repair", dismiss.dismiss, {"": list[shapes.DeliveryJson]}),
    "backfill": Command("Repair", backfill.backfill, {"": repair_shapes.BackfillJson}),
    "recover": Command("Repair", recover.recover, {"": repair_shapes.RecoverJson}),
    "adjust": Command("Repair", adjust.adjust, {"": repair_shapes.AdjustJson}),
    "rebuild": Command("Repair", rebuild.rebuild, {"": repair_shapes.RebuildJson}),
    "grant": Command("Grant by hand", grant.grant, _GRANTED),
    "revoke": Command("Grant by hand", revoke.revoke, {"": list[shapes.GrantJson]}),
    "forget": Command("Personal data", forget.forget, {"": shapes.ForgottenJson}),
}
"""Every command by its name, in the order of ``credits --help``."""
