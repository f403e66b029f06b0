"""Plans to take an order's credits back by hand."""

from msgspec import Struct

from config.wording import describe_unknown
from workers.core.adjusted import credited
from workers.core.claims import Claim, Standing
from workers.core.grants import Grant, order_subject, revoke_subject
from workers.core.manual import ManualRevoke
from workers.core.takebacks import due_take_backs, why_none_due
from workers.core.wording import credits_text
from workers.errors import GranterError
from workers.store.ledger import Ledger


class NotCreditedError(GranterError):
    """There is nothing to take back: the order was not credited, or not on that meter."""


class Revocation(Struct, frozen=True, kw_only=True):
    """A request to take an order's credits back, and what the ledger has for that order."""

    request: ManualRevoke
    standing: Standing

    @property
    def claims(self) -> list[Claim]:
        """Return what was taken back by hand already, on the requested meters."""
        meters = {grant.meter for grant in credited(self.standing)}
        wanted = {
            revoke_subject(self.request.order_id, meter)
            for meter in meters
            if self.request.meter in {None, meter}
        }
        return [claim for claim in self.standing.claims if claim.subject in wanted]

    @property
    def grants(self) -> list[Grant]:
        """Return the grants to send: those that are claimed and not at Polar yet, and new ones.

        What a person has dismissed is not sent: only a replay by the delivery's id does that.
        """
        claimed = [grant for claim in self.claims if not claim.is_dismissed for grant in claim.unsettled]
        new = due_take_backs(self.standing, self.request.delivery_id, self.request.plan().revoke)
        return [*claimed, *(grant for one in new for grant in one.grants)]

    @property
    def dry_run_text(self) -> str:
        """Return what a run would do, such as ``take back 10 api_usage``."""
        if grants := self.grants:
            return f"take back {credits_text(grants).removeprefix('took back ')}"
        return f"nothing: {why_none_due(self.standing, None, self.request.plan().revoke)}"


class Revoker(Struct, frozen=True, kw_only=True):
    """Plans revocations."""

    ledger: Ledger

    def plan(self, order_id: str, meter: str | None) -> Revocation:
        """Plan to take back all that the order was credited, or what it was credited on ``meter``.

        Raises NotCreditedError.
        """
        standing = self.ledger.find(order_subject(order_id))
        if standing.own is None:
            raise NotCreditedError(f"order {order_id} has not been credited: there is nothing to take back")
        if standing.is_dismissed:
            raise NotCreditedError(f"order {order_id}: {why_none_due(standing, None, None)}")
        if standing.unconfirmed:
            raise NotCreditedError(
                f"Polar may have other amounts of the credits of order {order_id} than the ledger; `credits "
                "status` says whether it has: if so, run credits rebuild, else wait until they are confirmed"
            )
        if not standing.can_be_taken_back:
            raise NotCreditedError(_not_at_polar_text(order_id, standing.open_adjustment or standing.own))
        grants = credited(standing)
        meters = [grant.meter for grant in grants]
        if meter is not None and meter not in meters:
            known = f"this order was credited {credits_text(grants)}"
            raise NotCreditedError(describe_unknown("meter", meter, meters, known))
        customer_id = grants[0].customer_id if grants else standing.claims[-1].grants[0].customer_id
        request = ManualRevoke(order_id=order_id, customer_id=customer_id, meter=meter)
        return Revocation(request=request, standing=standing)

    def read_again(self, planned: Revocation) -> Revocation:
        """Return the revocation with what the ledger has by now."""
        standing = self.ledger.find(order_subject(planned.request.order_id))
        return Revocation(request=planned.request, standing=standing)


def _not_at_polar_text(order_id: str, claim: Claim) -> str:
    """Return why nothing can be taken back of an order, and what to do."""
    return (
        f"order {order_id} is not credited at Polar yet: {credits_text(claim.unsettled)} of delivery "
        f"{claim.delivery_id} wait or have failed; run `credits show {claim.delivery_id}` to see why, then "
        "revoke the order when it is credited, or `credits dismiss` the delivery so that it never is"
    )
