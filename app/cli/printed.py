"""What each command prints with ``--json``: the types, by the options that change it.

A list is printed as one array. Only the reference and the tests read this table: to make all these types
would delay each command.
"""

from collections.abc import Mapping
from typing import Any

from app.cli import repair_shapes, setup_shapes, shapes

_GRANTED = {
    "": shapes.MadeGrantJson,
    "with --from": list[shapes.MadeGrantJson],
    "with --dry-run": shapes.WantedGrantJson,
    "with --from and --dry-run": list[shapes.WantedGrantJson],
}
_EXPLAINED = {"": shapes.ExplanationJson, "for a customer": shapes.CustomerStoryJson}
_EVENTS = {"": list[shapes.CreditEventJson], "with resend": list[shapes.ResentJson]}
_REPLAYED = {"": list[shapes.OutcomeJson], "with --dry-run": list[shapes.ProspectJson]}

PRINTED: Mapping[str, Mapping[str, Any]] = {
    "init": {"": setup_shapes.InitJson},
    "demo": {"": setup_shapes.DemoJson},
    "check": {"": list[shapes.FindingJson]},
    "send": {"": shapes.SentJson},
    "rules": {"with watch": shapes.RulesCheckJson},
    "status": {"": shapes.StatusJson},
    "deliveries": {"": list[shapes.DeliveryJson]},
    "show": {"": shapes.ShownJson},
    "explain": _EXPLAINED,
    "grants": {"": list[shapes.GrantJson], "with --upcoming": list[shapes.UpcomingJson]},
    "balance": {"": list[shapes.BalanceJson]},
    "outbox": _EVENTS,
    "replay": _REPLAYED,
    "dismiss": {"": list[shapes.DeliveryJson]},
    "backfill": {"": repair_shapes.BackfillJson},
    "recover": {"": repair_shapes.RecoverJson},
    "adjust": {"": repair_shapes.AdjustJson},
    "rebuild": {"": repair_shapes.RebuildJson},
    "grant": _GRANTED,
    "revoke": {"": list[shapes.GrantJson]},
    "forget": {"": shapes.ForgottenJson},
}
