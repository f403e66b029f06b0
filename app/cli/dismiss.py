"""``credits dismiss``: stop counting failed deliveries that a person has dealt with."""

from collections.abc import Iterable

import click

from app.cli.find_delivery import find_deliveries
from app.cli.options import json_option
from app.cli.output import Cell, print_json, print_table, status_text
from app.cli.settings import read_settings
from app.cli.stores import open_stores
from app.cli.to_json import delivery_json
from app.errors import CommandError
from workers.core.delivery import Delivery


@click.command("dismiss")
@click.argument(
    "deliveries", nargs=-1, required=True, help="Failed deliveries, by their ids, or the starts of these."
)
@json_option
def dismiss(deliveries: tuple[str, ...], json: bool) -> None:
    """Dismiss failed deliveries that you have dealt with.

    They become skipped, keep their reason, and no longer count as failed. Nothing credits what they are
    about any more, whether another webhook, a refund or backfill; only a replay by a delivery's id does. If
    one of them cannot be dismissed, none is.

    Example: credits dismiss 2d568d44-4cac-4ddb-ba1c-e3a1e54e1735
    """
    settings = read_settings("dismiss")
    with open_stores(settings) as held:
        found = find_deliveries(held, deliveries)
        _require_dismissible(found)
        ids = [one.id for one in found]
        held.deliveries.dismiss(ids, retain=settings.retain)
        dismissed = held.deliveries.get(ids)
    if json:
        print_json([delivery_json(one) for one in dismissed])
    else:
        rows: list[list[Cell]] = [[one.id, status_text(one.status), one.reason] for one in dismissed]
        print_table(["delivery", "status", "reason"], rows)


def _require_dismissible(found: Iterable[Delivery]) -> None:
    rejected = [one for one in found if not one.can_be_dismissed]
    if rejected:
        statuses = ", ".join(f"{one.id} is {one.status.value}" for one in rejected)
        raise CommandError(f"only failed deliveries can be dismissed: {statuses}; nothing was dismissed")
