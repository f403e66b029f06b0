"""PURE: what would come of credits that are asked for by hand, given who is there and what stands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from config.wording import shown
from workers.core.claims import Claim, Standing
from workers.core.customers import CustomerName, NameKind, NewCustomer
from workers.core.grants import Grant
from workers.core.wording import plain
from workers.operations.manual_grant.request import Wish


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A wish that can be granted, or has been."""

    wish: Wish
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
    def newcomer(self) -> NewCustomer | None:
        """Return whom to create before it can be granted."""
        return self.wish.newcomer if self.granted_to is None else None

    @property
    def would(self) -> str:
        """Return what a run would come to."""
        credits_ = f"{plain(self.wish.units)} {self.wish.meter.name}"
        if self.claim is None:
            create = f"create {self.newcomer.email}, " if self.newcomer else ""
            return f"{create}grant {credits_}"
        at = f"{self.claim.claimed_at:%Y-%m-%dT%H:%M:%SZ}"
        return (
            f"nothing: {credits_} already granted, {at}"
            if self.is_done
            else f"grant {credits_}, as begun {at}"
        )


def offers(
    wishes: Sequence[Wish],
    ids: Mapping[CustomerName, str],
    standings: Mapping[str, Standing],
    *,
    creates: bool,
) -> tuple[list[Offer], list[str]]:
    """Return what can be granted, and a line for each wish that cannot."""
    found: list[Offer] = []
    problems: list[str] = []
    first: dict[tuple[str, str, str], str] = {}
    for wish in wishes:
        offer = Offer(wish=wish, customer_id=ids.get(wish.customer), claim=standings[wish.subject].own)
        who = ids.get(wish.customer) or wish.customer.text
        before = first.setdefault((who, wish.meter.name, wish.key), wish.place)
        words = list(_faults(offer, creates=creates))
        if before != wish.place:
            words.append(f"the same customer, meter and key as {before}, by another name")
        problems += [f"{wish.place}: {one}" if wish.place else one for one in words]
        if not words:
            found.append(offer)
    return found, problems


def _faults(offer: Offer, *, creates: bool) -> Iterator[str]:
    wish = offer.wish
    if offer.claim is not None:
        yield from _conflicts(wish, offer.claim, offer.customer_id)
    elif offer.customer_id is None and offer.newcomer is None:
        named = f"{wish.customer.kind} {shown(wish.customer.text)}"
        yield f"Polar knows no customer with the {named}{_hint(wish, creates=creates)}"


def _hint(wish: Wish, *, creates: bool) -> str:
    if wish.customer.kind is NameKind.ID:
        return ""
    if creates:
        return "; to create them, give an email as well"
    return "; --create creates who is missing"


def _conflicts(wish: Wish, claim: Claim, customer_id: str | None) -> Iterator[str]:
    """Yield why a key that is used already cannot be used so."""
    (grant,) = claim.grants
    at = f"at {claim.claimed_at:%Y-%m-%dT%H:%M:%SZ}"
    if grant.units != wish.units:
        yield f"key {wish.key}: {_credits(grant)} was granted under it {at}; another amount needs another key"
    elif customer_id not in {None, grant.customer_id}:
        who = f"customer {grant.customer_id}, who was called {shown(wish.customer.text)} then"
        yield f"key {wish.key}: {_credits(grant)} was granted under it {at}, to {who}; take another key"


def _credits(grant: Grant) -> str:
    return f"{plain(grant.units)} {grant.meter}"
