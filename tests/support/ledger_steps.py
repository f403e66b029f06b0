"""Steps that any ledger can take, each with what stands afterwards."""

from collections.abc import Callable
from fractions import Fraction

from msgspec.structs import replace

from tests.support.builders import fact_like, rule, rules_of, some_id
from tests.support.ledger_plans import PLANS
from tests.support.readable_ledgers import Readable, look
from workers.core.adjustments import adjustment_due
from workers.core.claims import Adjust, Refund, Revoke, Standing
from workers.core.delivery import Outcome, Status
from workers.core.grants import order_subject
from workers.core.planning import plan_for
from workers.core.plans import Plan
from workers.core.takebacks import due_take_backs

Step = Callable[[Readable], list[Standing]]


def claims(batch: list[tuple[int, int]]) -> Step:
    """Claim some plans at once, each by some delivery."""
    return lambda book: book.claim([(f"msg-{number}", PLANS[at]) for number, at in batch])


def looks(at: int) -> Step:
    """Look at what stands for a plan."""
    return lambda book: [book.find_for_plan(PLANS[at])]


def takes_back(shares: list[tuple[int, int, int]], by_hand: set[str | None], *, stale: bool) -> Step:
    """Freeze what is taken back, after refunds and by hand; stale: worked out before anything was taken."""

    def step(book: Readable) -> list[Standing]:
        looked = [(f"msg-{number}", look(book, order), cents) for number, order, cents in shares]
        told = [
            (id_, replace(one, refund=share_of(cents), taken={} if stale else one.taken))
            for id_, one, cents in looked
        ]
        plans = [Plan(subject="", revoke=Revoke(meter=meter)) for meter in by_hand] or [Plan(subject="")]
        book.take_back(
            [due for plan in plans for id_, one in told for due in due_take_backs(one, id_, plan.revoke)]
        )
        return [look(book, order) for _, order, _ in shares]

    return step


def revokes(number: int, order: int, meter: str | None) -> Step:
    """Freeze what a person takes back, by a delivery that makes no other claims."""

    def step(book: Readable) -> list[Standing]:
        book.take_back(due_take_backs(look(book, order), f"revoke-{number}", Revoke(meter=meter)))
        return [look(book, order)]

    return step


def fails_and_rests(number: int, order: int) -> Step:
    """Polar refuses a revoke, and a person dismisses it: with it rests what its delivery has claimed."""

    def step(book: Readable) -> list[Standing]:
        _end(book, f"revoke-{number}", order, Status.FAILED, by_name=False)
        book.put_to_rest(f"revoke-{number}")
        return [look(book, order)]

    return step


def replays(number: int, order: int, *, by_name: bool) -> Step:
    """A person runs a revoke again: one that was dismissed is decided anew if it is named."""

    def step(book: Readable) -> list[Standing]:
        _end(book, f"revoke-{number}", order, Status.SKIPPED, by_name=by_name)
        return [look(book, order)]

    return step


def _end(book: Readable, delivery_id: str, order: int, status: Status, *, by_name: bool) -> None:
    attempt = book.lease_revoke(delivery_id, by_name=by_name)
    outcome = Outcome(
        delivery_id=delivery_id,
        attempt=attempt,
        status=status,
        reason="refused",
        subject=order_subject(some_id(order)),
        relies_on=tuple(claim.subject for claim in look(book, order).claims),
    )
    assert book.settle([], [outcome], ()) == set()


def adjusts(order: int, units: int, *, stale: bool) -> Step:
    """Freeze an adjustment of what the rule ``pack`` gave; stale: worked out before the last one was made."""

    def step(book: Readable) -> list[Standing]:
        standing = look(book, order)
        if stale and standing.adjusted:
            standing = replace(standing, adjusted=standing.adjusted - 1)
        wanted = plan_for(fact_like(id=some_id(order)), rules_of(rule("pack", {"images": units}))).grants
        request = Adjust(rule="pack", number=standing.adjusted + 1, wanted=wanted)
        due = adjustment_due(standing, request, f"adjust-{order}")
        book.take_back([due] if due else [])
        return [look(book, order)]

    return step


def settles_corrections(order: int) -> Step:
    """Settle everything that is open of an order, adjustments included."""

    def step(book: Readable) -> list[Standing]:
        open_ = [grant for claim in look(book, order).claims for grant in claim.unsettled]
        book.settle(open_, [], ())
        return [look(book, order)]

    return step


def share_of(cents: int) -> Refund:
    """Return a refund of so much of ten."""
    return Refund(amount=cents, share=Fraction(cents, 1000))


def settles(at: int, meters: set[str], *, is_doubtful: bool) -> Step:
    """Settle what stands open of a plan, and what may never have been claimed."""

    def step(book: Readable) -> list[Standing]:
        standing = book.find_for_plan(PLANS[at])
        open_ = [grant for claim in (*standing.claims, *standing.elsewhere) for grant in claim.grants]
        accepted = [one for one in [*open_, *PLANS[at].grants] if one.meter in meters]
        book.settle(accepted, [], {one.key for one in accepted} if is_doubtful else ())
        return [book.find_for_plan(PLANS[at])]

    return step


def confirms(at: int, meters: set[str]) -> Step:
    """Confirm what is unconfirmed of a plan."""

    def step(book: Readable) -> list[Standing]:
        standing = book.find_for_plan(PLANS[at])
        grants = [
            grant
            for claim in (*standing.claims, *standing.elsewhere)
            for grant in claim.grants
            if grant.meter in meters & claim.unconfirmed.keys()
        ]
        book.confirm(grants)
        return [book.find_for_plan(PLANS[at])]

    return step
