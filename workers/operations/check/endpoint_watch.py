"""Looks at the webhook endpoint at Polar regularly: Polar tells nobody when it disables one."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from msgspec import Struct

from config.log import get_log
from config.rules import Rules
from workers.errors import PolarDeniedError, PolarError
from workers.operations.check.endpoint import Wanted, check_endpoints
from workers.operations.pacing import Pacer
from workers.polar.catalogue import PolarEndpoint, parse_items
from workers.polar.client import Polar
from workers.polar.lists import Listing
from workers.polar.responses import needs
from workers.store.endpoint_note import EndpointNotes

log = get_log(__name__)

_EVERY = timedelta(minutes=10)


class EndpointWatch(Struct, frozen=True, kw_only=True):
    """Notes every ten minutes, on one host of all, what is wrong with the endpoint."""

    notes: EndpointNotes
    polar: Polar
    pacer: Pacer
    rules: Callable[[], Rules | None]
    wanted: Wanted

    def run_if_due(self) -> None:
        """Look at the endpoint if it is time; what Polar does not answer is known from the last look."""
        if not self.notes.begin(every=_EVERY):
            return
        try:
            with needs("webhooks:read"):
                page = self.pacer.ask(partial(self.polar.page, Listing(path="/v1/webhooks/endpoints")))
            endpoints = parse_items(PolarEndpoint, page.items)
        except PolarDeniedError as error:
            self.notes.write(problem="", detail=f"not known: {error}")
        except PolarError as error:
            log.info("endpoint not looked at", reason=str(error))
        else:
            self._note(endpoints)

    def _note(self, endpoints: tuple[PolarEndpoint, ...]) -> None:
        found = list(check_endpoints(self.rules(), endpoints, self.wanted))
        problem = "; ".join(one.detail for one in found if one.level == "error")
        detail = "; ".join(one.detail for one in found) or "Polar lists none that leads here"
        if self.notes.write(problem=problem, detail=detail) and problem:
            log.error("endpoint not right", reason=problem)
