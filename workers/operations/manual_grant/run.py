"""Grants by hand: who is meant, what stands already, and the run through all that is asked for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from workers.core.claims import Standing
from workers.core.customers import CustomerName
from workers.core.delivery import Outcome
from workers.errors import PolarRefusedError
from workers.operations.customers import Customers
from workers.operations.manual_grant.preview import Offer, offers
from workers.operations.manual_grant.request import Wish
from workers.operations.pacing import Turns, run_in_turn
from workers.pipeline.granter import Granter
from workers.polar.client import Polar
from workers.store.stores import Stores

Done = Callable[[int, int], object]

_AT_ONCE = 500  # while Redis looks, everybody waits


@dataclass(frozen=True, kw_only=True)
class Giver:
    """Grants what somebody asks for, at the stores and the Polar that it is given."""

    held: Stores
    polar: Polar
    turns: Turns

    def look(self, wishes: Sequence[Wish], *, creates: bool, done: Done) -> tuple[list[Offer], list[str]]:
        """Return what can be granted, and a line for each wish that cannot; touches nothing."""
        standings = self.standings([wish.subject for wish in wishes])
        ids = Customers(self.polar, self.turns).find([wish.customer for wish in wishes], done)
        return offers(wishes, ids, standings, creates=creates)

    def standings(self, subjects: Sequence[str]) -> dict[str, Standing]:
        """Return what stands for each of ``subjects``."""
        found: dict[str, Standing] = {}
        for start in range(0, len(subjects), _AT_ONCE):
            some = subjects[start : start + _AT_ONCE]
            found |= zip(some, self.held.ledger.find_all(some), strict=True)
        return found

    def create(self, found: Sequence[Offer], done: Done) -> dict[CustomerName, str]:
        """Create the customers who are missing, each once; return the ids that Polar gave them."""
        missing = {offer.wish.customer: newcomer for offer in found if (newcomer := offer.newcomer)}
        customers, created = Customers(self.polar, self.turns), dict[CustomerName, str]()
        for name, newcomer in missing.items():
            done(len(created), len(missing))
            try:
                created[name] = customers.create(newcomer)
            except PolarRefusedError as error:
                raise PolarRefusedError(
                    f"{newcomer.email}: not created, and nothing granted: {error}", named={}
                ) from None
        return created

    def grant(
        self, found: Sequence[Offer], created: Mapping[CustomerName, str], granter: Granter
    ) -> Iterator[list[Outcome]]:
        """Grant what Polar does not have yet, some hundreds a request; yield what became of it."""
        asked = [
            offer.wish.for_customer(offer.granted_to or created[offer.wish.customer])
            for offer in found
            if not offer.is_done
        ]
        return run_in_turn(
            asked,
            lambda some: self.held.deliveries.put([one.delivery() for one in some]),
            turns=self.turns,
            granter=granter,
            store=self.held.deliveries,
        )
