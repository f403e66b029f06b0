"""The list of actions: who did what, and when."""

from collections.abc import Sequence

from msgspec import Struct

from app.desk.page import Shown, Visit
from workers.store.desk import MOST_ACTIONS, Action

_ROWS = 200


class ActionsPage(Struct, frozen=True, kw_only=True):
    """The newest actions, the newest first."""

    actions: Sequence[Action]
    kept: int = MOST_ACTIONS


def gather(visit: Visit) -> Shown:
    """Gather the newest actions."""
    page = ActionsPage(actions=visit.parts.notes.actions(_ROWS))
    return Shown(template="actions.html", title="Actions", section="actions", model=page)
