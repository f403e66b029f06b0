"""Prints what ``credits init`` is going to do, what it did, and what to do next."""

from collections.abc import Sequence

from app.cli.check import print_findings
from app.cli.output import console, literal, print_table
from app.cli.setup_shapes import InitEndpointJson, InitJson
from config.wording import format_count
from workers.core.findings import Finding
from workers.operations.init.endpoint import EndpointPlan
from workers.operations.init.plan import Plan, describe_plan


def plan_json(plan: Plan, *, dry_run: bool) -> InitJson:
    """Return the plan as ``--json`` prints it, without findings."""
    changes = plan.env_changes
    return {
        "dry_run": dry_run,
        "env": {
            "file": str(plan.env_path),
            "added": list(changes.added),
            "changed": list(changes.changed),
        },
        "rules": {
            "file": str(plan.rules_path),
            "text": plan.rules_text,
            "rules": len(plan.rules.rules),
        },
        "meters": [one.name for one in plan.new_meters],
        "endpoint": None if plan.endpoint is None else _endpoint_json(plan.endpoint),
        "findings": [],
    }


def _endpoint_json(endpoint: EndpointPlan) -> InitEndpointJson:
    return {"url": endpoint.url, "status": endpoint.status, "events": list(endpoint.events)}


def print_plan(plan: Plan, *, dry_run: bool) -> None:
    """Print what is going to be written and created; in a dry run the rules file, too."""
    out = console()
    out.print(literal("Everything is in place:" if plan.is_done else "This will be done:"))
    print_table(["", ""], [[f"  {what}", text] for what, text in describe_plan(plan)])
    if dry_run and plan.rules_text is not None:
        out.print()
        out.print(literal(f"{plan.rules_path} would be:"))
        for line in plan.rules_text.splitlines():
            out.print(literal(f"  {line}".rstrip()))


def print_result(found: Sequence[Finding]) -> None:
    """Print what was found wrong, and how much was right."""
    wrong = [one for one in found if one.level != "ok"]
    right = format_count(len(found) - len(wrong), "check")
    console().print()
    console().print(literal(f"credits check: {right} passed"))
    print_findings(wrong)


def print_next_steps(plan: Plan, *, has_errors: bool) -> None:
    """Print how to see the first credit, once there are no errors."""
    out = console()
    out.print()
    out.print(literal("Next:"))
    first = [["  credits check", "first, until it shows no error"]] if has_errors else []
    rows = [
        *first,
        ["  credits up", "runs the receiver, a worker and a Redis of its own"],
        [
            f"  credits send --sample {_sample(plan)} --customer ID --wait",
            "sends a test webhook; its credit is real",
        ],
        ["  credits deliveries", "what arrived, and what became of it"],
        ["  credits balance --customer ID", "the customer's credits at Polar"],
    ]
    print_table(["", ""], rows)


def _sample(plan: Plan) -> str:
    """Return the options of ``credits send`` for a webhook that the first rule credits."""
    rule = next(iter(plan.rules.rules), None)
    if rule is None:
        return "purchase"
    trigger = min(rule.effective_triggers)
    product = f" --product {min(rule.products)}" if rule.products else ""
    return f"{trigger}{product}"
