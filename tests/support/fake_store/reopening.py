"""Replays in memory: a person lets a delivery run again, even one that was dismissed."""

from msgspec.structs import replace

from tests.support.fake_store.deliveries import TAKES_BACK, Stored
from tests.support.fake_store.facts import FakeFacts
from workers.core.claims import Claim
from workers.core.delivery import Lease, Status
from workers.core.grants import instalment_number, is_instalment
from workers.core.manual import MANUAL_REVOKE
from workers.core.revival import without_revoke


class Reopening(FakeFacts):
    """Leases deliveries whatever their status, as reopen.lua does."""

    def reopen(self, *ids: str, by_name: bool = False) -> Lease:
        """Lease these deliveries, whatever their status."""
        for delivery_id in ids:
            kept = self.deliveries[delivery_id]
            kept.status, kept.strikes, kept.put_off = Status.WAITING, 0, kept.attempts
            kept.is_named = by_name and not kept.subject
            if by_name and kept.subject:
                self._revive(delivery_id, kept)
        return Lease(deliveries=tuple(map(self._take, ids)))

    def _revive(self, delivery_id: str, kept: Stored) -> None:
        if kept.type not in TAKES_BACK:
            self.dismissed.pop(kept.subject, None)
            for subject in self._take_backs_by(delivery_id, kept.subject):
                self.claims[subject] = replace(self.claims[subject], is_dismissed=False)
            return
        for subject in self._later_claims_by(delivery_id, kept.subject):
            claim = self.claims[subject]
            is_released = self._release_instalment(kept.subject, claim)
            is_request = kept.type == MANUAL_REVOKE
            if not is_released and not (is_request and self._release_revoke(kept.subject, claim)):
                self.claims[subject] = replace(claim, is_dismissed=False)

    def _release_instalment(self, order: str, claim: Claim) -> bool:
        """Give up the claim of a dismissed instalment that Polar lacks; return whether it was one."""
        if not is_instalment(claim.subject) or not claim.is_dismissed or claim.settled:
            return False
        begun, meter = self.begun[order], claim.grants[0].meter
        if begun[meter] != instalment_number(claim.subject):
            return False
        begun[meter] -= 1
        if begun[meter] == 1:
            del begun[meter]
        del self.claims[claim.subject]
        self.linked[order].remove(claim.subject)
        return True

    def _release_revoke(self, order: str, claim: Claim) -> bool:
        """Give up the claim of a dismissed revoke that Polar lacks; return whether it was one."""
        left = without_revoke(self.taken.get(order, {}), claim)
        if left is None:
            return False
        self.taken[order] = left
        del self.claims[claim.subject]
        self.linked[order].remove(claim.subject)
        return True
