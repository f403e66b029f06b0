"""The ledger: the grants of each business fact, frozen by a claim, settled by Polar's 200.

Each subject (``credits:order:<id>``) has one hash: the customer, the delivery that claimed it, and a field
for each meter. So ``<subject>:<meter>`` is a grant's key in the ledger, and its ``external_id`` at Polar.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from redis import Redis

from workers.core.claims import Standing
from workers.core.delivery import Outcome
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.look_back import LONGEST_LOOK_BACK, REDELIVERED_FOR
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.core.plans import Plan
from workers.store import keys
from workers.store.counts import BOUNDS, Tally
from workers.store.ledger_hashes import frozen_standing, read_standing
from workers.store.ledger_rows import Row, accepted_row, claim_row, outcome_row, read_row, take_back_row
from workers.store.losses import TO_DO, mark_loss
from workers.store.outbox import MOST_GIVEN_UP, MOST_WAITING, OUTBOX_KEYS
from workers.store.scripts import load_script, moment_of

log = structlog.get_logger(__name__)

_DAY_KEPT_SECONDS = 400 * 86_400  # a year and a month: long enough to compare with the same month a year ago

_TOLD_MS = int(LONGEST_LOOK_BACK.total_seconds() * 1000)


class Ledger:
    """The ledger in Redis; its entries never expire."""

    def __init__(self, redis: Redis, *, retain: timedelta, tells_storefront: bool = False) -> None:
        """Make a ledger; with ``tells_storefront`` each settlement leaves credit events in the outbox."""
        self.tells_storefront = tells_storefront
        self.tally = Tally()
        """What this process has counted, such as requests to Polar; each settlement writes it to Redis."""
        self._redis = redis
        self._retain = retain
        self._claim = redis.register_script(load_script("claim"))
        self._take_back = redis.register_script(load_script("take_back"))
        self._settle = redis.register_script(load_script("settle", "outbox"))
        self._find_told = redis.register_script(load_script("find_told"))

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Freeze each plan unless its fact is frozen; return what the ledger has then.

        ``plans`` are pairs of a delivery's id and its plan. A plan without grants freezes nothing: it only
        notes its refund. Neither does the plan of a delivery whose number in ``attempts`` is not its latest
        attempt: another worker has the delivery by now.
        """
        known = attempts or {}
        rows = [claim_row(delivery_id, plan, known.get(delivery_id)) for delivery_id, plan in plans]
        return [
            # For a plan frozen just now the script returns only the time: reading it back took longest.
            frozen_standing(delivery_id, plan, found)
            if isinstance(found, bytes)
            else read_standing(plan.subject, found)
            for (delivery_id, plan), found in zip(plans, self._run_claim(rows), strict=True)
        ]

    def find_for_plan(self, plan: Plan) -> Standing:
        """Return what the ledger has for all subjects of ``plan``; changes nothing."""
        return self.find_for_plans([plan])[0]

    def find_for_plans(self, plans: Sequence[Plan]) -> list[Standing]:
        """Return what the ledger has for each plan: an empty Standing for one without a subject."""
        with_subject = [plan for plan in plans if plan.subject]
        found = iter(self._run_claim([read_row(plan) for plan in with_subject]) if with_subject else [])
        return [
            read_standing(plan.subject, next(found)) if plan.subject else Standing(subject="")
            for plan in plans
        ]

    def find(self, subject: str) -> Standing:
        """Return what the ledger has for ``subject``."""
        return self.find_for_plan(Plan(subject=subject))

    def find_many(self, subjects: Sequence[str]) -> list[Standing]:
        """Return what the ledger has for each of ``subjects``."""
        return self.find_for_plans([Plan(subject=subject) for subject in subjects])

    def find_own(self, subjects: Sequence[str]) -> list[Standing]:
        """Return what the ledger has for each of ``subjects``, without the later instalments of orders."""
        rows = [read_row(Plan(subject=subject), with_instalments=False) for subject in subjects]
        found = self._run_claim(rows) if rows else []
        return list(map(read_standing, subjects, found))

    def take_back(self, claims: Sequence[LaterClaim], attempts: Mapping[str, int] | None = None) -> None:
        """Freeze these claims, except those that were computed from an older state.

        Neither is that of a delivery whose number in ``attempts`` is not its latest attempt.
        """
        known = attempts or {}
        rows = [take_back_row(one, known.get(one.delivery_id)) for one in claims]
        self._take_back(keys=[], args=[keys.DELIVERY, json.dumps(rows)])

    def settle(
        self,
        accepted: Sequence[Grant],
        outcomes: Sequence[Outcome],
        unconfirmed: Collection[str] = (),
        following: Mapping[str, NextInstalment] = NONE_FOLLOWS,
    ) -> set[str]:
        """Record in one step which grants Polar has accepted and what became of the deliveries.

        Grants whose keys are ``unconfirmed`` are read back from Polar before anything is taken back of them.
        ``following`` has the instalments that follow grants, by the grant's key.
        Returns the ids of deliveries whose outcomes were not written: another worker has them by now, or
        Redis has lost their claims, so that they are claimed again.
        """
        with self.tally.flush() as counts:
            lost, unclaimed = self._settle(
                keys=[
                    keys.DUE,
                    keys.AUDIT,
                    keys.PAUSE,
                    keys.OUTAGE,
                    keys.PROBE,
                    keys.COUNTS,
                    keys.UNCONFIRMED,
                    keys.BUDGET,
                    keys.INSTALMENTS,
                    keys.POLAR_CLOCK,
                    keys.DUE_INSTALMENTS,
                    *OUTBOX_KEYS,
                ],
                args=[
                    keys.DELIVERY,
                    keys.BODY,
                    keys.DELIVERIES,
                    keys.ABOUT,
                    int(self._retain.total_seconds()),
                    json.dumps(
                        [
                            accepted_row(
                                one, is_unconfirmed=one.key in unconfirmed, following=following.get(one.key)
                            )
                            for one in accepted
                        ]
                    ),
                    json.dumps([outcome_row(outcome) for outcome in outcomes]),
                    json.dumps(BOUNDS),
                    json.dumps(counts),
                    keys.TOLD,
                    _TOLD_MS,
                    int((REDELIVERED_FOR + self._retain).total_seconds()),
                    keys.SETTLED,
                    keys.OFFERED,
                    keys.DAY,
                    _DAY_KEPT_SECONDS,
                    *((MOST_WAITING, MOST_GIVEN_UP) if self.tells_storefront else ("", "")),
                ],
            )
        if unclaimed:
            self._tell_of_loss([delivery_id.decode() for delivery_id in unclaimed])
        return {delivery_id.decode() for delivery_id in (*lost, *unclaimed)}

    def told(self, order_ids: Sequence[str]) -> set[str]:
        """Return those of these orders whose webhook came and was skipped, even if it has expired."""
        found = self._find_told(keys=[], args=[keys.TOLD, _TOLD_MS, *order_ids])
        return {order_id for order_id, is_told in zip(order_ids, found, strict=True) if is_told}

    def began_at(self) -> datetime | None:
        """Return when a worker first ran on this ledger; None if none has."""
        found = cast(bytes | None, self._redis.get(keys.BEGAN))
        return moment_of(found) if found else None

    def count_grants(self) -> int:
        """Return how many grants Polar has ever confirmed to us."""
        pipeline = self._redis.pipeline()  # a transaction: nothing is sealed between the two
        pipeline.xlen(keys.AUDIT)
        pipeline.hget(keys.SEALED, "audited")
        newest, moved = pipeline.execute()
        return int(newest) + int(moved or 0)

    def _tell_of_loss(self, deliveries: Sequence[str]) -> None:
        mark_loss(self._redis)
        log.error(
            "claims lost",
            deliveries=deliveries,
            reason="Redis came back without its newest data; these deliveries are claimed again",
            to_do=TO_DO,
        )

    def _run_claim(self, rows: Sequence[Row]) -> list[Any]:
        found: list[Any] = self._claim(
            keys=[keys.CUSTOMERS], args=[keys.DELIVERY, json.dumps(rows), keys.CHAIN]
        )
        return found
