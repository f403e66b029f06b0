"""The ledger: what each business fact was found to be worth, frozen at the claim, settled by Polar's 200.

One hash a subject (``credits:order:<id>``): who, by which delivery, and a field for each meter, so that
``<subject>:<meter>`` is the key of a grant here as it is Polar's ``external_id``.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from redis import Redis

from workers.core.claims import Standing, TakeBack
from workers.core.delivery import Outcome
from workers.core.grants import Grant
from workers.core.planning import Plan
from workers.store import keys, ledger_rows
from workers.store.counts import BOUNDS, Tally
from workers.store.scripts import load_script


class Ledger:
    """Claims and settlements in Redis; entries never expire."""

    def __init__(self, redis: Redis, *, retain: timedelta) -> None:
        self.tally = Tally()
        """What else this process has counted; it goes to Redis with the next settlement."""
        self._redis = redis
        self._retain = retain
        self._claim = redis.register_script(load_script("claim"))
        self._take_back = redis.register_script(load_script("take_back"))
        self._settle = redis.register_script(load_script("settle"))

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Freeze each (delivery id, plan) unless its fact is frozen; return what stands now.

        A plan without grants freezes nothing: it only looks, and notes its refund. Nor does the plan of
        a delivery whose number in ``attempts`` is no more its last: another worker has it by now.
        """
        known = attempts or {}
        rows = [
            ledger_rows.claim_row(delivery_id, plan, known.get(delivery_id)) for delivery_id, plan in plans
        ]
        return [
            # Of what was frozen just now only the moment comes back: to read all of it again took longest.
            ledger_rows.frozen(delivery_id, plan, found)
            if isinstance(found, bytes)
            else ledger_rows.standing(plan.subject, found)
            for (delivery_id, plan), found in zip(plans, self._ask(rows), strict=True)
        ]

    def find_for_plan(self, plan: Plan) -> Standing:
        """Return what stands for all that ``plan`` is about; touches nothing."""
        return self.find_for_plans([plan])[0]

    def find_for_plans(self, plans: Sequence[Plan]) -> list[Standing]:
        """Return what stands for each of ``plans``, likewise; for one that is about nothing, nothing."""
        asked = [plan for plan in plans if plan.subject]
        found = iter(self._ask([ledger_rows.look_row(plan) for plan in asked]) if asked else [])
        return [
            ledger_rows.standing(plan.subject, next(found)) if plan.subject else Standing(subject="")
            for plan in plans
        ]

    def find(self, subject: str) -> Standing:
        """Return what stands for ``subject``."""
        return self.find_for_plan(Plan(subject=subject))

    def find_many(self, subjects: Sequence[str]) -> list[Standing]:
        """Return what stands for each of ``subjects``."""
        return self.find_for_plans([Plan(subject=subject) for subject in subjects])

    def take_back(self, claims: Sequence[TakeBack]) -> None:
        """Freeze what is taken back; what was worked out from an older standing is passed over."""
        self._take_back(keys=[], args=[json.dumps([ledger_rows.take_back_row(one) for one in claims])])

    def settle(self, accepted: Sequence[Grant], outcomes: Sequence[Outcome]) -> set[str]:
        """Write down in one step what Polar has taken and what became of the deliveries.

        Returns those deliveries that another has by now: of them nothing was written.
        """
        with self.tally.flush() as counts:
            lost = self._settle(
                keys=[keys.DUE, keys.AUDIT, keys.PAUSE, keys.OUTAGE, keys.PROBE, keys.COUNTS],
                args=[
                    keys.DELIVERY,
                    keys.BODY,
                    keys.DELIVERIES,
                    keys.ABOUT,
                    int(self._retain.total_seconds()),
                    json.dumps([[grant.subject, grant.meter, float(grant.units)] for grant in accepted]),
                    json.dumps([ledger_rows.outcome_row(outcome) for outcome in outcomes]),
                    json.dumps(BOUNDS),
                    json.dumps(counts),
                ],
            )
        return {delivery_id.decode() for delivery_id in lost}

    def _ask(self, rows: Sequence[Sequence[object]]) -> list[Any]:
        found: list[Any] = self._claim(keys=[keys.CUSTOMERS], args=[keys.DELIVERY, json.dumps(rows)])
        return found

    def count_grants(self) -> int:
        """Return how many grants Polar has ever confirmed to us."""
        return int(self._redis.xlen(keys.AUDIT))
