"""The deliveries that the ledger makes itself: take-backs and instalments."""

from tests.chaos.model_keys import INSTALMENTS
from tests.support.fake_store.facts import instalment_delivery
from workers.core.take_back_delivery import is_take_back_delivery

_KEYS_BY_DELIVERY = {instalment_delivery(key): key for key in INSTALMENTS}


def key_of_instalment(delivery_id: str) -> str | None:
    """Return the key of the instalment that a delivery gives; None for another delivery."""
    return _KEYS_BY_DELIVERY.get(delivery_id)


def is_own_delivery(delivery_id: str) -> bool:
    """Return whether the ledger has made this delivery itself."""
    return is_take_back_delivery(delivery_id) or delivery_id.startswith("instalment-")
