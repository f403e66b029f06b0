"""Dismissals in memory: a failed delivery, and what it is about, is put to rest."""

from msgspec.structs import replace

from tests.support.fake_store.deliveries import TAKES_BACK
from tests.support.fake_store.facts import FakeFacts
from workers.core.claims import Claim
from workers.core.delivery import Status
from workers.core.grants import is_adjustment, is_instalment, order_subject


class Dismissing(FakeFacts):
    """Dismisses deliveries, as dismiss.lua does."""

    def dismiss(self, *ids: str) -> None:
        """Skip these deliveries, if they have failed, and put what they are about to rest."""
        for delivery_id in ids:
            kept = self.deliveries[delivery_id]
            if kept.status is not Status.FAILED:
                continue
            kept.status = Status.SKIPPED
            if kept.type in TAKES_BACK:
                for subject in self._later_claims_by(delivery_id, kept.subject):
                    self._put_to_rest(self.claims[subject])
            elif kept.subject:
                for subject in self._take_backs_by(delivery_id, kept.subject):
                    self._put_to_rest(self.claims[subject])
                self._release_bonuses(kept.subject)
                self.dismissed[kept.subject] = delivery_id

    def _put_to_rest(self, claim: Claim) -> None:
        """Dismiss a later claim; what waited for an instalment or an adjustment becomes due."""
        self.claims[claim.subject] = replace(claim, is_dismissed=True)
        order = order_subject(claim.order_id or "")
        held_back_others = is_instalment(claim.subject) or is_adjustment(claim.subject)
        if held_back_others and self._may_have_take_backs(order):
            self._queue_take_back(claim.order_id or "", claim.grants[0].customer_id)

    def _release_bonuses(self, fact: str) -> None:
        """Give back to the customer the bonuses of which Polar has nothing."""
        linked = self.linked.get(fact, [])
        released = [
            one for one in linked if one.startswith("credits:customer:") and not self.claims[one].settled
        ]
        self.linked[fact] = [one for one in linked if one not in released]
        for subject in released:
            del self.claims[subject]
        if released and not self.claims[fact].grants:
            del self.claims[fact]
