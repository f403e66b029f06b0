"""Grants credits by hand: finds the customers, previews the requests, and grants them."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from workers.core.batches import in_batches
from workers.core.claims import Standing
from workers.core.customers import CustomerName
from workers.core.delivery import Outcome
from workers.errors import PolarRefusedError
from workers.operations.batch_runs import run_batches
from workers.operations.customers import Customers
from workers.operations.manual_grant.preview import GrantPreview, preview_all
from workers.operations.manual_grant.request import GrantRequest
from workers.operations.pacing import OnProgress, Pacer
from workers.pipeline.granter import Granter
from workers.polar.client import Polar
from workers.store.stores import Stores

_AT_ONCE = 500  # keys in one lookup, during which Redis serves nobody else


class ManualGranter(Struct, frozen=True, kw_only=True):
    """Previews requests for manual credits and grants them."""

    stores: Stores
    polar: Polar
    pacer: Pacer

    def preview(
        self, requests: Sequence[GrantRequest], *, create_missing: bool, on_progress: OnProgress
    ) -> tuple[list[GrantPreview], list[str]]:
        """Return a preview of each grantable request, and one line for each problem; writes nothing."""
        standings = self.standings([request.subject for request in requests])
        ids = Customers(self.polar, self.pacer).find([request.customer for request in requests], on_progress)
        return preview_all(requests, ids, standings, create_missing=create_missing)

    def standings(self, subjects: Sequence[str]) -> dict[str, Standing]:
        """Return the ledger's standing of each subject."""
        found: dict[str, Standing] = {}
        for some in in_batches(subjects, _AT_ONCE):
            found |= zip(some, self.stores.ledger.find_many(some), strict=True)
        return found

    def create(self, found: Sequence[GrantPreview], on_progress: OnProgress) -> dict[CustomerName, str]:
        """Create each missing customer once; return the ids that Polar assigned."""
        missing = {
            preview.request.customer: new_customer
            for preview in found
            if (new_customer := preview.new_customer)
        }
        customers, created = Customers(self.polar, self.pacer), dict[CustomerName, str]()
        for name, new_customer in missing.items():
            on_progress(len(created), len(missing))
            try:
                created[name] = customers.create(new_customer)
            except PolarRefusedError as error:
                raise PolarRefusedError(
                    f"{new_customer.email}: not created, and nothing granted: {error}", named={}
                ) from None
        return created

    def grant(
        self, found: Sequence[GrantPreview], created: Mapping[CustomerName, str], granter: Granter
    ) -> Iterator[list[Outcome]]:
        """Grant what Polar has not confirmed yet, in batches; yield the outcomes of each batch."""
        grants = [
            preview.request.for_customer(preview.granted_to or created[preview.request.customer])
            for preview in found
            if not preview.is_done
        ]
        return run_batches(
            grants,
            lambda some: self.stores.deliveries.store_and_lease([one.delivery() for one in some]),
            pacer=self.pacer,
            granter=granter,
            store=self.stores.deliveries,
        )
