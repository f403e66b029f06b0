"""Granting by hand: a form, a preview, and after a confirmation a delivery that the workers run."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from app.desk.customer_search import ask_polar
from app.desk.errors import DeskError
from app.desk.page import Elsewhere, Shown, Visit
from workers.core.customers import NameKind
from workers.core.manual import ManualGrant
from workers.core.wording import plain
from workers.operations.manual_grant.preview import GrantPreview, preview_all
from workers.operations.manual_grant.request import GrantRequest, GrantRequestReader
from workers.store.format import require_known

_KINDS = {NameKind.ID: "id at Polar", NameKind.EXTERNAL: "your own id", NameKind.EMAIL: "e-mail address"}
_FIELDS = ("meter", "units", "key", "reason")


class GrantPage(Struct, frozen=True, kw_only=True):
    """The form with what was typed, its problems, and the preview if there are none."""

    fields: Mapping[str, str]
    meters: Sequence[str]
    problems: Sequence[str] = ()
    preview: GrantPreview | None = None
    plan: str = ""
    kinds: Mapping[NameKind, str]


def gather(visit: Visit) -> Shown:
    """Gather the form; a link may name the customer."""
    fields = dict.fromkeys(_FIELDS, "") | {"kind": NameKind.ID.value, "customer": visit.get("customer")}
    return _shown(GrantPage(fields=fields, meters=_meters(visit), kinds=_KINDS))


def run(visit: Visit) -> Shown | Elsewhere:
    """Preview what the form says, or grant what was previewed."""
    return _grant(visit) if visit.fields.get("plan") else _preview(visit)


def _preview(visit: Visit) -> Shown:
    given = {name: visit.get(name) for name in ("kind", "customer", *_FIELDS)}
    request = _read(visit, given)
    if isinstance(request, list):
        return _with_problems(visit, given, request)
    try:
        customer_id = ask_polar(visit.parts, request.customer)
    except DeskError as error:
        return _with_problems(visit, given, [str(error)], error.status)
    standing = visit.parts.stores.ledger.find(request.subject)
    ids, standings = {request.customer: customer_id}, {request.subject: standing}
    previews, problems = preview_all([request], ids, standings, create_missing=False)
    if problems:
        return _with_problems(visit, given, problems, 409)
    (preview,) = previews
    grant = request.for_customer(preview.granted_to or customer_id)
    plan = "" if preview.is_done else visit.seal({"grant": grant.model_dump(mode="json")})
    page = GrantPage(fields=given, meters=_meters(visit), preview=preview, plan=plan, kinds=_KINDS)
    return _shown(page)


def _grant(visit: Visit) -> Elsewhere:
    whole = visit.unseal().get("grant")
    if not whole:
        raise DeskError(400, "This is no preview of a grant.")
    grant = ManualGrant.model_validate(whole)
    stores = visit.parts.stores
    require_known(stores.redis)
    visit.note(f"grant {plain(grant.units)} {grant.meter} to customer {grant.customer_id}, key {grant.key}")
    stores.deliveries.store_due([grant.delivery()])
    return Elsewhere(page="delivery", fields={"id": grant.delivery_id})


def _read(visit: Visit, given: Mapping[str, str]) -> GrantRequest | list[str]:
    if given["kind"] not in set(NameKind):
        return ["choose how the customer is named"]
    reader = GrantRequestReader(meters=visit.parts.rules.current().rules.meters)
    return reader.read({given["kind"]: given["customer"], **{name: given[name] for name in _FIELDS}})


def _meters(visit: Visit) -> Sequence[str]:
    return sorted(visit.parts.rules.current().rules.meters)


def _with_problems(
    visit: Visit, given: Mapping[str, str], problems: Sequence[str], status: int = 400
) -> Shown:
    page = GrantPage(fields=given, meters=_meters(visit), problems=problems, kinds=_KINDS)
    return _shown(page, status)


def _shown(page: GrantPage, status: int = 200) -> Shown:
    return Shown(template="grant.html", title="Grant credits", section="grant", model=page, status=status)
