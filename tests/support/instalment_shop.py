"""A shop with a yearly subscription, whose later instalments are claimed and settled step by step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from msgspec.structs import replace

from config.rules import Rules
from tests.support.builders import CUSTOMER, ORDER, PAID_CENTS, order_webhook
from tests.support.fake_service import Shop
from workers.core.claims import Standing
from workers.core.delivery import Status
from workers.core.grants import Grant, order_subject
from workers.core.instalments import Give, InstalmentRequest, SubscriptionState, decide_instalment
from workers.core.manual import ManualRevoke
from workers.core.plans import Plan
from workers.core.schedule import instalment_at

YEARLY = "order_paid_subscription_create_yearly"


@dataclass
class Year:
    """A shop with a yearly subscription that is credited each month; ``lowest`` is its lowest balance."""

    rules: Rules
    shop: Shop = field(init=False)
    lowest: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        self.shop = Shop(self.rules)
        body = order_webhook(YEARLY, id=ORDER, customer_id=CUSTOMER, net_amount=PAID_CENTS)
        assert self.shop.tell(body).status is Status.GRANTED

    @property
    def standing(self) -> Standing:
        """Return what the ledger has of the order."""
        return self.shop.store.find_for_plan(Plan(subject=order_subject(ORDER)))

    @property
    def balance(self) -> Decimal:
        """Return what the customer has at Polar."""
        return self.shop.polar.balance(CUSTOMER)

    def begin(self) -> Grant | None:
        """Claim the next instalment at its date; return what is to be sent, or None if the rest has ended."""
        standing = self.standing
        number, period = standing.begun.get("api_usage", 1) + 1, standing.period
        every = standing.every("api_usage")
        assert period is not None
        assert every is not None
        request = InstalmentRequest(
            order_id=ORDER,
            number=number,
            meter="api_usage",
            customer_id=CUSTOMER,
            subscription_id=period.subscription_id,
            product_id=period.product_id,
        )
        state = SubscriptionState(status="active", product_id=period.product_id)
        now = instalment_at(period, every, number)
        decision = decide_instalment(request, standing, state, now, f"instalment-{number}")
        if not isinstance(decision, Give):
            return None
        one = decision.instalment
        self.shop.store.take_back([one])
        assert self.standing.begun == {"api_usage": number}
        return one.grant

    def settle(self, grant: Grant) -> None:
        """Let Polar accept a claimed instalment, and work on what follows."""
        self.shop.polar.ingest([_event(grant)])
        self.shop.store.settle([grant], [])
        self.work()

    def give(self, number: int = 1) -> None:
        """Give this many further instalments."""
        for _ in range(number):
            grant = self.begin()
            assert grant is not None
            self.settle(grant)

    def tell(self, body: bytes) -> str:
        """Receive a webhook, and work on what follows; return why the webhook ended as it did."""
        reason = self.shop.tell(body).reason
        self.work()
        return reason

    def revoke(self) -> str:
        """Take back by hand what is left."""
        _, _, body = ManualRevoke(order_id=ORDER, customer_id=CUSTOMER).delivery()
        return self.tell(body)

    def dismiss(self, grant: Grant) -> None:
        """Put an instalment to rest that Polar has refused."""
        claims = self.shop.store.claims
        claims[grant.subject] = replace(claims[grant.subject], is_dismissed=True)

    def work(self) -> None:
        """Work on everything that is due."""
        self.shop.work()
        self.shop.read_back()
        self.lowest = min(self.lowest, self.balance)


def _event(grant: Grant) -> Mapping[str, object]:
    return {
        "name": grant.meter,
        "customer_id": grant.customer_id,
        "external_id": grant.key,
        "metadata": {"units": float(-grant.units)},
    }
