"""PURE: what would come of credits that are asked for by hand, given who is there and what stands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from config.wording import quoted
from workers.core.claims import Claim, Standing
from workers.core.customers import CustomerName, NameKind, NewCustomer
from workers.core.grants import Grant
from workers.core.wording import plain, utc
from workers.operations.manual_grant.request import GrantRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class GrantPreview:
    """A request that can be granted, or has been."""

    request: GrantRequest
    customer_id: str | None
    """None: they are to be created first."""
    claim: Claim | None = None
    """What was frozen under its key before."""

    @property
    def is_done(self) -> bool:
        """Say whether Polar has it already."""
        return self.claim is not None and not self.claim.unsettled

    @property
    def granted_to(self) -> str | None:
        """Return the id of the customer: what was frozen before is theirs to whom it was promised."""
        return self.claim.grants[0].customer_id if self.claim else self.customer_id

    @property
    def new_customer(self) -> NewCustomer | None:
        """Return whom to create before it can be granted."""
        return self.request.new_customer if self.granted_to is None else None

    @property
    def forecast(self) -> str:
        """Return what a run would come to."""
        credits_ = f"{plain(self.request.units)} {self.request.meter.name}"
        if self.claim is None:
            create = f"create {self.new_customer.email}, " if self.new_customer else ""
            return f"{create}grant {credits_}"
        at = utc(self.claim.claimed_at)
        return (
            f"nothing: {credits_} already granted, {at}"
            if self.is_done
            else f"grant {credits_}, as begun {at}"
        )


def preview_all(
    requests: Sequence[GrantRequest],
    ids: Mapping[CustomerName, str],
    standings: Mapping[str, Standing],
    *,
    create_missing: bool,
) -> tuple[list[GrantPreview], list[str]]:
    """Return what can be granted, and a line for each request that cannot."""
    found: list[GrantPreview] = []
    problems: list[str] = []
    first: dict[tuple[str, str, str], str] = {}
    for request in requests:
        preview = GrantPreview(
            request=request, customer_id=ids.get(request.customer), claim=standings[request.subject].own
        )
        who = ids.get(request.customer) or request.customer.text
        before = first.setdefault((who, request.meter.name, request.key), request.place)
        words = list(_faults(preview, create_missing=create_missing))
        if before != request.place:
            words.append(f"the same customer, meter and key as {before}, by another name")
        problems += [f"{request.place}: {one}" if request.place else one for one in words]
        if not words:
            found.append(preview)
    return found, problems


def _faults(preview: GrantPreview, *, create_missing: bool) -> Iterator[str]:
    request = preview.request
    if preview.claim is not None:
        yield from _conflicts(request, preview.claim, preview.customer_id)
    elif preview.customer_id is None and preview.new_customer is None:
        named = f"{request.customer.kind} {quoted(request.customer.text)}"
        yield f"Polar knows no customer with the {named}{_hint(request, create_missing=create_missing)}"


def _hint(request: GrantRequest, *, create_missing: bool) -> str:
    if request.customer.kind is NameKind.ID:
        return ""
    if create_missing:
        return "; to create them, give an email as well"
    return "; --create creates who is missing"


def _conflicts(request: GrantRequest, claim: Claim, customer_id: str | None) -> Iterator[str]:
    """Yield why a key that is used already cannot be used so."""
    (grant,) = claim.grants
    used = f"key {request.key}: {_credits(grant)} was granted under it at {utc(claim.claimed_at)}"
    if grant.units != request.units:
        yield f"{used}; another amount needs another key"
    elif customer_id not in {None, grant.customer_id}:
        who = f"customer {grant.customer_id}, who was called {quoted(request.customer.text)} then"
        yield f"{used}, to {who}; take another key"


def _credits(grant: Grant) -> str:
    return f"{plain(grant.units)} {grant.meter}"
