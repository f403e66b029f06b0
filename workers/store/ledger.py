"""The ledger: the grants of each business fact, frozen by a claim, settled by Polar's 200.

Each subject (``credits:order:<id>``) has one hash: the customer, the delivery that claimed it, and a field
for each meter. So ``<subject>:<meter>`` is a grant's key in the ledger, and its ``external_id`` at Polar.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, cast

import msgspec
from redis import Redis
from redis.typing import EncodableT

from config.log import get_log
from workers.core.claims import Claimed, Standing
from workers.core.delivery import Outcome
from workers.core.grants import Grant
from workers.core.later_claims import LaterClaim
from workers.core.look_back import LONGEST_LOOK_BACK, REDELIVERED_FOR
from workers.core.next_instalments import NONE_FOLLOWS, NextInstalment
from workers.core.plans import Plan
from workers.store import keys
from workers.store.claim_rows import claim_values, read_values
from workers.store.counts import BOUNDS, Tally
from workers.store.later_claim_rows import take_back_row
from workers.store.ledger_hashes import frozen_standing, read_standing
from workers.store.losses import TO_DO, mark_loss
from workers.store.outbox import MOST_GIVEN_UP, MOST_WAITING, OUTBOX_KEYS
from workers.store.outcome_rows import accepted_values, outcome_values
from workers.store.rows import Values
from workers.store.scripts import load_script, moment_of
from workers.store.throttle import SHARE_KEYS, share_args

log = get_log(__name__)

_encode = msgspec.json.Encoder().encode  # in a sixth of the time that json takes

_DAY_KEPT_SECONDS = 400 * 86_400  # a year and a month: long enough to compare with the same month a year ago

_PERMISSIONS = {1: True, 0: False, -1: None}

_TOLD_MS = int(LONGEST_LOOK_BACK.total_seconds() * 1000)


class Ledger:
    """The ledger in Redis; its entries never expire."""

    def __init__(
        self,
        redis: Redis,
        *,
        retain: timedelta,
        tells_storefront: bool = False,
        requests_per_minute: int | None = None,
    ) -> None:
        """Make a ledger; with ``tells_storefront`` each settlement leaves credit events in the outbox.

        ``requests_per_minute`` is our share of Polar's rate limit, as the throttle has it. Without it, no
        claim takes a request.
        """
        self._share_args = share_args(requests_per_minute) if requests_per_minute else ()
        self.tells_storefront = tells_storefront
        self.tally = Tally()
        """What this process has counted, such as requests to Polar; each settlement writes it to Redis."""
        self._redis = redis
        self._retain = retain
        self._claim = redis.register_script(load_script("claim"))
        self._take_back = redis.register_script(load_script("take_back"))
        self._settle = redis.register_script(load_script("settle"))
        self._find_told = redis.register_script(load_script("find_told"))

    def claim(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int] | None = None
    ) -> list[Standing]:
        """Freeze each plan unless its fact is frozen; return what the ledger has then.

        ``plans`` are pairs of a delivery's id and its plan. A plan without grants freezes nothing: it only
        notes its refund. Neither does the plan of a delivery whose number in ``attempts`` is not its latest
        attempt: another worker has the delivery by now.
        """
        return self._claim_plans(plans, attempts or {}, ()).standings

    def claim_and_ask(self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int]) -> Claimed:
        """Claim, and if that freezes a plan, take a request to Polar from our share in the same step.

        It saves a write to disk before the request. The caller makes the request at once, or not at all.
        """
        return self._claim_plans(plans, attempts, self._share_args)

    def _claim_plans(
        self, plans: Sequence[tuple[str, Plan]], attempts: Mapping[str, int], share: Sequence[EncodableT]
    ) -> Claimed:
        rows = [claim_values(delivery_id, plan, attempts.get(delivery_id)) for delivery_id, plan in plans]
        permission, *found = self._run_claim(rows, share)
        standings = [
            # For a plan frozen just now the script returns only the time: reading it back took longest.
            frozen_standing(delivery_id, plan, one)
            if isinstance(one, bytes)
            else read_standing(plan.subject, one)
            for (delivery_id, plan), one in zip(plans, found, strict=True)
        ]
        return Claimed(standings=standings, may_ask=_PERMISSIONS[permission])

    def find_for_plan(self, plan: Plan) -> Standing:
        """Return what the ledger has for all subjects of ``plan``; changes nothing."""
        return self.find_for_plans([plan])[0]

    def find_for_plans(self, plans: Sequence[Plan]) -> list[Standing]:
        """Return what the ledger has for each plan: an empty Standing for one without a subject."""
        with_subject = [plan for plan in plans if plan.subject]
        found = iter(self._read([read_values(plan) for plan in with_subject]))
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
        rows = [read_values(Plan(subject=subject), with_instalments=False) for subject in subjects]
        return list(map(read_standing, subjects, self._read(rows)))

    def take_back(self, claims: Sequence[LaterClaim], attempts: Mapping[str, int] | None = None) -> None:
        """Freeze these claims, except those that were computed from an older state.

        Neither is that of a delivery whose number in ``attempts`` is not its latest attempt.
        """
        known = attempts or {}
        rows = [take_back_row(one, known.get(one.delivery_id)) for one in claims]
        self._take_back(keys=[], args=[keys.DELIVERY, _encode(rows)])

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
                    _flat_json(
                        accepted_values(
                            one, is_unconfirmed=one.key in unconfirmed, following=following.get(one.key)
                        )
                        for one in accepted
                    ),
                    _flat_json(map(outcome_values, outcomes)),
                    _encode(BOUNDS),
                    _encode(counts),
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

    def _read(self, rows: Sequence[Values]) -> list[Any]:
        return self._run_claim(rows)[1:] if rows else []

    def _run_claim(self, rows: Sequence[Values], share: Sequence[EncodableT] = ()) -> list[Any]:
        found: list[Any] = self._claim(
            keys=[keys.CUSTOMERS, *SHARE_KEYS], args=[keys.DELIVERY, _flat_json(rows), keys.CHAIN, *share]
        )
        return found


def _flat_json(rows: Iterable[Values]) -> bytes:
    """Return the values of all rows as one JSON array."""
    return _encode(list(chain.from_iterable(rows)))
