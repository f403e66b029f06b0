"""The ledger: what each business fact was found to be worth, frozen at the claim, settled by Polar's 200.

One hash a subject (``credits:order:<id>``): who, by which delivery, and a field for each meter, so that
``<subject>:<meter>`` is the key of a grant here as it is Polar's ``external_id``.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from redis import Redis

from workers import keys
from workers.grants import Grant, Part
from workers.planning import Plan
from workers.records import Claim, Outcome, moment_of
from workers.scripts import lua


class Ledger:
    """Claims and settlements in Redis; entries never expire."""

    def __init__(self, redis: Redis, *, retain: timedelta) -> None:
        self._redis = redis
        self._retain = retain
        self._claim = redis.register_script(lua("claim"))
        self._settle = redis.register_script(lua("settle"))

    def claim(self, plans: Sequence[tuple[str, Plan]]) -> list[Claim | None]:
        """Freeze each (delivery id, plan) unless its subject is frozen; return what is frozen now.

        A plan without grants freezes nothing: it only looks whether another did.
        """
        wanted = [[plan.subject, _fields(delivery_id, plan.grants)] for delivery_id, plan in plans]
        frozen = self._claim(keys=[], args=[json.dumps(wanted)])
        return [
            _claim_of(plan.subject, flat) if flat else None
            for (_, plan), flat in zip(plans, frozen, strict=True)
        ]

    def find(self, subject: str) -> Claim | None:
        """Return what is frozen for ``subject``."""
        return self.claim([("", Plan(subject=subject))])[0]

    def settle(self, accepted: Sequence[Grant], outcomes: Sequence[Outcome]) -> None:
        """Write down in one step what Polar has taken and what became of the deliveries."""
        self._settle(
            keys=[keys.DUE, keys.AUDIT],
            args=[
                keys.DELIVERY,
                keys.DELIVERIES,
                int(self._retain.total_seconds()),
                json.dumps([[grant.subject, grant.meter] for grant in accepted]),
                json.dumps([_row(outcome) for outcome in outcomes]),
            ],
        )

    def granted(self) -> int:
        """Return how many grants Polar has ever confirmed to us."""
        return int(self._redis.xlen(keys.AUDIT))


def _fields(delivery_id: str, grants: Sequence[Grant]) -> list[str]:
    if not grants:
        return []
    fields = ["delivery", delivery_id, "customer", grants[0].customer_id]
    for grant in grants:
        parts = [[part.rule, str(part.units)] for part in grant.parts]
        fields += [f"grant:{grant.meter}", json.dumps([grant.property_name, parts])]
    return fields


def _claim_of(subject: str, flat: list[bytes]) -> Claim:
    fields = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
    return Claim(
        subject=subject,
        delivery_id=fields["delivery"],
        claimed_at=moment_of(fields["claimed_at"]),
        grants=tuple(
            _grant(subject, fields["customer"], name, value)
            for name, value in sorted(fields.items())
            if name.startswith("grant:")
        ),
        settled={
            name.removeprefix("settled:"): moment_of(value)
            for name, value in fields.items()
            if name.startswith("settled:")
        },
    )


def _grant(subject: str, customer_id: str, name: str, value: str) -> Grant:
    property_name, parts = json.loads(value)
    return Grant(
        subject=subject,
        customer_id=customer_id,
        meter=name.removeprefix("grant:"),
        property_name=property_name,
        parts=tuple(Part(rule=rule, units=Decimal(units)) for rule, units in parts),
    )


def _row(outcome: Outcome) -> dict[str, object]:
    return {
        "id": outcome.delivery_id,
        "attempt": outcome.attempt,
        "status": outcome.status,
        "reason": outcome.reason,
        "order_id": outcome.order_id,
        "customer_id": outcome.customer_id,
        "after_ms": round(outcome.after_seconds * 1000),
        "strike": outcome.strike,
    }
