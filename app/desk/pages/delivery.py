"""One delivery: its life, what each rule made of it, and its body if somebody asks for it."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from app.desk.errors import DeskError
from app.desk.masking import masked_body
from app.desk.page import Shown, Visit
from config.log import get_log
from workers.core.claims import Claim
from workers.core.delivery import Delivery, Status
from workers.core.manual import MANUAL_GRANT, ManualGrant, read_request
from workers.core.products import product_name
from workers.core.wording import credits_text
from workers.errors import UnreadablePayloadError
from workers.operations.explain.explanation import Explanation
from workers.operations.explain.lookup import Explainer

log = get_log(__name__)


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened to a delivery; ``kind`` is its colour."""

    at: datetime
    what: str
    detail: str = ""
    kind: str = ""


class DeliveryPage(Struct, frozen=True, kw_only=True):
    """What the page of a delivery shows."""

    one: Delivery
    events: Sequence[Event]
    product: str
    granted_for: str
    """The reason that an operator gave for credits by hand."""
    claims: Sequence[Claim]
    explanation: Explanation
    rules_version: str
    rules_problems: Sequence[str]
    body: str | None = None
    """None unless somebody asked for it."""

    @property
    def can_be_replayed(self) -> bool:
        """Return whether its body is still there."""
        return self.one.erased_at is None


def gather(visit: Visit) -> Shown:
    """Gather the page of a delivery, without its body."""
    one = find(visit)
    return _shown(_page(visit, one), one)


def gather_with_body(visit: Visit) -> Shown:
    """Gather the page with the body, masked; the log notes who wanted to see it."""
    one = find(visit)
    log.info("body of a delivery shown", delivery=one.id, operator=visit.session.name)
    body = visit.parts.stores.deliveries.body(one.id)
    return _shown(replace(_page(visit, one), body=masked_body(body)), one)


def find(visit: Visit) -> Delivery:
    """Return the delivery that the request names; DeskError if it is not kept."""
    found = visit.parts.stores.deliveries.get([visit.get("id")]) if visit.get("id") else []
    if not found:
        raise DeskError(404, "No such delivery is kept. Settled ones expire after CREDITS_RETAIN.")
    return found[0]


def _shown(page: DeliveryPage, one: Delivery) -> Shown:
    return Shown(template="delivery.html", title=f"Delivery {one.id}", section="deliveries", model=page)


def _page(visit: Visit, one: Delivery) -> DeliveryPage:
    parts = visit.parts
    read = parts.rules.current()
    explainer = Explainer(
        deliveries=parts.stores.deliveries,
        ledger=parts.stores.ledger,
        history=parts.history,
        rules=read.rules,
    )
    explained = explainer.explain_id(one.id)
    if explained is None:  # it expired a moment ago
        raise DeskError(404, "No such delivery is kept any more.")
    claims = parts.stores.ledger.find(one.subject).claims if one.subject else ()
    body = parts.stores.deliveries.body(one.id)
    return DeliveryPage(
        one=one,
        events=sorted(_events(visit, one, claims), key=lambda event: event.at),
        product=product_name(body),
        granted_for=_granted_for(one, body),
        claims=claims,
        explanation=explained.explanation,
        rules_version=read.rules.digest,
        rules_problems=read.problems,
    )


def _events(visit: Visit, one: Delivery, claims: Sequence[Claim]) -> Iterator[Event]:
    yield Event(at=one.received_at, what="received")
    for replay in one.replays:
        yield Event(at=replay.at, what="replayed", detail=f"by {replay.by}")
    for lease in one.leases:
        yield Event(at=lease.at, what="leased", detail=f"by a worker, attempt {lease.number}")
    for claim in claims:
        if claim.delivery_id == one.id and claim.grants:
            yield Event(at=claim.claimed_at, what="claimed", detail=f"{credits_text(claim.grants)}, frozen")
            yield from _confirmed(claim)
    if one.settled_at:
        yield Event(at=one.settled_at, what=one.status.value, detail=one.reason, kind=one.status.value)
    elif due_at := visit.parts.stores.deliveries.due_at(one.id):
        detail = (
            f"attempt {one.attempts} is under way or waits" if one.attempts else "no worker has had it yet"
        )
        yield Event(at=due_at, what="due", detail=detail, kind=Status.WAITING.value)
    if one.erased_at:
        yield Event(at=one.erased_at, what="body erased", detail="credits forget; it cannot be replayed")


def _confirmed(claim: Claim) -> Iterator[Event]:
    """Yield when Polar confirmed the grants of a claim, those of one moment together."""
    for moment in sorted(set(claim.settled.values())):
        grants = [grant for grant in claim.grants if claim.settled.get(grant.meter) == moment]
        yield Event(
            at=moment, what="sent and confirmed by Polar", detail=credits_text(grants), kind="granted"
        )


def _granted_for(one: Delivery, body: bytes) -> str:
    if one.type != MANUAL_GRANT or one.erased_at:
        return ""
    try:
        return read_request(body, ManualGrant).reason
    except UnreadablePayloadError:
        return ""
