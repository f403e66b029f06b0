"""What a page is: a function that gathers what its template shows."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from app.desk.errors import DeskError
from app.desk.parts import DeskParts
from app.desk.sessions import Seals, Session
from config.log import get_log
from workers.monitoring.logs import mask_addresses

log = get_log(__name__)


class Visit(Struct, frozen=True, kw_only=True):
    """A request for a page, admitted: ``fields`` are those of its query, or of its form."""

    parts: DeskParts
    session: Session
    fields: Mapping[str, str]
    seals: Seals

    def get(self, name: str) -> str:
        """Return a field without surrounding blanks; "" if it is missing."""
        return self.fields.get(name, "").strip()

    def seal(self, plan: object) -> str:
        """Return what was previewed, for a form that confirms it: nobody can change it on the way."""
        return self.seals.write(self.session, plan)

    def unseal(self) -> Any:
        """Return what the operator has confirmed; DeskError if it is old or not from a preview of theirs."""
        try:
            return self.seals.read(self.session, self.fields.get("plan", ""))
        except ValueError:
            raise DeskError(400, "The preview is too old, so nothing was done. Open it again.") from None

    def note(self, what: str) -> None:
        """Add to the list of actions what the operator is about to do; the log has it, too."""
        session, masked = self.session.id[:8], str(mask_addresses(what))
        log.info("done at the desk", operator=self.session.name, session=session, what=masked)
        self.parts.notes.note_action(name=self.session.name, session=session, what=masked)


class Shown(Struct, frozen=True, kw_only=True):
    """A page to be shown: its template, and the model that the template shows as ``page``."""

    template: str
    title: str
    section: str = ""
    """The page in the navigation to which it belongs."""
    model: object = None
    status: int = 200


class Elsewhere(Struct, frozen=True, kw_only=True):
    """The browser is sent to another page."""

    page: str
    fields: Mapping[str, str]

    @property
    def url(self) -> str:
        """Return the URL, relative to the desk."""
        return f"{self.page}?{urlencode(self.fields)}" if self.fields else self.page


Gather = Callable[[Visit], Shown | Elsewhere]


class Page(Struct, frozen=True, kw_only=True):
    """A page: what answers a GET, and what answers a POST of its form. Either may be missing."""

    get: Gather | None = None
    post: Gather | None = None

    @property
    def methods(self) -> list[str]:
        """Return the methods that it answers."""
        return ["GET"] * bool(self.get) + ["POST"] * bool(self.post)
