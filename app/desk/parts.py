"""What the pages of the desk use."""

from msgspec import Struct

from app.desk.rules_file import RulesFile
from config.settings import Settings
from workers.operations.credits.reader import CreditsReader
from workers.operations.credits.share import SharedPolar
from workers.operations.history import History
from workers.store.audit import Audit
from workers.store.desk import DeskStore
from workers.store.stores import Stores


class DeskParts(Struct, frozen=True, kw_only=True):
    """The stores, the rules, and Polar if there is an access token."""

    settings: Settings
    stores: Stores
    rules: RulesFile
    notes: DeskStore
    polar: SharedPolar | None = None
    credits: CreditsReader | None = None

    @property
    def audit(self) -> Audit:
        """Return the ledger as lists of grants."""
        return Audit(self.stores.redis, self.stores.ledger)

    @property
    def history(self) -> History:
        """Return what looks up orders and customers."""
        return History(deliveries=self.stores.deliveries, audit=self.audit)
