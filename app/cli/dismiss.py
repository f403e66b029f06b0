"""``credits dismiss``: put failed deliveries to rest, once somebody has seen to them."""

from collections.abc import Iterable
from typing import Annotated

import typer

from app.cli.deliveries import find
from app.cli.output import Cell, delivery_json, print_json, print_table, status_text
from app.cli.root import Json, opened, root, settings_for
from app.errors import CommandError
from workers.core.delivery import Delivery, Status


@root.command()
def dismiss(
    deliveries: Annotated[list[str], typer.Argument(help="Failed deliveries, by their ids.")],
    json: Json = False,
) -> None:
    """Put failed deliveries to rest.

    From now on they are skipped, with their reason, not counted as failed, and are kept as long as others
    (CREDITS_RETAIN). Until then they can still be replayed, by their ids. If one cannot be dismissed, none
    is.

    Example: credits dismiss 2d568d44-4cac-4ddb-ba1c-e3a1e54e1735
    """
    settings = settings_for("dismiss", quiet=True)
    ids = list(dict.fromkeys(deliveries))
    with opened(settings) as held:
        _require_failed(find(held, ids))
        held.deliveries.dismiss(ids, retain=settings.retain)
        done = held.deliveries.get(ids)
    if json:
        print_json([delivery_json(one) for one in done])
    else:
        rows: list[list[Cell]] = [[one.id, status_text(one.status), one.reason] for one in done]
        print_table(["delivery", "became", "reason"], rows)


def _require_failed(found: Iterable[Delivery]) -> None:
    others = [f"{one.id} is {one.status.value}" for one in found if not _can_be_dismissed(one)]
    if others:
        raise CommandError(
            f"only failed deliveries can be dismissed, and {', '.join(others)}: nothing was done"
        )


def _can_be_dismissed(one: Delivery) -> bool:
    """Say whether it failed, or has been dismissed already: saying it twice does no harm."""
    return one.status is Status.FAILED or one.is_dismissed
