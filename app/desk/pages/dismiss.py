"""Dismissing a delivery that failed: a person has dealt with it, and nothing credits it any more."""

from msgspec import Struct

from app.desk.errors import DeskError
from app.desk.page import Elsewhere, Shown, Visit
from app.desk.pages.delivery import find
from workers.core.delivery import Delivery
from workers.store.format import require_known


class DismissPage(Struct, frozen=True, kw_only=True):
    """The preview; ``plan`` is what the confirmation sends back."""

    one: Delivery
    product: str
    plan: str


def gather(visit: Visit) -> Shown:
    """Show what would be dismissed."""
    one = find(visit)
    if not one.can_be_dismissed:
        raise DeskError(409, f"Only a delivery that failed can be dismissed. This one is {one.status}.")
    product = visit.parts.stores.deliveries.product_names([one.id]).get(one.id, "")
    page = DismissPage(one=one, product=product, plan=visit.seal({"dismiss": one.id}))
    return Shown(template="dismiss.html", title="Dismiss", section="deliveries", model=page)


def run(visit: Visit) -> Elsewhere:
    """Dismiss the delivery, unless it is being replayed at this moment."""
    id_ = visit.unseal().get("dismiss")
    if not id_:
        raise DeskError(400, "This is no preview of a dismissal.")
    stores = visit.parts.stores
    require_known(stores.redis)
    visit.note(f"dismiss {id_}")
    stores.deliveries.dismiss([id_], retain=visit.parts.settings.retain)
    return Elsewhere(page="delivery", fields={"id": id_})
