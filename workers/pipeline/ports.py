"""The protocols of the stores and of Polar that the granter uses; tests implement them with fakes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from workers.core.claims import Claimed, Standing
from workers.core.delivery import Lease, Outcome
from workers.core.forgetting import Forgotten
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.core.offers import OfferRequest
from workers.core.pauses import PauseCause
from workers.core.plans import Plan
from workers.pipeline.subscriptions import Look


class Deliveries(Protocol):
    """The store of deliveries."""

    def lease(self, most: int) -> Lease:
        """Lease up to ``most`` due deliveries."""
        ...


class Ledger(Protocol):
    """The ledger of grants."""

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Claim each (delivery id, plan); return one Standing for each plan.

        ``attempts`` maps delivery ids to attempts: a plan whose lease has been lost is not claimed.
        """
        ...

    def claim_and_ask(self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int]) -> Claimed:
        """Claim, and take a request to Polar from our share with it if that freezes a plan."""
        ...

    def take_back(self, claims: Sequence[LaterClaim], attempts: Mapping[str, int] | None = None) -> None:
        """Claim these, except where the order has changed, or the lease was lost."""
        ...

    def settle(
        self,
        accepted: Sequence[Grant],
        outcomes: Sequence[Outcome],
        unconfirmed: Collection[str] = (),
        following: Mapping[str, NextInstalment] = NONE_FOLLOWS,
    ) -> set[str]:
        """Store the accepted grants and the outcomes.

        ``unconfirmed`` has the keys of accepted grants of which Polar may have another amount, ``following``
        the instalments that follow grants, by the grant's key. Returns the ids of deliveries whose lease or
        claim was lost: their outcomes are not stored.
        """
        ...


class Forgetting(Protocol):
    """Erases what is stored about deleted customers."""

    def forget(self, deleted: Mapping[str, str]) -> Mapping[str, Forgotten]:
        """Erase the bodies about these customers; both maps are by the ids of the ``customer.deleted``."""
        ...


class OfferCustomers(Protocol):
    """Finds the customers of the storefront's offers at Polar."""

    def find(self, requests: Iterable[OfferRequest]) -> tuple[Mapping[str, str | None], str]:
        """Return the customers' ids by delivery (None: there is none), and why the others are not known."""
        ...


class Subscriptions(Protocol):
    """Finds the subscriptions of instalments at Polar."""

    def find(self, wanted: Mapping[str, str]) -> Look:
        """Return these subscriptions, which ``wanted`` maps to their customers."""
        ...


class Throttle(Protocol):
    """The rate limiter and the pauses that all workers share."""

    def take_request(self) -> bool:
        """Take one request from our share of the rate limit; return False if none may be made now."""
        ...

    def pause(self, seconds: float, reason: str, cause: PauseCause) -> None:
        """Make every worker wait; after Polar's rate limit, also make fewer requests for a while."""
        ...

    def release_probe(self) -> None:
        """Let another worker make the first request after a pause."""
        ...

    def end_outage(self) -> None:
        """Let every worker continue."""
        ...


class Polar(Protocol):
    """Polar's API for usage events."""

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Ingest all events, or raise PolarError; return how many of them Polar had before."""
        ...
