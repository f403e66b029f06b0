"""``credits revoke``: take an order's credits back by hand."""

from collections.abc import Sequence

import click

from app.cli.batches import Outcomes
from app.cli.options import dry_run_option, json_option, parse_order_id, yes_option
from app.cli.output import claim_rows, console, literal, print_json, print_table
from app.cli.prompts import confirm
from app.cli.settings import read_settings
from app.cli.stores import open_stores
from app.cli.to_json import grant_json, grants_json
from workers.core.claims import Claim
from workers.operations.revoke import Revocation, Revoker


@click.command("revoke")
@click.argument("order", type=parse_order_id, help="The order's id.")
@click.option("--meter", metavar="METER", help="Only this meter.")
@dry_run_option
@yes_option
@json_option
def revoke(*, order: str, meter: str | None, dry_run: bool, yes: bool, json: bool) -> None:
    """Take back the credits that an order was given, whatever its rules say about refunds.

    Takes what refunds have not taken yet, and never more than was granted. Running it again takes nothing
    more, and neither do later refunds. Bonuses (once_per: customer) belong to the customer, not to the
    order: they are kept. On a terminal it asks first.

    Example: credits revoke 2a9bd3c2-84d9-4be8-9a3d-b03af1044217
    """
    settings = read_settings("revoke")
    if not dry_run:
        settings.require_token()
    with open_stores(settings) as held:
        revoker = Revoker(ledger=held.ledger)
        planned = revoker.plan(order, meter)
        if dry_run or not json:
            _print_plan(planned, json=json)
        # A script needs no --yes: however often it runs, nothing is taken twice.
        if dry_run or (planned.grants and not confirm("take these credits back", yes=yes, scripts_may=True)):
            return
        outcomes: Outcomes = ()
        trouble = ""
        if planned.grants:
            from app.cli.runs import revoke_now  # noqa: PLC0415 - a dry run need not wait for what grants

            outcomes, trouble = revoke_now(planned, settings, held, json=json)
        claims = revoker.read_again(planned).claims
    _print_result(claims, outcomes, trouble, json=json)
    if trouble or any(claim.unsettled for claim in claims):
        raise click.exceptions.Exit(1)


def _print_plan(planned: Revocation, *, json: bool) -> None:
    if json:
        delivery_id = planned.request.delivery_id
        print_json([grant_json(grant, "planned", delivery_id) for grant in planned.grants])
    else:
        print_table(["", ""], [*claim_rows(planned.standing.claims), ["revoke would", planned.dry_run_text]])


def _print_result(claims: Sequence[Claim], outcomes: Outcomes, trouble: str, *, json: bool) -> None:
    if json:
        print_json([grant for claim in claims for grant in grants_json(claim)])
    if not json or any(claim.unsettled for claim in claims):
        for outcome in outcomes:
            console(stderr=json).print(literal(outcome.reason))
    if trouble:
        console(stderr=True).print(literal(trouble))
