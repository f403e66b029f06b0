"""Previews manual grants, given which customers exist and what the ledger has."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from config.wording import quoted
from workers.core.claims import Claim, Standing
from workers.core.customers import CustomerName, NameKind, NewCustomer
from workers.core.manual import other_amount_text, used_key_text
from workers.core.wording import plain, utc
from workers.operations.manual_grant.request import GrantRequest


class GrantPreview(Struct, frozen=True, kw_only=True):
    """A request that can be granted, or that was granted before."""

    request: GrantRequest
    customer_id: str | None
    """None if the customer must be created first."""
    claim: Claim | None = None
    """The claim that an earlier run made under the same key."""

    @property
    def is_done(self) -> bool:
        """Return whether Polar has already confirmed the grant."""
        return self.claim is not None and not self.claim.unsettled

    @property
    def granted_to(self) -> str | None:
        """Return the customer's id. An earlier claim decides it, even if the name has another owner today."""
        return self.claim.grants[0].customer_id if self.claim else self.customer_id

    @property
    def new_customer(self) -> NewCustomer | None:
        """Return the customer to create before granting, or None."""
        return self.request.new_customer if self.granted_to is None else None

    @property
    def dry_run_text(self) -> str:
        """Return what granting would do, in words."""
        credits_ = f"{plain(self.request.units)} {self.request.meter.name}"
        if self.claim is None:
            create = f"create {self.new_customer.email}, " if self.new_customer else ""
            return f"{create}grant {credits_}"
        at = utc(self.claim.claimed_at)
        return (
            f"nothing: {credits_} already granted, {at}" if self.is_done else f"grant {credits_}, begun {at}"
        )


def preview_all(
    requests: Sequence[GrantRequest],
    ids: Mapping[CustomerName, str],
    standings: Mapping[str, Standing],
    *,
    create_missing: bool,
) -> tuple[list[GrantPreview], list[str]]:
    """Return a preview of each request that can be granted, and one line for each problem."""
    found: list[GrantPreview] = []
    problems: list[str] = []
    first: dict[tuple[str, str, str], str] = {}
    for request in requests:
        preview = GrantPreview(
            request=request, customer_id=ids.get(request.customer), claim=standings[request.subject].own
        )
        who = ids.get(request.customer) or request.customer.text
        before = first.setdefault((who, request.meter.name, request.key), request.place)
        texts = list(_problems_of(preview, create_missing=create_missing))
        if before != request.place:
            texts.append(f"the same customer, meter and key as {before}, under another name")
        problems += [f"{request.place}: {text}" if request.place else text for text in texts]
        if not texts:
            found.append(preview)
    return found, problems


def _problems_of(preview: GrantPreview, *, create_missing: bool) -> Iterator[str]:
    request = preview.request
    if preview.claim is not None:
        yield from _conflicts(request, preview.claim, preview.customer_id)
    elif preview.customer_id is None and preview.new_customer is None:
        named = f"{request.customer.kind} {quoted(request.customer.text)}"
        yield f"Polar has no customer with the {named}{_hint(request, create_missing=create_missing)}"


def _hint(request: GrantRequest, *, create_missing: bool) -> str:
    if request.customer.kind is NameKind.ID:
        return ""
    if create_missing:
        return "; to create the customer, give an email too"
    return "; --create creates missing customers"


def _conflicts(request: GrantRequest, claim: Claim, customer_id: str | None) -> Iterator[str]:
    """Yield why a key that was used before cannot be used for this request."""
    (grant,) = claim.grants
    if grant.units != request.units:
        yield other_amount_text(claim)
    elif customer_id not in {None, grant.customer_id}:
        owner = f"customer {grant.customer_id}, whose name then was {quoted(request.customer.text)}"
        yield f"{used_key_text(claim)}, to {owner}; use another key"
