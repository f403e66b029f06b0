"""``credits revoke``: take an order's credits back by hand."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from app.cli.batches import agreed, notify, orders_id, run_all
from app.cli.output import claims_rows, console, grant_json, grants_json, literal, print_json, print_table
from app.cli.root import Json, opened, root, settings_for
from app.errors import CommandError
from config.rules import NO_RULES
from config.settings import Settings
from config.wording import describe_unknown
from workers.core.claims import Claim, Standing
from workers.core.delivery import Outcome
from workers.core.grants import Grant, order_subject, revoke_subject
from workers.core.manual import ManualRevoke
from workers.core.takebacks import due_take_backs, why_none_due
from workers.core.wording import credits_text
from workers.operations.pacing import Pacer, run_batches
from workers.runtime import granter_for
from workers.store.stores import Stores


@root.command()
def revoke(
    *,
    order: Annotated[str, typer.Argument(help="An order, by its id.", parser=orders_id)],
    meter: Annotated[str | None, typer.Option("--meter", metavar="M", help="Only on this meter.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Take back what an order was credited, whatever the rules say of refunds.

    All that refunds have not taken yet, and never more than was granted: once, however often it is said;
    later refunds take nothing more. What a rule gave once_per customer is not the order's, and stays. On a
    terminal you are asked first.

    Example: credits revoke 2a9bd3c2-84d9-4be8-9a3d-b03af1044217
    """
    settings = settings_for("revoke", quiet=True)
    if not dry_run:
        settings.require_token()
    with opened(settings) as held:
        asked, standing = _asked(held, order, meter)
        left = _left(asked, standing)
        if dry_run or not json:
            _print_plan(asked, standing, left, json=json)
        if dry_run or (left and not _agreed(yes=yes)):
            return
        outcomes, trouble = _run(settings, held, asked, json=json) if left else ([], "")
        claims = _revoked(asked, held.ledger.find(order_subject(order)))
    _tell(claims, outcomes, trouble, json=json)
    if trouble or any(claim.unsettled for claim in claims):
        raise typer.Exit(1)


def _asked(held: Stores, order_id: str, meter: str | None) -> tuple[ManualRevoke, Standing]:
    """Return what is asked for and what stands for the order; CommandError if nothing was credited so."""
    standing = held.ledger.find(order_subject(order_id))
    if standing.own is None:
        raise CommandError(f"order {order_id} has not been credited: there is nothing to take back")
    grants = standing.own.grants
    meters = [grant.meter for grant in grants]
    if meter is not None and meter not in meters:
        has = f"this order was credited {credits_text(grants)}"
        raise CommandError(describe_unknown("meter", meter, meters, has))
    customer_id = grants[0].customer_id if grants else standing.claims[-1].grants[0].customer_id
    return ManualRevoke(order_id=order_id, customer_id=customer_id, meter=meter), standing


def _left(asked: ManualRevoke, standing: Standing) -> list[Grant]:
    """Return what would be taken: what is begun and not at Polar yet, and what nobody has taken."""
    begun = [grant for claim in _revoked(asked, standing) for grant in claim.unsettled]
    plan = asked.plan()
    return [
        *begun,
        *(grant for one in due_take_backs(standing, asked.delivery_id, plan.revoke) for grant in one.grants),
    ]


def _revoked(asked: ManualRevoke, standing: Standing) -> list[Claim]:
    """Return what was taken back by hand before, on the meters asked for."""
    meters = {grant.meter for grant in standing.own.grants} if standing.own else set()
    wanted = {revoke_subject(asked.order_id, one) for one in meters if asked.meter in {None, one}}
    return [claim for claim in standing.claims if claim.subject in wanted]


def _agreed(*, yes: bool) -> bool:
    # In a script the command is taken at its word: nothing is taken twice.
    return agreed("take these credits back", yes=yes or not sys.stdin.isatty())


def _run(settings: Settings, held: Stores, asked: ManualRevoke, *, json: bool) -> tuple[list[Outcome], str]:
    batches = run_batches(
        [asked],
        lambda some: held.deliveries.store_and_lease([one.delivery() for one in some]),
        pacer=Pacer(throttle=held.throttle, notify=notify),
        granter=granter_for(settings, held, lambda: NO_RULES),
        store=held.deliveries,
    )
    return run_all(batches, 1, json=json)


def _print_plan(asked: ManualRevoke, standing: Standing, left: Sequence[Grant], *, json: bool) -> None:
    if json:
        print_json([grant_json(grant, "planned", asked.delivery_id) for grant in left])
        return
    rows = claims_rows(standing.claims)
    words = credits_text(left).removeprefix("took back ")
    would = f"take back {words}" if left else f"nothing: {why_none_due(standing, None, asked.plan().revoke)}"
    print_table(["", ""], [*rows, ["would", would]])


def _tell(claims: Sequence[Claim], outcomes: Sequence[Outcome], trouble: str, *, json: bool) -> None:
    if json:
        print_json([grant for claim in claims for grant in grants_json(claim)])
    if not json or any(claim.unsettled for claim in claims):
        for outcome in outcomes:
            console(stderr=json).print(literal(outcome.reason))
    if trouble:
        console(stderr=True).print(literal(trouble))
